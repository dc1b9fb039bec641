// What an agent before this one decided: believed when the pod's namespace says so, whatever the annotations say by now.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CAPTURE, FakeNode, TPROXY } from "../../../testbed/fake-node.ts";
import type { StartedWith } from "./desired-capture.ts";
import type { Verifier } from "./verifier.ts";

const OF_ADD = { ...CAPTURE, proxyUids: [4242] };
const IN: StartedWith = { reason: "sidecar", capture: OF_ADD, decidedBy: "add", wasInPlace: true };
const OUT: StartedWith = { reason: "interception-mode-none", capture: undefined, decidedBy: "add", wasInPlace: false };
const NONE = { "sidecar.istio.io/interceptionMode": "NONE" };

function nodeWith(left: StartedWith, options: Parameters<FakeNode["addPod"]>[1] = {}) {
  const node = new FakeNode();
  const pod = node.addPod("web", { ...options, change: { podIps: ["10.0.0.5"], ...options.change } });
  const netns = node.netnsOf(pod);
  node.decisions.left.set(pod.uid, { ...left, ino: netns.ino });
  netns.capture = left.capture;
  return { node, pod, netns };
}

const seen = (verifier: Verifier): unknown => {
  const { state, decidedBy, reason } = verifier.record("uid-of-web") ?? {};
  return [state, decidedBy, reason];
};

for (const isHeld of [true, false]) {
  const how = isHeld ? "held" : "found";
  test(`an edited annotation changes nothing after a restart, in a namespace that is ${how}`, async () => {
    for (const annotations of [TPROXY, NONE, { "traffic.sidecar.istio.io/excludeInterfaces": "a b" }]) {
      const { node, netns } = nodeWith(IN, { annotations, isHeld });
      node.findKind = "found";
      const verifier = node.start();
      await node.settle();
      assert.deepEqual(seen(verifier), ["verified", "add", "sidecar"]);
      assert.deepEqual(node.asked, isHeld ? ["drift web"] : ["find web", "drift web"]);
      assert.deepEqual([netns.generation, node.events], [1, []]);
      await node.end();
    }
  });

  test(`a pod that was out at its ADD stays out after a restart, in a namespace that is ${how}`, async () => {
    const { node, netns } = nodeWith(OUT, { isHeld });
    node.findKind = "found";
    const verifier = node.start();
    await node.settle();
    assert.deepEqual(seen(verifier), ["out", "add", "interception-mode-none"]);
    assert.deepEqual([netns.capture, node.events], [undefined, []]);
    await node.end();
  });
}

test("a record of a former sandbox is not believed: the annotations decide", async () => {
  for (const left of [IN, OUT]) {
    const { node, pod, netns } = nodeWith(left);
    node.decisions.left.set(pod.uid, { ...left, ino: netns.ino + 1000n });
    const verifier = node.start();
    await node.settle();
    assert.deepEqual(seen(verifier), ["repaired", "annotations", "sidecar"]);
    assert.deepEqual(netns.capture, CAPTURE);
    await node.end();
  }
});

test("nothing is written while the kernel does not say whether the sandbox is the same", async () => {
  const { node, netns } = nodeWith(IN, { annotations: TPROXY });
  node.decisions.isMute = true;
  const verifier = node.start();
  await node.advance(5_000);
  assert.equal(verifier.record("uid-of-web")?.state, "unverifiable");
  assert.equal(netns.generation, 1);
  node.decisions.isMute = false;
  await node.advance(60_000);
  assert.deepEqual(seen(verifier), ["verified", "add", "sidecar"]);
  await node.end();
});

test("a pod whose record says in and whose annotations say out is missed when its namespace cannot be found", async () => {
  const { node } = nodeWith(IN, { annotations: NONE, isHeld: false });
  const verifier = node.start();
  await node.advance(60_000);
  assert.equal(verifier.record("uid-of-web")?.state, "unverifiable");
  assert.ok(node.events.some((line) => line.startsWith("web RedirectionUnverified")));
  await node.end();
});

test("rules that were in place once are repaired after a restart also where repair in place is off", async () => {
  for (const wasInPlace of [true, false]) {
    const { node, netns } = nodeWith({ ...IN, decidedBy: "annotations", wasInPlace });
    netns.capture = undefined;
    const verifier = node.start({ mode: "label" });
    await node.settle();
    assert.deepEqual(seen(verifier), [wasInPlace ? "repaired" : "uncaptured", "annotations", "sidecar"]);
    await node.end();
  }
});

test("what is pinned at the first look is kept for the next agent, and again when it has come into place", async () => {
  const node = new FakeNode();
  const pod = node.addPod("web");
  const verifier = node.start({ mode: "label" });
  await node.settle();
  assert.deepEqual(node.decisions.kept, ["web in (annotations)"]);
  node.write(pod, CAPTURE);
  await node.settle();
  assert.equal(verifier.record(pod.uid)?.state, "verified");
  assert.deepEqual(node.decisions.kept, ["web in (annotations)", "web in (annotations, in place)"]);
  await node.end();
});

test("a pod that is out by words that may be edited stays out, and is remembered once its namespace is known", async () => {
  for (const isHeld of [true, false]) {
    const node = new FakeNode();
    node.findKind = "found";
    const pod = node.addPod("web", { annotations: NONE, isHeld, change: { podIps: ["10.0.0.5"] } });
    const verifier = node.start();
    await node.settle();
    assert.deepEqual(node.decisions.kept, ["web out (annotations)"]);
    node.show("update", { ...pod, annotations: { "sidecar.istio.io/status": "{}" } });
    await node.advance(200_000);
    assert.deepEqual(seen(verifier), ["out", "annotations", "interception-mode-none"]);
    assert.deepEqual([node.netnsOf(pod).capture, node.events, node.sockets.size], [undefined, [], 0]);
    assert.deepEqual(node.asked, isHeld ? [] : ["find web"]);
    assert.equal(node.decisions.kept.length, 1);
    await node.end();
  }
});

test("a pod that is out is sought a few times only, and nobody is told that it was not found", async () => {
  const node = new FakeNode();
  node.addPod("web", { annotations: NONE, isHeld: false, change: { podIps: ["10.0.0.5"] } });
  const verifier = node.start();
  await node.advance(600_000);
  assert.deepEqual(node.asked, new Array(5).fill("find web"));
  assert.deepEqual([seen(verifier), node.events], [["out", "annotations", "interception-mode-none"], []]);
  await node.end();
});

test("a finished pod is out, whatever was left of it", async () => {
  const { node } = nodeWith(IN, { isHeld: false, change: { phase: "Succeeded" } });
  const verifier = node.start();
  await node.settle();
  assert.deepEqual([seen(verifier), node.asked], [["out", undefined, "finished"], []]);
  await node.end();
});
