import assert from "node:assert/strict";
import { closeSync, existsSync, openSync } from "node:fs";
import { test } from "node:test";
import { serveZtunnel, workload, type ZtunnelRig } from "../../../testbed/ztunnel/server-rig.ts";
import type { ZtunnelStandIn } from "../../../testbed/ztunnel/ztunnel-stand-in.ts";

const never = new AbortController().signal;
/** Long enough never to come in a test that is about something else. */
const LONG_MS = 600_000;

const isSynced = (rig: ZtunnelRig, ztunnel: ZtunnelStandIn) => () =>
  ztunnel.state.isReady() && rig.server.isConnected();

test("enroll() hands the namespace to ztunnel and answers with its acknowledgement", async () => {
  await using rig = await serveZtunnel();
  const ztunnel = rig.ztunnel();
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  const netns = rig.netns();
  assert.deepEqual(await rig.server.enroll(workload("a"), netns.fd, never), { result: "acknowledged" });
  const proxy = ztunnel.state.proxies.get("a");
  assert.deepEqual(proxy?.info, { name: "pod-a", namespace: "default", serviceAccount: "sa" });
  assert.equal(proxy?.netns.ino, netns.ino);
  assert.equal(proxy?.netns.dev, netns.dev);
  const [status] = rig.server.workloads();
  assert.deepEqual(status, {
    ...workload("a"),
    ...{ failures: 0, lastError: undefined, state: "served", servedBy: [1] },
    netns: { dev: netns.dev, ino: netns.ino },
  });
  assert.deepEqual(ztunnel.requests, ["snapshot-sent", "add a"]);
});

test("enroll() asked again is answered at once, and ztunnel is not asked again", async () => {
  await using rig = await serveZtunnel();
  const ztunnel = rig.ztunnel();
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  const netns = rig.netns();
  await rig.server.enroll(workload("a"), netns.fd, never);
  assert.deepEqual(await rig.server.enroll(workload("a"), netns.fd, never), { result: "acknowledged" });
  assert.deepEqual(ztunnel.requests, ["snapshot-sent", "add a"]);
});

test("enroll() with another namespace moves the workload there", async () => {
  await using rig = await serveZtunnel();
  const ztunnel = rig.ztunnel();
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  const [before, after] = [rig.netns(), rig.netns()];
  await rig.server.enroll(workload("a"), before.fd, never);
  assert.deepEqual(await rig.server.enroll(workload("a"), after.fd, never), { result: "acknowledged" });
  assert.equal(ztunnel.state.proxies.get("a")?.netns.ino, after.ino);
});

test("a snapshot has every declared workload, and is not sent before all are declared", async () => {
  await using rig = await serveZtunnel({ isAdmitted: false });
  const ztunnel = rig.ztunnel();
  assert.deepEqual(rig.server.declare(workload("a"), rig.netns().fd), { result: "declared" });
  await rig.until("the hello", () => rig.server.connections()[0]?.phase === "snapshot");
  assert.deepEqual(rig.server.declare(workload("b"), undefined), { result: "declared" });
  assert.deepEqual(ztunnel.requests, []);
  assert.equal(rig.server.isConnected(), false);
  rig.server.admitSnapshots();
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  assert.deepEqual(ztunnel.requests, ["add a", "keep b", "snapshot-sent"]);
  assert.deepEqual(
    rig.server.workloads().map(({ uid, state }) => [uid, state]),
    [
      ["a", "served"],
      ["b", "kept"],
    ],
  );
  rig.server.declare(workload("b"), rig.netns().fd);
  await rig.until("the found namespace", () => rig.server.workload("b")?.state === "served");
  assert.deepEqual(rig.server.declare(workload("b"), undefined), { result: "declared" });
  assert.equal(rig.server.workload("b")?.state, "served");
});

test("absent at the start, ztunnel gets what waits for it in its snapshot", async () => {
  await using rig = await serveZtunnel();
  const enrolled = rig.server.enroll(workload("a"), rig.netns().fd, never);
  const ztunnel = rig.ztunnel();
  assert.deepEqual(await enrolled, { result: "acknowledged" });
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  assert.deepEqual(ztunnel.requests, ["add a", "snapshot-sent"]);
});

