import assert from "node:assert/strict";
import { test } from "node:test";
import { parseIpAddress } from "../address.ts";
import { type Pod, parsePod } from "../kube/pod.ts";
import {
  type AmbientDecision,
  type AmbientReason,
  type AmbientSettings,
  decideAmbient,
  decideWhileOff,
  isZtunnelPod,
} from "./ambient-decision.ts";
import { DEFAULT_ENABLEMENT_SELECTORS, parseEnablementSelectors } from "./enablement-selectors.ts";

const MODE = "istio.io/dataplane-mode";
const ip = (text: string) => parseIpAddress(text) ?? assert.fail(text);

const settings: AmbientSettings = {
  selectors: DEFAULT_ENABLEMENT_SELECTORS,
  excludedNamespaces: ["kube-system"],
  agentNamespace: "istio-system",
  systemNamespace: "istio-system",
  dnsCapture: false,
  probeSource: { v4: ip("169.254.7.127"), v6: ip("fd16:9254:7127:1337:ffff:ffff:ffff:ffff") },
};

interface Change {
  readonly metadata?: Record<string, unknown>;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly spec?: Record<string, unknown>;
  readonly phase?: string;
  /** Labels of its namespace; null: not known. */
  readonly namespace?: Record<string, string> | null;
  readonly settings?: Partial<AmbientSettings>;
}

/** A plain pod in a namespace without labels, changed. */
function podOf({ metadata, labels, annotations, spec, phase }: Change): Pod {
  return parsePod({
    metadata: { uid: "u1", name: "web", namespace: "shop", resourceVersion: "1", labels, annotations, ...metadata },
    spec: { containers: [{ name: "app" }], ...spec },
    status: { phase: phase ?? "Running" },
  });
}

function decide(change: Change, annotations?: Record<string, string>): AmbientDecision {
  const namespace = change.namespace === null ? undefined : { labels: change.namespace ?? {} };
  return decideAmbient(podOf(change), namespace, { ...settings, ...change.settings }, annotations);
}

const AMBIENT = { [MODE]: "ambient" };
const NONE = { [MODE]: "none" };
/** Labels that would enrol anything. */
const IN: Change = { labels: AMBIENT, namespace: AMBIENT };

