import assert from "node:assert/strict";
import { test } from "node:test";
import { CAPTURE, FakeNode, TPROXY, verifiedNode } from "../../../testbed/fake-node.ts";
import type { Verifier } from "./verifier.ts";

const stateOf = (verifier: Verifier, name = "web") => verifier.record(`uid-of-${name}`)?.state;

for (const [reason, change] of Object.entries({
  "host-network": { hostNetwork: true },
  "excluded-namespace": { namespace: "kube-system" },
  "not-injected": { annotations: {} },
  finished: { phase: "Succeeded" },
})) {
  test(`a pod that is ${reason} is out: its namespace is neither sought nor entered`, async () => {
    const node = new FakeNode();
    node.addPod("web", { isHeld: false, change });
    const verifier = node.start();
    await node.advance(120_000);
    assert.deepEqual([stateOf(verifier), verifier.record("uid-of-web")?.reason], ["out", reason]);
    assert.deepEqual([node.asked, node.sockets.size], [[], 0]);
    await node.end();
  });
}

test("what the sandbox was started with holds, whatever the annotations say later", async () => {
  const { node, verifier, pod } = await verifiedNode();
  const ofAdd = { ...CAPTURE, proxyUids: [4242] };
  node.decisions.decided.set(pod.uid, { reason: "sidecar", capture: ofAdd, decidedBy: "add", wasInPlace: true });
  node.netnsOf(pod).capture = ofAdd;
  verifier.sandboxAdded(pod.uid);
  node.show("update", { ...pod, annotations: { ...pod.annotations, ...TPROXY } });
  await node.advance(1_000);
  assert.deepEqual(verifier.record(pod.uid)?.desired, ofAdd);
  assert.equal(verifier.record(pod.uid)?.decidedBy, "add");
  assert.deepEqual(node.events, []);
  await node.end();
});

test("a pod that was there before the agent keeps what its annotations said when it was first seen", async () => {
  const { node, verifier, pod } = await verifiedNode();
  node.show("update", { ...pod, annotations: { ...pod.annotations, ...TPROXY } });
  await node.advance(60_000);
  assert.deepEqual(verifier.record(pod.uid)?.desired, CAPTURE);
  node.show("update", { ...pod, annotations: {} });
  node.write(pod, undefined);
  await node.advance(60_000);
  assert.deepEqual(node.netnsOf(pod).capture, CAPTURE);
  await node.end();
});

test("a pod that takes its own address away is repaired by what was decided on it", async () => {
  const { node, verifier, pod } = await verifiedNode();
  node.netnsOf(pod).addresses = ["127.0.0.1"];
  node.write(pod, undefined);
  await node.settle();
  assert.equal(stateOf(verifier), "repaired");
  assert.deepEqual(node.netnsOf(pod).capture, CAPTURE);
  await node.end();
});

test("a pod that was passed at its ADD stays out, whatever its annotations say later", async () => {
  const node = new FakeNode();
  const pod = node.addPod("web");
  const passed = { reason: "not-injected", capture: undefined, decidedBy: "add", wasInPlace: false } as const;
  node.decisions.decided.set(pod.uid, passed);
  const verifier = node.start();
  await node.settle();
  assert.deepEqual([stateOf(verifier), node.asked], ["out", []]);
  await node.end();
});

test("annotations that cannot be followed are refused with their sentence, until they are corrected", async () => {
  const node = new FakeNode();
  const pod = node.addPod("web", { annotations: { "sidecar.istio.io/interceptionMode": "nonsense" } });
  const verifier = node.start();
  await node.settle();
  assert.equal(stateOf(verifier), "refused");
  assert.match(verifier.record(pod.uid)?.message ?? "", /nonsense/);
  node.show("update", { ...pod, annotations: { "sidecar.istio.io/status": "{}" } });
  await node.settle();
  assert.equal(stateOf(verifier), "repaired");
  await node.end();
});

test("a family that passes by the proxy is told once; with strict one that comes later is captured", async () => {
  for (const strict of [false, true]) {
    const { node, verifier, pod } = await verifiedNode({ strictFamilies: strict });
    node.netnsOf(pod).addresses = ["10.0.0.5", "fd00::5"];
    for (let count = 0; count < 3; count++) verifier.request(pod.uid);
    await node.settle();
    const record = verifier.record(pod.uid);
    assert.deepEqual(record?.bypassed, strict ? [] : ["ipv6"]);
    assert.equal(record?.desired?.families.v6, strict);
    assert.equal(node.events.filter((line) => line.includes("AddressFamilyBypassed")).length, strict ? 0 : 1);
    await node.end();
  }
});