test("without any ztunnel enroll() ends, and a ztunnel that comes later does not get the pod that was refused", async () => {
  await using rig = await serveZtunnel({ enrollTimeoutMs: 20 });
  assert.deepEqual(await rig.server.enroll(workload("a"), rig.netns().fd, never), { result: "no-connection" });
  assert.deepEqual(rig.server.workloads(), []);
  const ztunnel = rig.ztunnel();
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  assert.deepEqual(ztunnel.requests, ["snapshot-sent"]);
});

test("a pod that ztunnel refuses is not wanted any more: it is taken out of its pending ones and in no later snapshot", async () => {
  await using rig = await serveZtunnel();
  const ztunnel = rig.ztunnel();
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  ztunnel.failing.add("a");
  const outcome = await rig.server.enroll(workload("a"), rig.netns().fd, never);
  assert.deepEqual(outcome, { result: "refused", error: "failure to start proxy : Address in use" });
  await rig.until("ztunnel to forget it", () => ztunnel.state.pending.size === 0);
  ztunnel.hangUp();
  await rig.until("the next snapshot's acknowledgement", () => rig.changes.at(-1) === "connected");
  assert.deepEqual(ztunnel.requests, ["snapshot-sent", "add a", "del a", "snapshot-sent"]);
  assert.deepEqual(rig.changes, ["connected", "refused a", "disconnected", "connected"]);
});

test("a running pod whose proxy does not start stays wanted, and is tried at once when somebody asks", async () => {
  await using rig = await serveZtunnel({ enrollTimeoutMs: 15_000 });
  const ztunnel = rig.ztunnel();
  ztunnel.failing.add("a");
  const netns = rig.netns();
  rig.server.declare(workload("a"), netns.fd);
  await rig.until("the refusal", () => rig.server.workload("a")?.state === "refused");
  assert.equal(rig.server.workload("a")?.lastError, "failure to start proxy : Address in use");
  const refused = await rig.server.enroll(workload("a"), netns.fd, never);
  assert.equal(refused.result, "refused");
  const renamed = { ...workload("a"), serviceAccount: "other" };
  assert.equal((await rig.server.enroll(renamed, netns.fd, never)).result, "refused");
  assert.equal(rig.server.workloads().length, 1);
  ztunnel.failing.clear();
  assert.deepEqual(await rig.server.enroll(renamed, netns.fd, never), { result: "acknowledged" });
  assert.equal(rig.server.workload("a")?.failures, 0);
});

test("of two ztunnels the newer gets new pods, both get deletes, and the older takes over when the newer goes", async () => {
  await using rig = await serveZtunnel();
  const old = rig.ztunnel({ isPersistent: false });
  await rig.until("the first snapshot", isSynced(rig, old));
  await rig.server.enroll(workload("a"), rig.netns().fd, never);
  const young = rig.ztunnel({ isPersistent: false });
  await rig.until("the second snapshot", () => young.state.isReady());
  await rig.until("the second connection", () => rig.server.connections()[1]?.isPrimary === true);
  await rig.server.enroll(workload("b"), rig.netns().fd, never);
  assert.deepEqual(rig.server.workload("a")?.servedBy, [1, 2]);
  assert.deepEqual(rig.server.workload("b")?.servedBy, [2]);
  assert.deepEqual(await rig.server.withdraw("a", never), { result: "withdrawn" });
  assert.deepEqual(old.requests, ["snapshot-sent", "add a", "del a"]);
  assert.deepEqual(young.requests, ["add a", "snapshot-sent", "add b", "del a"]);
  young.hangUp();
  await rig.until("the older one to take over", () => old.state.proxies.has("b"));
  assert.deepEqual(await rig.server.enroll(workload("c"), rig.netns().fd, never), { result: "acknowledged" });
  assert.deepEqual(old.requests.slice(3), ["add b", "add c"]);
});

test("an older ztunnel's acknowledgement counts where the newer one refuses within its snapshot", async () => {
  await using rig = await serveZtunnel({ ackTimeoutMs: LONG_MS });
  const old = rig.ztunnel({ fault: (request) => (request?.kind === "add" ? "hold" : undefined) });
  await rig.until("the first snapshot", isSynced(rig, old));
  const outcome = rig.server.enroll(workload("a"), rig.netns().fd, never);
  await rig.until("the add", () => old.requests.includes("add a"));
  const young = rig.ztunnel();
  young.failing.add("a");
  await rig.until("the refusal", () => rig.changes.includes("refused a"));
  old.release();
  assert.deepEqual(await outcome, { result: "acknowledged" });
  assert.equal(rig.server.workloads().length, 1);
});

