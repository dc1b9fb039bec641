// A request between two ambient pods on the way that the mesh gives it: out of pod A into ztunnel's listener in A's namespace,
// into B through ztunnel's listener in B's. The agent's own server, rules and backend; ztunnel.c in place of ztunnel.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FAMILIES } from "../../src/core/address.ts";
import { encodeRequest, type WorkloadRequest } from "../../src/core/zds/messages.ts";
import { createPoller } from "../../src/platform/linux/poller.ts";
import { SOCK_SEQPACKET } from "../../src/platform/linux/socket-numbers.ts";
import { listenUnix, type UnixConnection } from "../../src/platform/linux/unix-socket.ts";
import { AMBIENT_CASES, DEFAULT_AMBIENT_CAPTURE } from "../../testbed/ambient/ambient-cases.ts";
import { createNetns } from "../../testbed/netns.ts";
import { startApplication } from "../../testbed/sidecar/sidecar.ts";
import { startSlowServer } from "../../testbed/sidecar/slow-server.ts";
import { serveZtunnel, workload } from "../../testbed/ztunnel/server-rig.ts";
import { compileZtunnel, startZtunnel } from "../../testbed/ztunnel/ztunnel-process.ts";
import { createZtunnelState } from "../../testbed/ztunnel/ztunnel-state.ts";
import { ask, createMesh, MESH_ADDRESSES, MESH_PORT } from "./ambient-mesh.ts";
import { DIALECTS } from "./backend-fixture.ts";
import { NETTOOL } from "./case-table-stage.ts";

