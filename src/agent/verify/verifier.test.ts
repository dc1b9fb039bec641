import assert from "node:assert/strict";
import { test } from "node:test";
import { CAPTURE, FakeNode, TPROXY, verifiedNode } from "../../../testbed/fake-node.ts";
import { NETLINK_PROTOCOL } from "../../core/netlink/rtnetlink.ts";
import type { Verifier } from "./verifier.ts";

const stateOf = (verifier: Verifier, name = "web") => verifier.record(`uid-of-${name}`)?.state;

test("a pod that holds what it should is verified, and nothing is written or told", async () => {
  const { node, verifier, pod } = await verifiedNode();
  const record = verifier.record(pod.uid);
  assert.deepEqual(
    [record?.state, record?.reason, record?.decidedBy, record?.generation, record?.lastVerifiedMs, record?.isMonitored],
    ["verified", "sidecar", "annotations", 1, 1_000_000, true],
  );
  assert.deepEqual(record?.desired, CAPTURE);
  assert.deepEqual([node.events, node.counted, node.logged], [[], [], []]);
  await node.end();
});

test("a pod that started without redirection is repaired at once when the agent comes (upstream waits for a crash)", async () => {
  const node = new FakeNode();
  const pod = node.addPod("web");
  const verifier = node.start();
  await node.settle();
  assert.deepEqual(node.asked, ["drift web", "apply web", "drift web"]);
  assert.equal(stateOf(verifier), "repaired");
  assert.deepEqual(node.netnsOf(pod).capture, CAPTURE);
  assert.deepEqual(node.counted, ["drift repaired", "repair success"]);
  assert.deepEqual(node.events, [
    "web RedirectionRepaired: pod ran without its redirection, which is in place now: chain nat/ISTIO_OUTPUT of IPv4 is missing. Connections opened without it may stay so until they end; a restart of the pod ends them",
  ]);
  await node.end();
});

test("a flush is heard of, undone without waiting for anything, and its author named; our own batch starts nothing", async () => {
  const { node, verifier, pod } = await verifiedNode();
  node.write(pod, undefined);
  await node.settle();
  assert.deepEqual(node.asked, ["drift web", "apply web formerly", "drift web"]);
  assert.equal(verifier.record(pod.uid)?.generation, 3);
  assert.match(node.events[0] ?? "", /was altered \(by iptables, pid 4711\) and has been repaired/);
  assert.deepEqual(node.counted, ["drift repaired"]);
  assert.equal(node.clock.nowMs(), 0);
  await node.advance(59_000);
  assert.equal(node.asked.length, 3);
  await node.end();
});

test("what goes with lo is waited out, as a runtime switches lo off at DEL: put back and told only where the sandbox stays", async () => {
  for (const isDeleted of [true, false]) {
    const { node, verifier, pod } = await verifiedNode();
    node.netnsOf(pod).isLoopbackOff = true;
    node.write(pod, undefined);
    await node.settle();
    await node.advance(4000);
    assert.deepEqual([stateOf(verifier), node.events, node.counted], ["verified", [], []]);
    if (isDeleted) {
      node.held.delete(pod.uid);
      node.namespaces.delete(pod.uid);
      node.show("delete", pod);
      verifier.sandboxRemoved(pod.uid);
    }
    await node.advance(2000);
    assert.equal(stateOf(verifier), isDeleted ? undefined : "repaired");
    assert.deepEqual(node.counted, isDeleted ? [] : ["drift repaired"]);
    assert.equal(node.events.length, isDeleted ? 0 : 1);
    await node.end();
  }
});

test("a program's name from the kernel cannot bring other characters into an Event", async () => {
  const { node, pod } = await verifiedNode();
  node.write(pod, undefined, { pid: 1, program: "a\nb\u001b[" });
  await node.settle();
  assert.match(node.events[0] ?? "", /\(by a\?b\?\?, pid 1\)/);
  await node.end();
});

test("the timer asks for the generation only, until the time for a whole look has come", async () => {
  const { node, verifier, pod } = await verifiedNode({ intervalMs: 60_000, wholeLookMs: 600_000 });
  await node.advance(590_000);
  assert.deepEqual(node.asked, []);
  assert.equal(verifier.record(pod.uid)?.lastVerifiedMs, 1_540_000);
  await node.advance(60_000);
  assert.deepEqual(node.asked, ["drift web"]);
  await node.end();
});

test("a change nobody heard of is found by the timer, and by the pod's next event before that", async () => {
  for (const how of ["timer", "event"] as const) {
    const { node, verifier, pod } = await verifiedNode();
    const netns = node.netnsOf(pod);
    Object.assign(netns, { capture: undefined, generation: netns.generation + 1 });
    if (how === "timer") await node.advance(60_000);
    else {
      node.show("update", pod);
      await node.settle();
    }
    assert.equal(stateOf(verifier), "repaired", how);
    await node.end();
  }
});

