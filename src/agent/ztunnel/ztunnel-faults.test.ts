// What a ztunnel that misbehaves costs those who wait for it, and that it costs others nothing.
import assert from "node:assert/strict";
import { existsSync, rmSync, statSync } from "node:fs";
import { test } from "node:test";
import { serveZtunnel, workload, type ZtunnelRig } from "../../../testbed/ztunnel/server-rig.ts";
import type { Fault, ZtunnelStandIn } from "../../../testbed/ztunnel/ztunnel-stand-in.ts";
import { encodeRequest, encodeResponse } from "../../core/zds/messages.ts";

const never = new AbortController().signal;
/** Long enough never to come in a test that is about something else. */
const LONG_MS = 600_000;

const isSynced = (rig: ZtunnelRig, ztunnel: ZtunnelStandIn) => () =>
  ztunnel.state.isReady() && rig.server.isConnected();

/** What the first pod to be taken in meets, and no other. */
function atFirstAdd(fault: Fault) {
  let isDoomed = true;
  return (request: { readonly kind: string } | undefined): Fault | undefined => {
    if (request?.kind !== "add" || !isDoomed) return undefined;
    isDoomed = false;
    return fault;
  };
}

test("a ztunnel that dies before it takes a pod in gets it again when it is back", async () => {
  await using rig = await serveZtunnel();
  const ztunnel = rig.ztunnel({ fault: atFirstAdd("die-before") });
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  assert.deepEqual(await rig.server.enroll(workload("a"), rig.netns().fd, never), { result: "acknowledged" });
  assert.deepEqual(ztunnel.requests.slice(0, 3), ["snapshot-sent", "add a", "add a"]);
});

test("a ztunnel that dies after it took a pod in, and before it says so, is asked again", async () => {
  await using rig = await serveZtunnel();
  const ztunnel = rig.ztunnel({ fault: atFirstAdd("die-after") });
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  assert.deepEqual(await rig.server.enroll(workload("a"), rig.netns().fd, never), { result: "acknowledged" });
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  assert.equal(ztunnel.state.proxies.size, 1);
});

test("a ztunnel that dies after its acknowledgement finds the pod in the next snapshot", async () => {
  await using rig = await serveZtunnel();
  const first = rig.ztunnel({ isPersistent: false });
  await rig.until("the snapshot", isSynced(rig, first));
  await rig.server.enroll(workload("a"), rig.netns().fd, never);
  first.hangUp();
  await rig.until("the end", () => !rig.server.isConnected());
  assert.equal(rig.server.workload("a")?.state, "waiting");
  const second = rig.ztunnel();
  await rig.until("the snapshot", isSynced(rig, second));
  assert.deepEqual(second.requests, ["add a", "snapshot-sent"]);
});

test("a ztunnel that acknowledges late is not trusted: the next pod does not take that answer for its own", async () => {
  await using rig = await serveZtunnel({ ackTimeoutMs: 2000 });
  let isSlow = true;
  const ztunnel = rig.ztunnel({ fault: (request) => (request?.kind === "add" && isSlow ? "hold" : undefined) });
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  ztunnel.failing.add("b");
  const [first, second] = [rig.netns(), rig.netns()];
  const outcome = rig.server.enroll(workload("a"), first.fd, never);
  await rig.until("the add", () => ztunnel.requests.includes("add a"));
  const other = rig.server.enroll(workload("b"), second.fd, never);
  assert.deepEqual(await outcome, { result: "timed-out" });
  isSlow = false;
  ztunnel.release();
  assert.equal((await other).result, "refused");
  await rig.until("the snapshot", () => rig.changes.filter((change) => change === "connected").length === 2);
  assert.ok(rig.warnings.some((line) => line.includes("ack-timeout")));
  // The pod that timed out may have been taken in: the new snapshot does not have it, so that it is dropped.
  await rig.until("the pod to be dropped", () => ztunnel.state.proxies.size === 0 && ztunnel.state.isReady());
});

test("a ztunnel that sends garbage is hung up on and served again when it is back", async () => {
  await using rig = await serveZtunnel();
  let isMad = true;
  const ztunnel = rig.ztunnel({
    fault: (request) => {
      if (request?.kind !== "add" || !isMad) return undefined;
      isMad = false;
      return { bytes: Uint8Array.of(0xff, 0xff, 0xff) };
    },
  });
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  assert.deepEqual(await rig.server.enroll(workload("a"), rig.netns().fd, never), { result: "acknowledged" });
  assert.ok(rig.warnings.some((line) => line.includes("unreadable")));
});

test("answers to nothing, long texts and descriptors that nobody asked for end the connection only", async () => {
  await using rig = await serveZtunnel();
  const ztunnel = rig.ztunnel();
  const ends = (): number => rig.changes.filter((change) => change === "disconnected").length;
  const file = rig.netns().fd;
  for (const [index, send] of [
    () => ztunnel.send(encodeResponse({ error: "" })),
    () => ztunnel.send(encodeRequest({ kind: "snapshot-sent" })),
    () => ztunnel.send(encodeResponse({ error: "x".repeat(100_000) })),
    () => ztunnel.send(encodeResponse({ error: "" }), [file]),
    () => ztunnel.send(encodeResponse({ error: "" }), [file, file, file, file]),
  ].entries()) {
    await rig.until("the snapshot", isSynced(rig, ztunnel));
    send();
    await rig.until("the end", () => ends() === index + 1);
  }
  await rig.until("the snapshot", isSynced(rig, ztunnel));
});