const never = new AbortController().signal;
const endpoint = (ip: string, port: number): string => (ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`);

for (const dialect of DIALECTS)
  for (const tunnel of [false, true]) {
    const how = tunnel ? "through port 15008" : "in plain text";
    test(`${dialect}: a request from pod to pod passes ztunnel in both, ${how}, and keeps its source`, async () => {
      await using mesh = await createMesh(dialect, { tunnel });
      for (const family of FAMILIES) {
        const [from, to] = [MESH_ADDRESSES.a[family], MESH_ADDRESSES.b[family]];
        const destination = endpoint(to, MESH_PORT);
        const seen = mesh.ztunnel.connections().length;
        const accepts = mesh.application.connections().length;
        assert.deepEqual(await ask(mesh.a, to), { outcome: "direct", port: MESH_PORT });
        await mesh.rig.until("both connections", () => mesh.ztunnel.connections().length === seen + 2);
        const [outbound, inbound] = mesh.ztunnel
          .connections()
          .slice(seen)
          .toSorted((left, right) => (left.uid < right.uid ? -1 : 1));
        assert.ok(outbound !== undefined && inbound !== undefined);
        assert.deepEqual(
          { ...outbound, peer: undefined },
          {
            ...{ uid: "a", direction: "outbound", peer: undefined, destination, result: "forwarded" },
            way: tunnel ? "tunnel" : "direct",
          },
        );
        assert.deepEqual(
          { ...inbound, peer: undefined },
          {
            ...{ uid: "b", direction: tunnel ? "hbone" : "inbound", peer: undefined, destination, result: "forwarded" },
            way: "direct",
          },
        );
        for (const { peer } of [outbound, inbound]) assert.ok(peer.startsWith(endpoint(from, 0).slice(0, -1)), peer);
        await mesh.rig.until("the application's word", () => mesh.application.connections().length > accepts);
        const accepted = mesh.application.connections().at(-1);
        assert.equal(accepted?.peer.startsWith(endpoint(from, 0).slice(0, -1)), true, "the application sees pod A");
      }
    });
  }

for (const dialect of DIALECTS)
  test(`${dialect}: with inbound capture bypassed, what comes through port 15008 is still answered`, async () => {
    const capture = AMBIENT_CASES["bypass"] ?? DEFAULT_AMBIENT_CAPTURE;
    await using mesh = await createMesh(dialect, { tunnel: true, capture });
    for (const family of FAMILIES)
      assert.deepEqual(await ask(mesh.a, MESH_ADDRESSES.b[family]), { outcome: "direct", port: MESH_PORT });
    await mesh.rig.until("all connections", () => mesh.ztunnel.connections().length === 4);
    assert.deepEqual(
      mesh.ztunnel
        .connections()
        .map(({ direction }) => direction)
        .toSorted(),
      ["hbone", "hbone", "outbound", "outbound"],
    );
  });

test("a pod that ztunnel no longer has is not reachable past it, and is again once it is enrolled", async () => {
  await using mesh = await createMesh("iptables-nft");
  assert.deepEqual(await mesh.rig.server.withdraw("b", never), { result: "withdrawn" });
  assert.notEqual((await ask(mesh.a, MESH_ADDRESSES.b[4])).outcome, "direct");
  assert.deepEqual(await mesh.rig.server.enroll(workload("b"), mesh.b.fd, never), { result: "acknowledged" });
  assert.equal((await ask(mesh.a, MESH_ADDRESSES.b[4])).outcome, "direct");
});

test("while one ztunnel follows another, no request is lost, and the first one drains", async () => {
  await using mesh = await createMesh("iptables-nft");
  await using next = await startZtunnel({ socketPath: mesh.rig.path });
  await mesh.rig.until("the second snapshot", () => mesh.rig.server.workload("b")?.servedBy.length === 2);
  assert.equal((await ask(mesh.a, MESH_ADDRESSES.b[4])).outcome, "direct");
  assert.equal(await mesh.ztunnel.stop(), 0);
  const before = next.connections().length;
  assert.equal((await ask(mesh.a, MESH_ADDRESSES.b[4])).outcome, "direct");
  await mesh.rig.until("both connections", () => next.connections().length >= before + 2);
});

test("a request under way when ztunnel ends is answered", async () => {
  await using mesh = await createMesh("iptables-nft");
  await using slow = await startSlowServer({ netnsPath: mesh.b.path }, 9090, "direct 9090");
  const answer = ask(mesh.a, MESH_ADDRESSES.b[4], 9090, 30_000);
  await slow.waitUntilAsked();
  const ended = mesh.ztunnel.stop();
  await mesh.ztunnel.command.waitForLine((line) => line.includes('"draining"'));
  slow.answer();
  assert.deepEqual(await answer, { outcome: "direct", port: 9090 });
  assert.equal(await ended, 0);
});

test("when the agent goes away requests pass ztunnel as before", async () => {
  await using mesh = await createMesh("iptables-nft");
  await mesh.rig.stop();
  await mesh.ztunnel.command.waitForLine((line) => line.includes('"disconnected"'));
  assert.equal((await ask(mesh.a, MESH_ADDRESSES.b[4])).outcome, "direct");
});

test("a pod in which somebody else has ztunnel's port is refused with the reason", async () => {
  await using rig = await serveZtunnel();
  using pod = createNetns();
  await using _squatter = await startApplication(NETTOOL, { netnsPath: pod.path }, [15006]);
  await using ztunnel = await startZtunnel({ socketPath: rig.path });
  await rig.until("the snapshot", () => rig.server.isConnected());
  assert.deepEqual(await rig.server.enroll(workload("a"), pod.fd, never), {
    result: "refused",
    error: "failure to start proxy : bind port 15006: Address already in use",
  });
  // Taken out again, so that ztunnel does not stay unready for a pod that never starts.
  await ztunnel.command.waitForLine((line) => line.includes('"del"') && line.includes('"ready":true'));
});

test("DNS of the pod is answered on both protocols where it is captured", async () => {
  await using mesh = await createMesh("iptables-nft", {
    dns: true,
    capture: { ...DEFAULT_AMBIENT_CAPTURE, captureDns: true },
  });
  const sockets = mesh.a.mustExec(["ss", "-Hlntu"]);
  for (const local of ["127.0.0.1:15053", "[::1]:15053"])
    assert.equal(sockets.split(local).length, 3, `TCP and UDP on ${local}:\n${sockets}`);
});

test("with ztunnel killed nothing of it is left in the pods", async () => {
  await using mesh = await createMesh("iptables-nft");
  await mesh.ztunnel.stop("SIGKILL");
  await mesh.rig.until("the listeners to go", () => !/:150(01|06|08)/.test(mesh.a.mustExec(["ss", "-Hlnt"])));
  const program = compileZtunnel();
  await mesh.rig.until("the processes to go", () => !processesOf(program).includes(mesh.ztunnel.command.pid));
});

test("ztunnel.c tells readiness when it has its snapshot and no proxy fails", async () => {
  await using rig = await serveZtunnel({ isAdmitted: false });
  await using ztunnel = await startZtunnel({ socketPath: rig.path, tellsReadiness: true });
  const address = `http://127.0.0.1:${ztunnel.readyPort}/healthz/ready`;
  const ready = async (): Promise<number> => (await fetch(address)).status;
  assert.equal(await ready(), 503);
  rig.server.admitSnapshots();
  await rig.until("the snapshot", () => rig.server.isConnected());
  assert.equal(await ready(), 200);
});