test("without generations (iptables legacy) each pass is a whole look, and no socket is made", async () => {
  const node = new FakeNode();
  node.hasGenerations = false;
  node.addPod("web");
  node.start();
  await node.settle();
  assert.equal(node.sockets.size, 0);
  node.asked.length = 0;
  await node.advance(60_000);
  assert.deepEqual(node.asked, ["drift web"]);
  await node.end();
});

test("a socket that cannot be made is said once, and the timer looks instead", async () => {
  const node = new FakeNode();
  node.socketFailure = "EMFILE";
  node.addPod("web");
  node.addPod("api");
  const verifier = node.start();
  await node.settle();
  assert.equal(stateOf(verifier), "repaired");
  assert.equal(verifier.record("uid-of-web")?.isMonitored, false);
  assert.equal(node.logged.filter((line) => line.startsWith("Cannot listen")).length, 1);
  node.asked.length = 0;
  await node.advance(60_000);
  assert.deepEqual(node.asked, ["drift web", "drift api"]);
  await node.end();
});

test("a change of routing makes a whole look for a pod that needs routing, and only for such a pod", async () => {
  const node = new FakeNode();
  const web = node.addPod("web", { annotations: TPROXY });
  const api = node.addPod("api");
  node.start();
  await node.settle();
  node.asked.length = 0;
  for (const pod of [web, api]) node.stir(pod, NETLINK_PROTOCOL.route);
  await node.settle();
  assert.deepEqual(node.asked, ["drift web"]);
  await node.end();
});

test("rules that change while we look are looked at again", async () => {
  const { node, verifier, pod } = await verifiedNode();
  let isFirst = true;
  node.meanwhile = () => {
    if (isFirst) node.write(pod, CAPTURE);
    isFirst = false;
  };
  verifier.request(pod.uid);
  await node.settle();
  assert.equal(node.asked.filter((line) => line === "drift web").length, 2);
  assert.equal(verifier.record(pod.uid)?.generation, 2);
  await node.end();
});

test("a refusal of the kernel is told and tried again with growing intervals", async () => {
  const node = new FakeNode();
  node.addPod("web");
  node.applyFailure = "kernel answers errno 12";
  const verifier = node.start();
  await node.settle();
  assert.equal(stateOf(verifier), "failed");
  assert.equal(verifier.record("uid-of-web")?.message, "kernel answers errno 12");
  assert.deepEqual(node.counted, ["drift failed", "repair fail"]);
  await node.advance(3_500);
  assert.equal(node.counted.length, 6);
  node.applyFailure = undefined;
  await node.advance(10_000);
  assert.equal(stateOf(verifier), "repaired");
  await node.end();
});

test("where repair in place is off, a pod that never was captured is told once and left; one that was is repaired", async () => {
  const node = new FakeNode();
  const never = node.addPod("never");
  const captured = node.addPod("captured");
  node.netnsOf(captured).capture = CAPTURE;
  const verifier = node.start({ mode: "label" });
  await node.settle();
  node.write(captured, undefined);
  await node.advance(200_000);
  assert.equal(node.netnsOf(never).capture, undefined);
  assert.equal(stateOf(verifier, "never"), "uncaptured");
  assert.deepEqual(node.netnsOf(captured).capture, CAPTURE);
  assert.deepEqual(node.counted, ["drift left", "drift repaired"]);
  assert.equal(node.events.filter((line) => line.startsWith("never ")).length, 1);
  await node.end();
});

test("a terminating pod that never was captured is left alone", async () => {
  const node = new FakeNode();
  const pod = node.addPod("web", { change: { deletionTimestamp: "2026-01-01T00:00:00Z" } });
  const verifier = node.start();
  await node.settle();
  assert.equal(node.netnsOf(pod).capture, undefined);
  assert.match(verifier.record(pod.uid)?.message ?? "", /terminating/);
  await node.end();
});

test("namespaces are looked for all at once, with growing intervals, and who is not found is told of, not forgotten", async () => {
  const node = new FakeNode();
  for (const name of ["a", "b", "c"]) node.addPod(name, { isHeld: false });
  const verifier = node.start();
  await node.settle();
  assert.deepEqual(node.asked, ["find a,b,c"]);
  assert.equal(stateOf(verifier, "a"), "unverifiable");
  await node.advance(30_000);
  assert.deepEqual(node.asked, new Array(5).fill("find a,b,c"));
  assert.deepEqual(
    node.events.toSorted(),
    ["a", "b", "c"].map((name) => `${name} RedirectionUnverified: Cannot find the namespace of ${name}`),
  );
  node.findKind = "found";
  await node.advance(60_000);
  assert.deepEqual(
    ["a", "b", "c"].map((name) => stateOf(verifier, name)),
    ["repaired", "repaired", "repaired"],
  );
  await node.end();
});

test("where no pod of the node can be found, no pod is told of it: the node is", async () => {
  const node = new FakeNode();
  node.findReason = "proc-unavailable";
  node.addPod("web", { isHeld: false });
  const verifier = node.start();
  await node.advance(120_000);
  assert.equal(stateOf(verifier), "unverifiable");
  assert.deepEqual(node.events, []);
  await node.end();
});