const TABLE: readonly (readonly [string, AmbientDecision["kind"], AmbientReason, Change])[] = [
  ["its own label", "in", "pod-label", { labels: AMBIENT }],
  ["the label of its namespace", "in", "namespace-label", { namespace: AMBIENT }],
  ["both labels", "in", "pod-label", IN],
  [
    "another mode in a namespace with the label",
    "in",
    "namespace-label",
    { labels: { [MODE]: "x" }, namespace: AMBIENT },
  ],
  ["mode none in a namespace with the label", "out", "not-selected", { labels: NONE, namespace: AMBIENT }],
  ["no label anywhere", "out", "not-selected", {}],
  ["mode none in its namespace", "out", "not-selected", { namespace: NONE }],
  ["an unknown namespace", "unknown", "namespace-unknown", { namespace: null }],
  ["its own label in an unknown namespace", "in", "pod-label", { labels: AMBIENT, namespace: null }],
  ["mode none in an unknown namespace", "out", "not-selected", { labels: NONE, namespace: null }],
  ["no selectors", "out", "not-selected", { ...IN, settings: { selectors: parseEnablementSelectors("[]") } }],
  ["the host's network", "out", "host-network", { ...IN, spec: { hostNetwork: true } }],
  ["a sidecar", "out", "sidecar-present", { ...IN, annotations: { "sidecar.istio.io/status": "" } }],
  ["an excluded namespace", "out", "excluded-namespace", { ...IN, metadata: { namespace: "kube-system" } }],
  [
    "an excluded namespace that is not known",
    "out",
    "excluded-namespace",
    { labels: AMBIENT, namespace: null, metadata: { namespace: "kube-system" } },
  ],
  [
    "the agent's name in the agent's namespace",
    "out",
    "own-agent",
    { ...IN, metadata: { name: "istio-cni-node-abcde", namespace: "istio-system" } },
  ],
  ["the agent's name in another namespace", "in", "pod-label", { ...IN, metadata: { name: "istio-cni-node-abcde" } }],
  [
    "ztunnel's label in the system namespace",
    "out",
    "ztunnel",
    { labels: { ...AMBIENT, app: "ztunnel" }, namespace: AMBIENT, metadata: { namespace: "istio-system" } },
  ],
  ["ztunnel's label in another namespace", "in", "pod-label", { labels: { ...AMBIENT, app: "ztunnel" } }],
  ["an end in success", "out", "finished", { ...IN, phase: "Succeeded" }],
  ["an end in failure", "out", "finished", { ...IN, phase: "Failed" }],
  ["no phase yet", "in", "pod-label", { ...IN, phase: "" }],
  ["a deletion in progress", "in", "pod-label", { ...IN, metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" } }],
  [
    "a waypoint's label",
    "in",
    "namespace-label",
    { namespace: AMBIENT, labels: { "gateway.networking.k8s.io/gateway-name": "w" } },
  ],
];

for (const [what, kind, reason, change] of TABLE) {
  test(`decideAmbient() says ${kind} (${reason}) of a pod with ${what}`, () => {
    const decision = decide(change);
    assert.deepEqual([decision.kind, decision.reason], [kind, reason]);
  });
}

test("decideAmbient() has a case here for every reason", () => {
  const reasons: Record<Exclude<AmbientReason, "mode-off">, true> = {
    "pod-label": true,
    "namespace-label": true,
    "own-agent": true,
    "excluded-namespace": true,
    "host-network": true,
    ztunnel: true,
    "sidecar-present": true,
    finished: true,
    "not-selected": true,
    "namespace-unknown": true,
  };
  assert.deepEqual([...new Set(TABLE.map(([, , reason]) => reason))].toSorted(), Object.keys(reasons).toSorted());
});

test("decideAmbient() goes by the annotations of the sandbox that starts where they are given", () => {
  const stale: Change = { ...IN, annotations: { "sidecar.istio.io/status": "{}" } };
  assert.equal(decide(stale, {}).kind, "in");
  assert.equal(decide(IN, { "sidecar.istio.io/status": "{}" }).reason, "sidecar-present");
});

test("decideWhileOff() lets nobody in, and leaves to a pod that is out its own reason", () => {
  for (const [what, kind, reason, change] of TABLE)
    assert.deepEqual(
      decideWhileOff(decide(change)),
      { kind: "out", reason: kind === "out" ? reason : "mode-off" },
      what,
    );
});

function planOf(annotations: Record<string, string>, more: Partial<AmbientSettings> = {}) {
  const decision = decide({ ...IN, annotations, settings: more });
  return decision.kind === "in" ? decision : assert.fail(decision.reason);
}

test("decideAmbient() captures by the node's settings where the pod says nothing", () => {
  const { plan, hints } = planOf({});
  assert.deepEqual(plan, {
    mode: "ambient",
    captureInbound: true,
    captureDns: false,
    virtualInterfaces: [],
    probeSource: settings.probeSource,
  });
  assert.deepEqual(hints, []);
  assert.equal(planOf({}, { dnsCapture: true }).plan.captureDns, true);
});

for (const [value, meaning] of [
  ["true", true],
  ["T", true],
  ["1", true],
  ["false", false],
  ["0", false],
  ["yes", undefined],
  ["", undefined],
  [" true", undefined],
] as const) {
  test(`decideAmbient() reads ${JSON.stringify(value)} as ${meaning ?? "nothing, with a hint"} in a pod's options`, () => {
    for (const dnsCapture of [true, false]) {
      const { plan, hints } = planOf({ "ambient.istio.io/dns-capture": value }, { dnsCapture });
      assert.equal(plan.captureDns, meaning ?? dnsCapture);
      assert.equal(hints.length, meaning === undefined ? 1 : 0);
    }
    const { plan, hints } = planOf({ "ambient.istio.io/bypass-inbound-capture": value });
    assert.equal(plan.captureInbound, meaning !== true);
    assert.equal(hints.length, meaning === undefined ? 1 : 0);
    if (meaning !== undefined) return;
    const name = "ambient.istio.io/bypass-inbound-capture";
    assert.ok(hints[0]?.startsWith(`Ignored annotation ${name}: it is ${JSON.stringify(value)}; accepted: true or`));
  });
}

test("decideAmbient() takes the names of virtual interfaces, trimmed, once each", () => {
  const { plan, hints } = planOf({ "istio.io/reroute-virtual-interfaces": " tap0,, vnet-1 ,tap0," });
  assert.deepEqual([plan.virtualInterfaces, hints], [["tap0", "vnet-1"], []]);
});

test("decideAmbient() lets no other text than a name reach a rule, and keeps the pod in", () => {
  const hostile = [
    "tap0 -j ACCEPT",
    "tap0\n-A X",
    'a"b',
    "tap+",
    "tap*",
    "-x",
    "0tap",
    "a/b",
    "a:b",
    "aaaaaaaaaaaaaaaa",
    "ä",
    "$(x)",
  ];
  for (const name of hostile) {
    const { plan, hints } = planOf({ "istio.io/reroute-virtual-interfaces": `tap1,${name}` });
    assert.deepEqual(plan.virtualInterfaces, ["tap1"], name);
    assert.equal(hints.length, 1);
    assert.ok(hints[0]?.includes(`${JSON.stringify(name)} cannot name an interface`), hints.join());
    assert.doesNotMatch(hints[0] ?? "", /\p{Cc}/u);
  }
  const { hints } = planOf({ "istio.io/reroute-virtual-interfaces": `${"x".repeat(9000)},+,*` });
  assert.ok((hints[0]?.length ?? 0) < 400 && hints[0]?.includes("and 2 more"), hints.join());
});

test("decideAmbient() takes no more interfaces than a pod can have rules for", () => {
  const names = Array.from({ length: 5000 }, (_, index) => `tap${index}`);
  const { plan, hints } = planOf({ "istio.io/reroute-virtual-interfaces": names.join(",") });
  assert.deepEqual(plan.virtualInterfaces, names.slice(0, 64));
  assert.match(hints[0] ?? "", /all but the first 64 of 5000 interfaces; accepted: 64 at most$/);
});

test("isZtunnelPod() goes by label and namespace", () => {
  const ztunnel = { namespace: "istio-system", labels: { app: "ztunnel" } };
  assert.equal(isZtunnelPod(ztunnel, "istio-system"), true);
  assert.equal(isZtunnelPod(ztunnel, "kube-system"), false);
  assert.equal(isZtunnelPod({ ...ztunnel, labels: {} }, "istio-system"), false);
});