/** What an agent could say, right and wrong; `namespaces` go with it. */
const CONVERSATIONS: Readonly<Record<string, readonly { bytes: Uint8Array; namespaces: number }[]>> = (() => {
  const info = { name: "n", namespace: "ns", serviceAccount: "sa" };
  const say = (request: WorkloadRequest, namespaces = request.kind === "add" ? 1 : 0) => ({
    bytes: encodeRequest(request),
    namespaces,
  });
  const add = { kind: "add", uid: "u", info } as const;
  const raw = (text: string, namespaces = 0) => ({ bytes: Uint8Array.from(Buffer.from(text, "hex")), namespaces });
  const end = { kind: "snapshot-sent" } as const;
  return {
    "add twice, end, delete twice": [
      say(add),
      say(add),
      say(end),
      say({ kind: "del", uid: "u" }),
      say({ kind: "del", uid: "u" }),
    ],
    "keep and delete within the snapshot": [say({ kind: "keep", uid: "x" }), say({ kind: "del", uid: "x" }), say(end)],
    "add without a namespace": [say(add, 0)],
    "add with two namespaces": [say(add, 2)],
    "delete with a namespace": [say({ kind: "del", uid: "u" }, 1)],
    "no payload": [raw("2200")],
    garbage: [raw("ffffffff")],
    "a cut message": [raw("0a05")],
    "1024 bytes": [say({ ...add, info: { ...info, name: "x".repeat(1004) } })],
    "1025 bytes": [say({ ...add, info: { ...info, name: "x".repeat(1005) } })],
    "keep after the snapshot": [say(end), say({ kind: "keep", uid: "u" })],
    "the end twice": [say(end), say(end)],
    "add without information": [say({ kind: "add", uid: "u", info: undefined })],
    "unknown fields": [raw("c23e03616263 c03e9601 2a0a0a0175c13e01020304 05060708".replaceAll(" ", "")), raw("1a00")],
  };
})();

test("ztunnel.c without a proxy acknowledges pods, forgets them, and does nothing in their namespaces", async () => {
  await using rig = await serveZtunnel();
  await using ztunnel = await startZtunnel({ socketPath: rig.path, proxies: false });
  using netns = createNetns();
  await rig.until("a ztunnel", () => rig.server.isConnected());
  for (const uid of ["a", "b"])
    assert.deepEqual(await rig.server.enroll(workload(uid), netns.fd, never), { result: "acknowledged" });
  assert.equal(netns.mustExec(["ss", "-Htuln"]), "");
  assert.deepEqual(await rig.server.withdraw("a", never), { result: "withdrawn" });
  // Whoever took the missing process for one would end more than it should.
  assert.equal(await ztunnel.stop(), 0);
  assert.deepEqual(
    ztunnel.events().map(({ event }) => event),
    ["started", "connected", "snapshot-sent", "add", "add", "del", "draining", "drained"],
  );
});

