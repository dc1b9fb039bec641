import assert from "node:assert/strict";
import { test } from "node:test";
import { type Pod, parsePod } from "../kube/pod.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../rules/sidecar-capture.ts";
import { chooseRepairMode, decideRepair, type LeaveReason, leaveAlone, type RepairOptions } from "./repair-decision.ts";
import type { SidecarSettings } from "./sidecar-decision.ts";

const settings: SidecarSettings = {
  excludedNamespaces: ["kube-system"],
  agentNamespace: "istio-system",
  ownerGroups: DEFAULT_SIDECAR_CAPTURE.ownerGroups,
  loopbackCidrV4: DEFAULT_SIDECAR_CAPTURE.loopbackCidrV4,
};

const options: RepairOptions = {
  mode: "delete",
  selects: () => true,
  sidecarAnnotation: "sidecar.istio.io/status",
  initContainerName: "istio-validation",
  terminationMessage: "",
  exitCode: 126,
  labelKey: "cni.istio.io/uninitialized",
};

const terminated = (exitCode: number, extra: object = {}) => ({ terminated: { exitCode, reason: "Error", ...extra } });

interface Change {
  readonly metadata?: object;
  readonly annotations?: object;
  readonly labels?: object;
  readonly spec?: object;
  readonly statuses?: readonly object[];
}

/** A pod whose istio-validation has crashed once and waits to be restarted. */
function broken({ metadata, annotations, labels, spec, statuses }: Change = {}): Pod {
  const name = "istio-validation";
  const crashed = { name, restartCount: 1, state: { waiting: {} }, lastState: terminated(126) };
  return parsePod({
    metadata: {
      uid: "u1",
      name: "web",
      namespace: "shop",
      resourceVersion: "1",
      annotations: annotations ?? { "sidecar.istio.io/status": "{}" },
      labels: labels ?? {},
      ...metadata,
    },
    spec: {
      initContainers: [{ name }],
      containers: [{ name: "app" }, { name: "istio-proxy", args: ["proxy", "sidecar"] }],
      ...spec,
    },
    status: { phase: "Pending", initContainerStatuses: statuses ?? [crashed] },
  });
}

const status = (state: object, lastState: object = {}, name = "istio-validation") => [{ name, state, lastState }];

test("decideRepair() takes a pod whose istio-validation crashed and waits for its restart for broken", () => {
  assert.deepEqual(decideRepair(broken(), options, settings), {
    kind: "broken",
    action: "delete",
    evidence: "init container istio-validation ended with 126",
  });
});

const BROKEN: Readonly<Record<string, [Change, Partial<RepairOptions>?]>> = {
  "the first crash of a Job's pod, which has no second (D25)": [
    { spec: { restartPolicy: "Never" }, statuses: status(terminated(126)) },
  ],
  "a crash after a crash": [{ statuses: status(terminated(126), terminated(126)) }],
  "a container that runs again after a crash": [{ statuses: status({ running: {} }, terminated(126)) }],
  "any exit code when the option is 0": [{ statuses: status(terminated(1)) }, { exitCode: 0 }],
  "any container when the option is empty": [
    { statuses: status(terminated(126), {}, "other") },
    { initContainerName: "" },
  ],
  "a termination message with blanks around it": [
    { statuses: status(terminated(126, { message: " no rules\n" })) },
    { terminationMessage: "no rules" },
  ],
  "a pod without annotation when none is asked for": [{ annotations: {} }, { sidecarAnnotation: "" }],
  "a pod with the operator's own annotation, which our injector has not marked": [
    { annotations: { "example.com/mesh": "" }, spec: { containers: [{ name: "app" }] } },
    { sidecarAnnotation: "example.com/mesh" },
  ],
  "a pod with an annotation that cannot be followed": [
    { annotations: { "sidecar.istio.io/status": "{}", "sidecar.istio.io/interceptionMode": "nonsense" } },
  ],
};

for (const [what, [change, override]] of Object.entries(BROKEN)) {
  test(`decideRepair() calls broken: ${what}`, () => {
    assert.equal(decideRepair(broken(change), { ...options, ...override }, settings).kind, "broken");
  });
}

const LEFT: Readonly<Record<string, [LeaveReason, Change, Partial<RepairOptions>?]>> = {
  "no crash": ["not-broken", { statuses: status({ running: {} }) }],
  "no status yet": ["not-broken", { statuses: [] }],
  "a crash before it completed": [
    "not-broken",
    { statuses: status(terminated(0, { reason: "Completed" }), terminated(126)) },
  ],
  "another exit code": ["not-broken", { statuses: status(terminated(1)) }],
  "another container": ["not-broken", { statuses: status(terminated(126), {}, "other") }],
  "another message": ["not-broken", { statuses: status(terminated(126)) }, { terminationMessage: "no rules" }],
  terminating: ["terminating", { metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" } }],
  "host network": ["host-network", { spec: { hostNetwork: true } }],
  "an excluded namespace": ["excluded-namespace", { metadata: { namespace: "kube-system" } }],
  "the agent itself": ["own-agent", { metadata: { name: "istio-cni-node-x", namespace: "istio-system" } }],
  "its own istio-init": [
    "istio-init",
    { spec: { initContainers: [{ name: "istio-init" }], containers: [{ name: "istio-proxy" }] } },
  ],
  "a gateway": ["proxy-not-sidecar", { spec: { containers: [{ name: "istio-proxy", args: ["proxy", "router"] }] } }],
  "injection refused": ["inject-disabled", { labels: { "sidecar.istio.io/inject": "false" } }],
  "no annotation": ["no-annotation", { annotations: {} }],
  "not selected": ["not-selected", {}, { selects: () => false }],
  "a label that is there, whatever its value": [
    "labelled",
    { labels: { "cni.istio.io/uninitialized": "seen" } },
    { mode: "label" },
  ],
};

for (const [what, [reason, change, override]] of Object.entries(LEFT)) {
  test(`decideRepair() leaves alone: ${what}`, () => {
    assert.deepEqual(decideRepair(broken(change), { ...options, ...override }, settings), { kind: "leave", reason });
  });
}

test("leaveAlone() asks for no crash: missing rules are evidence enough for the verifier", () => {
  assert.equal(leaveAlone(broken({ statuses: [] }), options, settings), undefined);
});

for (const [expected, enabled, repairPods, deletePods, labelPods] of [
  ["none", false, true, true, true],
  ["repair", true, true, true, true],
  ["delete", true, false, true, true],
  ["label", true, false, false, true],
  ["none", true, false, false, false],
] as const) {
  test(`chooseRepairMode() chooses ${expected} of ${JSON.stringify({ enabled, repairPods, deletePods, labelPods })}`, () => {
    assert.equal(chooseRepairMode({ enabled, repairPods, deletePods, labelPods }), expected);
  });
}
