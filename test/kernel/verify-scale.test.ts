// What verification costs on a full node: a first pass that programs them, passes with nothing to do, one repair
// among them. The figures are printed, not asserted: machines differ.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createVerifiedNode } from "./verify-fixture.ts";

for (const { dialect, count } of [
  { dialect: "iptables-nft", count: 500 },
  { dialect: "nftables", count: 100 },
] as const) {
  test(`${dialect}: ${count} pods are verified, and one that is altered among them is repaired at once`, async (t) => {
    await using node = createVerifiedNode({ dialect });
    const added = Array.from({ length: count }, (_, index) => node.addPod(`web-${index}`));
    const pods = added.map(({ pod }) => pod);
    const measure = async (what: string, work: () => Promise<unknown>): Promise<void> => {
      const cpu = process.cpuUsage();
      const startedMs = performance.now();
      await work();
      const { user, system } = process.cpuUsage(cpu);
      const took = `${(performance.now() - startedMs).toFixed(1)} ms`;
      t.diagnostic(`${what}: ${took}, processor ${((user + system) / 1000).toFixed(1)} ms`);
    };
    const lookedAt = (sinceMs: number) => node.untilAll(pods, (record) => (record.lastVerifiedMs ?? 0) > sinceMs);

    await measure("first pass, everything missing", async () => {
      node.start();
      await node.untilAll(pods, ({ repairs }) => repairs === 1);
    });
    let sinceMs = Date.now();
    await measure("whole looks, nothing to do", async () => {
      await pause();
      node.verifier.request();
      await lookedAt(sinceMs);
    });
    sinceMs = Date.now();
    await measure("looks by generation, nothing to do", async () => {
      await pause();
      for (const pod of pods) node.touch(pod);
      await lookedAt(sinceMs);
    });
    const victim = added[Math.floor(count / 2)];
    assert.ok(victim !== undefined);
    const table = dialect === "nftables" ? ["inet", "istio-proxy-nat"] : ["ip", "nat"];
    victim.netns.mustExec(["nft", "flush", "chain", ...table, dialect === "nftables" ? "output" : "OUTPUT"]);
    await measure("from the end of nft to the repair", () => node.until(victim.pod, ({ repairs }) => repairs === 2));
    assert.equal(node.verifier.records().filter(({ repairs }) => repairs > 1).length, 1);
  });
}

/** Times are compared in whole milliseconds. */
function pause(): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, 2));
}