test("ztunnel.c and the model of ztunnel answer the same to everything an agent could say", async () => {
  for (const length of [1024, 1025]) assert.equal(CONVERSATIONS[`${length} bytes`]?.[0]?.bytes.length, length);
  using home = createNetns({ loopbackUp: false });
  for (const [name, datagrams] of Object.entries(CONVERSATIONS)) {
    const expected: string[] = [];
    const model = createZtunnelState<number>({
      start: () => undefined,
      stop() {},
      isSame: (a, b) => a === b,
      release() {},
    });
    model.connected();
    for (const { bytes, namespaces } of datagrams) {
      const reaction = model.receive({ bytes, namespaces: Array<number>(namespaces).fill(1) });
      expected.push(`${kindOf(reaction.error)}, then ${reaction.next}`);
      if (reaction.next !== "read-on") break;
    }
    assert.deepEqual(await converse(datagrams, home.fd), expected, name);
  }
});

/** What an answer says, without words that are each one's own. */
function kindOf(error: string): string {
  if (error === "") return "done";
  return error.includes("truncated") ? error : error.slice(0, "failure to read message".length);
}

/** Plays an agent to a fresh ztunnel.c. */
async function converse(datagrams: (typeof CONVERSATIONS)[string], netnsFd: number): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "ztunnel-words-"));
  using listener = listenUnix(join(folder, "ztunnel.sock"), SOCK_SEQPACKET, { mode: 0o600, backlog: 4 });
  await using ztunnel = await startZtunnel({ socketPath: listener.path });
  const poller = createPoller((error) => assert.fail(String(error)));
  try {
    const connection = await ready(poller, listener.fd, () => listener.accept());
    assert.equal(await receive(poller, connection), "0801");
    const answers: string[] = [];
    for (const { bytes, namespaces } of datagrams) {
      connection.send(bytes, Array<number>(namespaces).fill(netnsFd));
      const answer = Buffer.from((await receive(poller, connection)) ?? "", "hex");
      const error = answer.subarray(4).toString();
      const isOver = error !== "" && !error.startsWith("failure to start");
      if (isOver) assert.equal(await receive(poller, connection), undefined, "it hangs up");
      const hasEnded = isOver && error.startsWith("failure to process");
      if (hasEnded) assert.equal(await ztunnel.command.exited, 1);
      const next = hasEnded ? "end" : isOver ? "connect-anew" : "read-on";
      answers.push(`${kindOf(error)}, then ${next}`);
      if (isOver) break;
    }
    connection.close();
    return answers;
  } finally {
    await poller.close();
    rmSync(folder, { recursive: true });
  }
}

/** What `take` gives once `fd` is readable. */
async function ready<T>(poller: ReturnType<typeof createPoller>, fd: number, take: () => T | undefined): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<T>();
  using _ = poller.watch(fd, { readable: true, writable: false }, () => {
    const taken = take();
    if (taken !== undefined) resolve(taken);
  });
  return await promise;
}

/** The next datagram in hexadecimal; undefined: the peer has hung up. */
async function receive(
  poller: ReturnType<typeof createPoller>,
  connection: UnixConnection,
): Promise<string | undefined> {
  const buffer = new Uint8Array(2048);
  const received = await ready(poller, connection.fd, () => connection.receive(buffer));
  return received.length === 0 ? undefined : Buffer.from(buffer.subarray(0, received.length)).toString("hex");
}

function processesOf(program: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && existsSync(`/proc/${name}/cmdline`))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith(program);
      } catch {
        return false;
      }
    })
    .map(Number);
}
