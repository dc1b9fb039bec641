// The verifier against the real kernel: whatever others do to a pod's rules is heard of, undone under a living connection,
// and not taken for a change when it is our own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import { createInterface } from "node:readline";
import { test } from "node:test";
import type { BackendDialect } from "../../src/core/policy/backend-features.ts";
import type { TestNetns } from "../../testbed/netns.ts";
import { compileStatic } from "../../testbed/node/compile.ts";
import { generationOf, rulesIn } from "./backend-fixture.ts";
import { createVerifiedNode } from "./verify-fixture.ts";

const ECHO = compileStatic(`${import.meta.dirname}/backend-echo.c`);

/** Of the verifier, after the first repair that is one too many; times are whole milliseconds. */
const FIRST_REST_MS = 1000;

/** How somebody damages the rules of a dialect. */
const DAMAGE: Record<Exclude<BackendDialect, "iptables-legacy">, Readonly<Record<string, readonly string[]>>> = {
  "iptables-nft": {
    "flushes the table": ["iptables-nft", "-t", "nat", "-F"],
    "deletes a rule": ["iptables-nft", "-t", "nat", "-D", "OUTPUT", "-j", "ISTIO_OUTPUT"],
    "inserts a rule": ["iptables-nft", "-t", "nat", "-I", "ISTIO_OUTPUT", "1", "-p", "tcp", "-j", "RETURN"],
    "deletes everything": ["nft", "flush", "ruleset"],
  },
  nftables: {
    "flushes the table": ["nft", "flush", "table", "inet", "istio-proxy-nat"],
    "inserts a rule": ["nft", "insert", "rule", "inet", "istio-proxy-nat", "istio-output", "accept"],
    "deletes everything": ["nft", "flush", "ruleset"],
  },
};

for (const dialect of ["iptables-nft", "nftables"] as const) {
  for (const [what, argv] of Object.entries(DAMAGE[dialect])) {
    test(`${dialect}: somebody who ${what} is named, and the rules are back at once, under a living connection`, async () => {
      await using node = createVerifiedNode({ dialect });
      const { pod, netns } = node.addPod("web");
      node.start();
      await node.until(pod, ({ repairs }) => repairs === 1);
      const whole = rulesIn(netns);
      await using connection = await holdCaptured(netns);
      netns.mustExec(argv);
      const record = await node.until(pod, ({ repairs }) => repairs === 2);
      assert.equal(record.state, "repaired");
      assert.deepEqual(rulesIn(netns), whole);
      await connection.assertAnswers();
      assert.ok(record.lastDrift.length > 0);
      const [missing, altered] = node.events;
      assert.match(missing?.message ?? "", /^pod ran without its redirection, which is in place now: /);
      const program = argv[0] === "nft" ? "nft" : "iptables";
      assert.match(
        altered?.message ?? "",
        new RegExp(`was altered \\(by ${program}.*, pid [0-9]+\\) and has been repaired: `),
      );
      assert.deepEqual(node.counted, ["drift repaired", "repair success", "drift repaired"]);
    });
  }
}

test("a verified pod stays as it is: neither passes, nor events, nor our own notifications write anything", async () => {
  await using node = createVerifiedNode({ intervalMs: 20 });
  const { pod, netns } = node.addPod("web");
  node.start();
  const { lastVerifiedMs = 0 } = await node.until(pod, ({ state }) => state !== "waiting");
  const generation = generationOf(netns);
  await node.until(pod, (record) => (record.lastVerifiedMs ?? 0) > lastVerifiedMs + 200);
  assert.equal(generationOf(netns), generation);
  assert.equal(node.verifier.record(pod.uid)?.generation, generation);
  assert.equal(node.verifier.record(pod.uid)?.repairs, 1);
  assert.equal(node.events.length, 1);
});

test("rules of others that are none of ours are looked at and left", async () => {
  await using node = createVerifiedNode();
  const { pod, netns } = node.addPod("web");
  node.start();
  await node.until(pod, ({ repairs }) => repairs === 1);
  netns.mustExec(["nft", "add", "table", "inet", "of-somebody"]);
  const generation = generationOf(netns);
  const record = await node.until(pod, (seen) => seen.generation === generation);
  assert.equal(record.state, "verified");
  assert.equal(generationOf(netns), generation);
  assert.match(netns.mustExec(["nft", "list", "tables"]), /table inet of-somebody/);
});