test("a pod that was acknowledged stays wanted when the next ztunnel cannot start its proxy", async () => {
  await using rig = await serveZtunnel();
  const old = rig.ztunnel({ isPersistent: false });
  await rig.until("the first snapshot", isSynced(rig, old));
  await rig.server.enroll(workload("a"), rig.netns().fd, never);
  old.hangUp();
  await rig.until("the first one's end", () => rig.server.connections().length === 0);
  const young = rig.ztunnel();
  young.failing.add("a");
  await rig.until("the second snapshot", () => rig.server.isConnected());
  assert.equal(rig.server.workload("a")?.state, "refused");
  assert.deepEqual(young.requests, ["add a", "snapshot-sent"]);
});

test("withdraw() waits until ztunnel has forgotten the pod, and a connection that ends has", async () => {
  await using rig = await serveZtunnel({ ackTimeoutMs: LONG_MS });
  const ztunnel = rig.ztunnel({ fault: (request) => (request?.kind === "del" ? "ignore" : undefined) });
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  await rig.server.enroll(workload("a"), rig.netns().fd, never);
  let isDone = false;
  const withdrawn = rig.server.withdraw("a", never).finally(() => {
    isDone = true;
  });
  assert.deepEqual(rig.server.workloads(), []);
  await rig.until("the delete", () => ztunnel.requests.includes("del a"));
  assert.equal(isDone, false);
  ztunnel.hangUp();
  assert.deepEqual(await withdrawn, { result: "withdrawn" });
  await rig.until("the pod to be dropped", () => ztunnel.state.proxies.size === 0);
});

test("withdraw() of another namespace than the present one does nothing", async () => {
  await using rig = await serveZtunnel();
  const ztunnel = rig.ztunnel();
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  const [before, after] = [rig.netns(), rig.netns()];
  await rig.server.enroll(workload("a"), after.fd, never);
  assert.deepEqual(await rig.server.withdraw("a", never, before), { result: "superseded" });
  assert.deepEqual(await rig.server.withdraw("a", never, after), { result: "withdrawn" });
  assert.deepEqual(ztunnel.requests, ["snapshot-sent", "add a", "del a"]);
});

test("withdraw() without any ztunnel is done at once, and of an unknown pod tells ztunnel all the same", async () => {
  await using rig = await serveZtunnel();
  assert.deepEqual(await rig.server.withdraw("a", never), { result: "withdrawn" });
  const ztunnel = rig.ztunnel();
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  assert.deepEqual(await rig.server.withdraw("a", never), { result: "withdrawn" });
  assert.deepEqual(ztunnel.requests, ["snapshot-sent", "del a"]);
});

test("who waits is released by abort, by withdrawal and by the agent's end", async () => {
  await using rig = await serveZtunnel({ ackTimeoutMs: LONG_MS, enrollTimeoutMs: LONG_MS });
  const ztunnel = rig.ztunnel({ fault: (request) => (request?.kind === "add" ? "ignore" : undefined) });
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  const [one, two] = [new AbortController(), new AbortController()];
  const netns = rig.netns();
  const first = rig.server.enroll(workload("a"), netns.fd, one.signal);
  const second = rig.server.enroll(workload("a"), netns.fd, two.signal);
  one.abort();
  assert.deepEqual(await first, { result: "aborted" });
  assert.equal(rig.server.workloads().length, 1, "somebody else still waits for it");
  two.abort();
  assert.deepEqual(await second, { result: "aborted" });
  assert.deepEqual(rig.server.workloads(), []);
  assert.deepEqual(await rig.server.enroll(workload("a"), netns.fd, one.signal), { result: "aborted" });
  const third = rig.server.enroll(workload("c"), netns.fd, never);
  const withdrawn = rig.server.withdraw("c", one.signal);
  assert.deepEqual(await third, { result: "superseded" });
  assert.deepEqual(await withdrawn, { result: "aborted" });
  const fourth = rig.server.enroll(workload("d"), netns.fd, never);
  const fifth = rig.server.withdraw("a", never);
  await rig.stop();
  assert.deepEqual(await fourth, { result: "agent-ends" });
  assert.deepEqual(await fifth, { result: "agent-ends" });
  assert.deepEqual(await rig.server.enroll(workload("d"), netns.fd, never), { result: "agent-ends" });
  assert.deepEqual(rig.server.declare(workload("d"), netns.fd), { result: "agent-ends" });
});

