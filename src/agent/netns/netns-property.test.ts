import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AGENT_INO, cgroupOf, FakeNode, fakePod, NODE_INO } from "./testing.ts";

const never = new AbortController().signal;
const PODS = 4;

const podNumber = fc.integer({ min: 1, max: PODS });
const ino = fc.bigInt({ min: 1n, max: 8n });
/** Processes of pods, of nobody, and of two pods at once, in any namespace, the node's included. */
const process = fc.record({
  pid: fc.integer({ min: 2, max: 40 }),
  ino,
  owners: fc.uniqueArray(podNumber, { maxLength: 2 }),
  startTime: fc.integer({ min: 0, max: 5 }),
});
const tree = fc.record({
  processes: fc.array(process, { maxLength: 20 }),
  addresses: fc.array(fc.tuple(ino, fc.array(podNumber, { maxLength: 2 })), { maxLength: 8 }),
  named: fc.array(ino, { maxLength: 4 }),
  /** The moment at which a process goes elsewhere, counted in questions to the node. */
  moves: fc.array(fc.record({ at: fc.nat(80), pid: fc.integer({ min: 2, max: 40 }), to: fc.option(ino) }), {
    maxLength: 4,
  }),
});

test("find() on any node takes only namespaces that hold the pod's address, never the node's, the agent's or another pod's", async () => {
  await fc.assert(
    fc.asyncProperty(tree, async ({ processes, addresses, named, moves }) => {
      const node = new FakeNode();
      using registry = node.createRegistry();
      for (const { pid, owners, ...rest } of processes) {
        const cgroup =
          owners.map((owner) => cgroupOf(fakePod(owner).uid, pid)).join("") || "0::/system.slice/x.service";
        node.processes.set(pid, { ...rest, cgroup });
      }
      for (const [at, holders] of addresses)
        node.namespaces.set(
          at,
          holders.flatMap((holder) => fakePod(holder).podIps),
        );
      for (const at of named) node.named.set(`/run/netns/${at}`, at);
      let asked = 0;
      node.meanwhile = () => {
        asked++;
        for (const { at, pid, to } of moves) {
          const moving = node.processes.get(pid);
          if (at !== asked || moving === undefined) continue;
          if (to === null) node.processes.delete(pid);
          else moving.ino = to;
        }
      };
      const pods = Array.from({ length: PODS }, (_, index) => fakePod(index + 1));
      const lookups = await registry.find(pods, never);
      assert.equal(lookups.size, PODS);
      const taken = new Set<bigint>();
      for (const [pod, lookup] of lookups) {
        const held = registry.get(pod);
        assert.equal(held !== undefined, lookup.kind === "found");
        if (held === undefined) continue;
        assert.notEqual(held.ino, NODE_INO);
        assert.notEqual(held.ino, AGENT_INO);
        assert.equal(node.open.get(held.fd), held.ino);
        const holds = node.namespaces.get(held.ino)?.some((ip) => pod.podIps.includes(ip));
        assert.ok(holds, "it holds the pod's address");
        assert.ok(!taken.has(held.ino), "no other pod has it");
        taken.add(held.ino);
        if (moves.length > 0) continue;
        const ownCgroup = cgroupOf(pod.uid, 0).slice(0, -65);
        const cgroups = [...node.processes.values()]
          .filter((other) => other.ino === held.ino)
          .map(({ cgroup }) => cgroup ?? "");
        const isOwn = cgroups.some((text) => text.startsWith(ownCgroup) && text.split("\n").length === 2);
        const isNobodys = cgroups.every((text) => !text.includes("/pod"));
        assert.ok(isOwn || isNobodys, "another pod's processes run in it");
      }
      assert.equal(node.open.size, taken.size, "nothing else is open");
      registry[Symbol.dispose]();
      assert.equal(node.open.size, 0);
    }),
    { numRuns: 1000 },
  );
});