test("the policy rule of TPROXY, of which nf_tables knows nothing, is missed at once too", async () => {
  await using node = createVerifiedNode();
  const { pod, netns } = node.addPod("web", { "sidecar.istio.io/interceptionMode": "TPROXY" });
  node.start();
  await node.until(pod, ({ state }) => state === "verified");
  const whole = rulesIn(netns);
  netns.mustExec(["ip", "rule", "del", "fwmark", "1337"]);
  assert.notDeepEqual(rulesIn(netns), whole);
  await node.until(pod, ({ repairs }) => repairs === 2);
  assert.deepEqual(rulesIn(netns), whole);
});

test("rules of iptables legacy, which tells nobody of a change, are repaired by the timer", async () => {
  await using node = createVerifiedNode({ dialect: "iptables-legacy", intervalMs: 50 });
  const { pod, netns } = node.addPod("web");
  node.start();
  await node.until(pod, ({ state }) => state !== "waiting");
  const whole = rulesIn(netns);
  netns.mustExec(["iptables-legacy", "-t", "nat", "-F", "ISTIO_OUTPUT"]);
  await node.until(pod, ({ repairs }) => repairs === 2);
  assert.deepEqual(rulesIn(netns), whole);
  assert.equal(node.verifier.record(pod.uid)?.isMonitored, false);
});

test("a pod that never was captured is reported and left where repair in place is off", async () => {
  await using node = createVerifiedNode({ repair: "delete" });
  const { pod, netns } = node.addPod("web");
  node.start();
  const record = await node.until(pod, ({ state }) => state === "uncaptured");
  assert.match(record.message ?? "", /REPAIR_REPAIR_PODS/);
  assert.deepEqual(rulesIn(netns), []);
  assert.deepEqual(
    node.events.map(({ reason }) => reason),
    ["RedirectionMissing"],
  );
  assert.deepEqual(node.counted, ["drift left"]);
});

test("somebody who undoes every repair does not get the processor: the repairs become rare", async () => {
  await using node = createVerifiedNode();
  const { pod, netns } = node.addPod("web");
  node.start();
  let sixthMs = 0;
  for (let repairs = 1; repairs <= 6; repairs++) {
    const record = await node.until(pod, (seen) => seen.repairs === repairs);
    sixthMs = record.lastDriftMs ?? assert.fail();
    netns.mustExec(["iptables-nft", "-t", "nat", "-F", "ISTIO_OUTPUT"]);
  }
  // Not looked for while it rests: the machine may take longer to say so than the rest lasts.
  const { lastDriftMs = 0 } = await node.until(pod, ({ repairs }) => repairs === 7);
  assert.ok(lastDriftMs - sixthMs >= FIRST_REST_MS - 1, `after ${lastDriftMs - sixthMs} ms`);
});

test("after DEL, deletion and the end of the verifier no socket keeps a namespace", async () => {
  const before = openNetlinkSockets();
  {
    await using node = createVerifiedNode();
    const { pod } = node.addPod("gone");
    const { pod: other } = node.addPod("stays");
    node.start();
    await node.untilAll([pod, other], ({ repairs }) => repairs === 1);
    assert.equal(openNetlinkSockets(), before + 2);
    node.deletePod(pod);
    assert.equal(openNetlinkSockets(), before + 1);
    assert.equal(node.verifier.record(pod.uid), undefined);
  }
  assert.equal(openNetlinkSockets(), before);
});

/** Netlink sockets of this process, as far as they can be told: all sockets. */
function openNetlinkSockets(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:");
    } catch {
      return false;
    }
  }).length;
}

/** A connection of the application that the proxy's port has taken, made before anything else happens to the rules. */
async function holdCaptured(netns: TestNetns): Promise<AsyncDisposable & { assertAnswers(): Promise<void> }> {
  const proxy = startIn(netns, ["serve", "15001"]);
  await proxy.line();
  const client = startIn(netns, ["hold", "198.51.100.1", "80"]);
  assert.equal(await client.line(), "15001");
  return {
    async assertAnswers() {
      client.ask();
      assert.equal(await client.line(), "15001");
    },
    async [Symbol.asyncDispose]() {
      await client.stop();
      await proxy.stop();
    },
  };
}

function startIn(netns: TestNetns, args: readonly string[]) {
  const child = netns.run(() => spawn(ECHO, args, { stdio: ["pipe", "pipe", "inherit"] }));
  const ended = new Promise<void>((resolve) => void child.once("close", () => resolve()));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    line: async () => (await lines.next()).value,
    ask: () => void child.stdin.write("\n"),
    async stop() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
