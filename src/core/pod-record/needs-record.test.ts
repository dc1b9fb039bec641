import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePod } from "../kube/pod.ts";
import { decideSidecar } from "../policy/sidecar-decision.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../rules/sidecar-capture.ts";
import { needsRecord } from "./needs-record.ts";

const SETTINGS = {
  excludedNamespaces: ["kube-system"],
  agentNamespace: "istio-system",
  ownerGroups: DEFAULT_SIDECAR_CAPTURE.ownerGroups,
  loopbackCidrV4: DEFAULT_SIDECAR_CAPTURE.loopbackCidrV4,
};
const PROXY = { name: "istio-proxy", args: ["proxy", "sidecar"] };
const STATUS = { "sidecar.istio.io/status": "{}" };

function podOf(
  { annotations = {}, labels = {}, namespace = "shop" }: Readonly<Record<string, object | string>>,
  spec: object = { containers: [PROXY] },
) {
  return parsePod({
    metadata: { uid: "u1", name: "web-0", namespace, resourceVersion: "1", annotations, labels },
    spec,
  });
}

function isNeeded(pod: ReturnType<typeof podOf>): readonly [reason: string, needed: boolean] {
  const decision = decideSidecar(pod, SETTINGS);
  return [decision.reason, needsRecord(pod, decision.reason, SETTINGS)];
}

test("a pod whose containers would be captured needs a record when words that may change keep it out", () => {
  assert.deepEqual(isNeeded(podOf({})), ["not-injected", true]);
  assert.deepEqual(isNeeded(podOf({ annotations: STATUS, labels: { "sidecar.istio.io/inject": "false" } })), [
    "inject-disabled",
    true,
  ]);
  const none = { ...STATUS, "sidecar.istio.io/interceptionMode": "NONE" };
  assert.deepEqual(isNeeded(podOf({ annotations: none })), ["interception-mode-none", true]);
  assert.deepEqual(isNeeded(podOf({ annotations: STATUS, namespace: "kube-system" })), ["excluded-namespace", true]);
});

test("a pod that its containers keep out needs none, whatever anybody writes beside them", () => {
  const plain = { containers: [{ name: "app" }] };
  assert.deepEqual(isNeeded(podOf({}, plain)), ["no-proxy-container", false]);
  assert.deepEqual(isNeeded(podOf({ namespace: "kube-system" }, plain)), ["excluded-namespace", false]);
  const gateway = { containers: [{ name: "istio-proxy", args: ["proxy", "router"] }] };
  assert.deepEqual(isNeeded(podOf({ annotations: STATUS, namespace: "kube-system" }, gateway)), [
    "excluded-namespace",
    false,
  ]);
  assert.deepEqual(isNeeded(podOf({ annotations: STATUS }, { hostNetwork: true, containers: [PROXY] })), [
    "host-network",
    false,
  ]);
  const withInit = { containers: [PROXY], initContainers: [{ name: "istio-init" }] };
  assert.deepEqual(isNeeded(podOf({ annotations: STATUS }, withInit)), ["istio-init", false]);
});