test("a refusal longer than a request may be is read whole", async () => {
  await using rig = await serveZtunnel();
  const ztunnel = rig.ztunnel({
    fault: (request) =>
      request?.kind === "add" ? { bytes: encodeResponse({ error: `no ${"x".repeat(5000)}` }) } : undefined,
  });
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  const outcome = await rig.server.enroll(workload("a"), rig.netns().fd, never);
  assert.match(outcome.result === "refused" ? outcome.error : outcome.result, /^no x{509}…$/);
});

test("a peer that never says hello, and one that never reads, keep nobody from a ztunnel that works", async () => {
  await using rig = await serveZtunnel({ helloTimeoutMs: LONG_MS, ackTimeoutMs: LONG_MS });
  rig.ztunnel({ hello: undefined });
  rig.ztunnel({ isDeaf: true });
  const ztunnel = rig.ztunnel();
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  assert.deepEqual(await rig.server.enroll(workload("a"), rig.netns().fd, never), { result: "acknowledged" });
  assert.deepEqual(
    rig.server.connections().map(({ phase, isPrimary }) => [phase, isPrimary]),
    [
      ["greeting", false],
      ["snapshot", false],
      ["live", true],
    ],
  );
});

test("a newer connection that is not through its snapshot gets no pod instead of the older one that is", async () => {
  await using rig = await serveZtunnel({ helloTimeoutMs: LONG_MS, ackTimeoutMs: LONG_MS });
  const ztunnel = rig.ztunnel();
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  rig.ztunnel({ hello: undefined });
  await rig.until("the second connection", () => rig.server.connections().length === 2);
  assert.deepEqual(await rig.server.enroll(workload("a"), rig.netns().fd, never), { result: "acknowledged" });
  assert.deepEqual(ztunnel.requests, ["snapshot-sent", "add a"]);
});

test("silent connections are given up at their deadline", async () => {
  await using rig = await serveZtunnel({ helloTimeoutMs: 30 });
  rig.ztunnel({ hello: undefined, isPersistent: false });
  await rig.until("the end", () => rig.changes.includes("disconnected"));
  assert.deepEqual(rig.server.connections(), []);
});

test("who is not ztunnel's user is hung up on", async () => {
  await using rig = await serveZtunnel({ allowedUids: [4_294_967_294] });
  const ztunnel = rig.ztunnel({ isPersistent: false });
  await rig.until("the end", () => !ztunnel.isConnected());
  assert.ok(rig.warnings.some((line) => line.startsWith("Refused a peer on the ztunnel socket")));
  assert.deepEqual(rig.server.connections(), []);
});

test("of too many connections the oldest that has not said hello gives way", async () => {
  await using rig = await serveZtunnel({ maxConnections: 2, helloTimeoutMs: LONG_MS });
  const first = rig.ztunnel();
  await rig.until("the snapshot", isSynced(rig, first));
  const silent = rig.ztunnel({ hello: undefined, isPersistent: false });
  await rig.until("the second connection", () => rig.server.connections().length === 2);
  const third = rig.ztunnel();
  await rig.until("the snapshot", () => third.state.isReady());
  await rig.until("the silent one's end", () => !silent.isConnected());
  assert.ok(first.isConnected());
});

test("the socket's file is made again where somebody removed it", async () => {
  await using rig = await serveZtunnel({ recheckMs: 10 });
  await rig.until("the socket", () => existsSync(rig.path));
  assert.equal(statSync(rig.path).mode & 0o777, 0o600);
  rmSync(rig.path);
  await rig.until("the new socket", () => existsSync(rig.path));
  const ztunnel = rig.ztunnel();
  await rig.until("the snapshot", isSynced(rig, ztunnel));
});

test("a pod that ztunnel cannot bear does not keep the others from their snapshot", async () => {
  await using rig = await serveZtunnel({ ackTimeoutMs: 2000 });
  rig.server.declare(workload("bad"), rig.netns().fd);
  rig.server.declare(workload("good"), rig.netns().fd);
  const ztunnel = rig.ztunnel({
    fault: (request) => (request?.kind === "add" && request.uid === "bad" ? "ignore" : undefined),
  });
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  assert.deepEqual(ztunnel.requests, ["add bad", "keep bad", "add good", "snapshot-sent"]);
  assert.equal(rig.server.workload("good")?.state, "served");
  assert.equal(rig.server.workload("bad")?.failures, 1);
});

test("a pod whose add ends ztunnel is not added again and again", async () => {
  await using rig = await serveZtunnel();
  rig.server.declare(workload("bad"), rig.netns().fd);
  const ztunnel = rig.ztunnel({ fault: (request) => (request?.kind === "add" ? "die-before" : undefined) });
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  // The first time it may have been ztunnel's own end.
  assert.deepEqual(ztunnel.requests, ["add bad", "add bad", "keep bad", "snapshot-sent"]);
});

test("a listener that throws keeps nobody from anything", async () => {
  await using rig = await serveZtunnel();
  using _ = rig.server.subscribe(() => {
    throw new Error("mine");
  });
  const ztunnel = rig.ztunnel();
  await rig.until("the snapshot", isSynced(rig, ztunnel));
  assert.deepEqual(await rig.server.enroll(workload("a"), rig.netns().fd, never), { result: "acknowledged" });
  assert.ok(rig.warnings.some((line) => line.includes("mine")));
});