test("a pod captured in another dialect is moved: no Event, and nobody was uncaptured", async () => {
  const node = new FakeNode();
  const pod = node.addPod("web");
  Object.assign(node.netnsOf(pod), { capture: CAPTURE, otherDialect: "nftables" });
  const verifier = node.start();
  await node.settle();
  assert.equal(stateOf(verifier), "verified");
  assert.deepEqual([node.events, node.counted], [[], []]);
  assert.equal(node.netnsOf(pod).otherDialect, undefined);
  await node.end();
});

test("a pod without an address is only young: it waits, and nothing is told", async () => {
  const node = new FakeNode();
  node.addPod("web", { isHeld: false });
  node.findKind = "no-ip-yet";
  const verifier = node.start();
  await node.advance(60_000);
  assert.deepEqual([stateOf(verifier), node.events], ["waiting", []]);
  await node.end();
});

test("a look through the node that fails is tried again", async () => {
  const node = new FakeNode();
  node.addPod("web", { isHeld: false });
  node.findFailure = "EIO";
  const verifier = node.start();
  await node.settle();
  assert.deepEqual([stateOf(verifier), verifier.record("uid-of-web")?.message], ["unverifiable", "EIO"]);
  Object.assign(node, { findFailure: undefined, findKind: "found" });
  await node.advance(5_000);
  assert.equal(stateOf(verifier), "repaired");
  await node.end();
});

test("the node's own namespace is never written to, whoever says it is the pod's", async () => {
  const node = new FakeNode();
  node.isForbidden = true;
  const pod = node.addPod("web");
  const verifier = node.start();
  await node.advance(10_000);
  assert.equal(stateOf(verifier), "unverifiable");
  assert.equal(node.netnsOf(pod).capture, undefined);
  await node.end();
});

test("an ADD is followed by a look in its new namespace, a little later so as not to compete with it", async () => {
  const { node, verifier, pod } = await verifiedNode();
  node.namespaces.set(pod.uid, { ino: 9999n, addresses: ["10.0.0.6"], capture: CAPTURE, generation: 5 });
  node.decisions.decided.set(pod.uid, { reason: "sidecar", capture: CAPTURE, decidedBy: "add", wasInPlace: true });
  verifier.sandboxAdded(pod.uid);
  assert.equal(node.sockets.size, 0);
  await node.settle();
  assert.deepEqual(node.asked, []);
  await node.advance(500);
  assert.deepEqual(node.asked, ["drift web"]);
  assert.equal(verifier.record(pod.uid)?.netns?.ino, "9999");
  await node.end();
});

test("after a DEL no socket holds the namespace that the registry has let go of", async () => {
  for (const withUid of [true, false]) {
    const { node, verifier, pod } = await verifiedNode({}, "web", "api");
    node.held.delete(pod.uid);
    verifier.sandboxRemoved(withUid ? pod.uid : undefined);
    assert.equal(node.sockets.size, 1);
    assert.equal(verifier.record("uid-of-api")?.isMonitored, true);
    await node.end();
    assert.equal(node.sockets.size, 0);
  }
});

test("a deleted pod is forgotten, with its socket", async () => {
  const { node, verifier, pod } = await verifiedNode();
  node.show("delete", pod);
  assert.deepEqual([verifier.records(), node.sockets.size], [[], 0]);
  await node.end();
});

test("a pod deleted in the middle of a look is not brought back", async () => {
  const { node, verifier, pod } = await verifiedNode();
  node.meanwhile = () => node.show("delete", pod);
  verifier.request(pod.uid);
  await node.settle();
  assert.deepEqual([verifier.records(), node.sockets.size], [[], 0]);
  await node.end();
});

test("messages that were lost are a reason to look", async () => {
  const { node, verifier, pod } = await verifiedNode();
  const netns = node.netnsOf(pod);
  Object.assign(netns, { capture: undefined, generation: netns.generation + 1 });
  assert.deepEqual(node.failSockets(pod, "ENOBUFS"), []);
  await node.settle();
  assert.equal(stateOf(verifier), "repaired");
  await node.end();
});

test("a socket that fails is listened to no more, and replaced", async () => {
  const { node, verifier, pod } = await verifiedNode();
  const [broken] = node.sockets.keys();
  assert.equal(node.failSockets(pod, "EBADF").length, 1);
  assert.deepEqual(node.failSockets(pod, "EBADF"), []);
  await node.advance(61_000);
  await node.advance(2_000);
  assert.equal(stateOf(verifier), "verified");
  assert.equal(verifier.record(pod.uid)?.isMonitored, true);
  assert.notDeepEqual([...node.sockets.keys()], [broken]);
  await node.end();
});

test("the end closes every descriptor and socket", async () => {
  const { node } = await verifiedNode({}, "web", "api");
  await node.end();
  assert.deepEqual([node.open.size, node.sockets.size], [0, 0]);
});