test("at the agent's end ztunnel keeps its pods, and goes on with those that the next agent has", async () => {
  await using rig = await serveZtunnel();
  const ztunnel = rig.ztunnel();
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  const netns = rig.netns();
  for (const uid of ["a", "b", "gone"]) await rig.server.enroll(workload(uid), netns.fd, never);
  const proxies = new Map(ztunnel.state.proxies);
  await rig.stop();
  await rig.until("the end", () => !ztunnel.state.isReady());
  assert.equal(existsSync(rig.path), false);
  assert.equal(ztunnel.state.proxies.size, 3);
  await using next = await serveZtunnel({ path: rig.path, isAdmitted: false });
  next.server.declare(workload("a"), netns.fd);
  next.server.declare(workload("b"), undefined);
  next.server.admitSnapshots();
  await next.until("the snapshot", isSynced(next, ztunnel));
  assert.deepEqual(ztunnel.requests.slice(4), ["add a", "keep b", "snapshot-sent"]);
  assert.deepEqual([...ztunnel.state.proxies.keys()], ["a", "b"]);
  for (const uid of ["a", "b"]) assert.equal(ztunnel.state.proxies.get(uid), proxies.get(uid), "it was not restarted");
  ztunnel[Symbol.dispose]();
});

test("what ztunnel could never read is refused, and nothing is cut", async () => {
  await using rig = await serveZtunnel({ maxWorkloads: 1 });
  const ztunnel = rig.ztunnel();
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  const netns = rig.netns();
  const long = { ...workload("a"), name: "x".repeat(1024) };
  const problem = "its UID and names take 1049 bytes, and ztunnel reads 1024";
  assert.deepEqual(await rig.server.enroll(long, netns.fd, never), { result: "invalid", problem });
  assert.deepEqual(rig.server.declare(long, netns.fd), { result: "invalid", problem });
  assert.equal((await rig.server.enroll(workload(""), netns.fd, never)).result, "invalid");
  // As long as can be: read by a buffer of 1024 bytes.
  const longest = { ...workload("a"), name: "x".repeat(1024 - 25) };
  assert.deepEqual(await rig.server.enroll(longest, netns.fd, never), { result: "acknowledged" });
  assert.equal((await rig.server.enroll(workload("b"), netns.fd, never)).result, "invalid");
  assert.ok(!ztunnel.requests.includes("?"));
});

test("a descriptor that is no namespace is refused, and nothing changes", async () => {
  await using rig = await serveZtunnel();
  const file = openSync("/dev/null", "r");
  try {
    assert.throws(() => rig.server.declare(workload("a"), file), { code: "NOT_A_NAMESPACE" });
    await assert.rejects(rig.server.enroll(workload("a"), file, never), { code: "NOT_A_NAMESPACE" });
    assert.deepEqual(rig.server.workloads(), []);
  } finally {
    closeSync(file);
  }
});

test("five hundred pods are in the snapshot, and one that starts meanwhile waits for none of them", async () => {
  await using rig = await serveZtunnel();
  const netns = rig.netns();
  for (let index = 0; index < 500; index++) rig.server.declare(workload(`uid-${index}`), netns.fd);
  const ztunnel = rig.ztunnel();
  await rig.until("the first adds", () => ztunnel.requests.length > 3);
  assert.deepEqual(await rig.server.enroll(workload("now"), rig.netns().fd, never), { result: "acknowledged" });
  assert.ok(ztunnel.requests.length < 250, "most of the snapshot is still to come");
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  assert.equal(ztunnel.state.proxies.size, 501);
  assert.equal(new Set(ztunnel.requests).size, ztunnel.requests.length, "nothing is told twice");
});
