// Any pod, drawn at random, through a real kernel: what is read back is what was written, a second apply writes nothing, and
// removal leaves the namespace as it was, to the byte.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createIptablesNftStore, createNftablesStore } from "../../src/agent/netfilter/nf-tables-store.ts";
import type { Ruleset } from "../../src/core/rules/model.ts";
import type { PodCapture } from "../../src/core/rules/pod-capture.ts";
import { renderIptables } from "../../src/core/rules/render-iptables.ts";
import { renderNft } from "../../src/core/rules/render-nft.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { arbitraryFamilies, arbitraryPod } from "../../testbed/sidecar/arbitrary-pod.ts";
import { planOfPod } from "../../testbed/sidecar/pod-words.ts";
import { ambientCase, backendOf, generationOf } from "./backend-fixture.ts";
import { assertToolsPrint } from "./case-table-listing.ts";

const STORES = {
  "iptables-nft": createIptablesNftStore({ openNetlink }),
  nftables: createNftablesStore({ openNetlink }),
};

/** What the tools tell of a namespace beside its tables. */
const OTHER_TOOLS = [
  "ip rule",
  "ip -6 rule",
  "ip route show table all",
  "ip -6 route show table all",
  "ip addr show dev lo",
];
/** Everything. */
const TOOLS = ["iptables-nft-save", "ip6tables-nft-save", "nft list ruleset", ...OTHER_TOOLS];
const LEGACY_TOOLS = ["iptables-legacy-save", "ip6tables-legacy-save"];

const sidecarCapture = fc.tuple(arbitraryPod, arbitraryFamilies).map(([pod, families]): PodCapture => {
  const { dualStack: _, ...plan } = planOfPod(pod);
  return { ...plan, families };
});
const ambientCapture = fc
  .record({
    families: arbitraryFamilies,
    captureInbound: fc.boolean(),
    captureDns: fc.boolean(),
    virtualInterfaces: fc.subarray(["vnet0", "net-1.x"]),
  })
  .map((capture): PodCapture => ambientCase(capture));
const anyCapture = fc.oneof({ weight: 3, arbitrary: sidecarCapture }, { weight: 1, arbitrary: ambientCapture });

for (const dialect of ["iptables-nft", "nftables"] as const) {
  test(`${dialect}: the kernel gives any pod's rules back as they were written, and the tool prints their text`, async () => {
    const store = STORES[dialect];
    await fc.assert(
      fc.asyncProperty(anyCapture, async (capture) => {
        using netns = createNetns();
        const rulesets = store.rulesFor(capture);
        await backendOf(dialect).apply(netns.fd, capture);
        const held = (await store.read(netns.fd)).filter(({ tables }) => tables.length > 0);
        assert.deepEqual(held.map(withoutNotes), rulesets.map(withoutNotes));
        assertToolsPrint(netns, dialect, rulesets);
        assert.deepEqual(held.map(text), rulesets.map(text));
      }),
      { numRuns: 100 },
    );
  });

  test(`${dialect}: a second apply of any pod writes nothing, and removal leaves the namespace as it was`, async () => {
    const backend = backendOf(dialect);
    await fc.assert(
      fc.asyncProperty(anyCapture, async (capture) => {
        using netns = createNetns();
        const before = told(netns, TOOLS);
        await backend.apply(netns.fd, capture);
        const [generation, standing] = [generationOf(netns), withoutAddress(told(netns, OTHER_TOOLS))];
        const again = await backend.apply(netns.fd, capture);
        assert.deepEqual(again, { dialect, changed: false, replaced: [], repaired: [] });
        assert.deepEqual(await backend.drift(netns.fd, capture), []);
        assert.equal(generationOf(netns), generation);
        assert.deepEqual(withoutAddress(told(netns, OTHER_TOOLS)), standing);
        assert.equal(await backend.remove(netns.fd, capture), true);
        assert.equal(told(netns, TOOLS), before);
        assert.equal(await backend.remove(netns.fd, capture), false);
      }),
      { numRuns: 50 },
    );
  });
}

test("iptables-legacy: any pod's rules stand as written, a second apply restores nothing, and removal leaves no rule", async () => {
  const executed: string[] = [];
  const backend = backendOf("iptables-legacy", { executed });
  await fc.assert(
    fc.asyncProperty(anyCapture, async (capture) => {
      using netns = createNetns();
      const before = told(netns, TOOLS);
      await backend.apply(netns.fd, capture);
      assertToolsPrint(netns, "iptables-legacy", STORES["iptables-nft"].rulesFor(capture));
      executed.length = 0;
      assert.equal((await backend.apply(netns.fd, capture)).changed, false);
      assert.deepEqual(await backend.drift(netns.fd, capture), []);
      assert.deepEqual(
        executed.filter((program) => program.includes("restore")),
        [],
      );
      await backend.remove(netns.fd, capture);
      assert.equal(told(netns, TOOLS), before);
      assert.deepEqual(rulesTold(netns, LEGACY_TOOLS), []);
    }),
    { numRuns: 30 },
  );
});

/** In one go: programs are started a thousand times here. */
function told(netns: TestNetns, tools: readonly string[]): string {
  const lines = netns.mustExec(["sh", "-e", "-c", tools.join("; ")]).split("\n");
  // The time at which iptables-save was run.
  return lines.filter((line) => !line.startsWith("# ")).join("\n");
}

/** Rules and own chains in what the tools of iptables legacy print. Its tables stay when they were used once, empty: only
 * the end of the namespace takes them away. */
function rulesTold(netns: TestNetns, tools: readonly string[]): string[] {
  const isTableOrBaseChain = /^(\*\w+|:\w+ ACCEPT \[\d+:\d+\]|COMMIT)?$/;
  return told(netns, tools)
    .split("\n")
    .filter((line) => !isTableOrBaseChain.test(line));
}

/** A worker of the kernel adds the route of an address: what is told of ::6 differs for a moment. */
function withoutAddress(lines: string): string[] {
  return lines.split("\n").filter((line) => !line.includes("::6"));
}

function text(ruleset: Ruleset): string {
  return ruleset.family === "inet" ? renderNft(ruleset) : renderIptables(ruleset);
}

function withoutNotes({ family, tables }: Ruleset) {
  const chains = (table: (typeof tables)[number]) =>
    table.chains.map((chain) => ({
      ...chain,
      rules: chain.rules.map(({ matches, verdict }) => ({ matches, verdict })),
    }));
  return { family, tables: tables.map((table) => ({ name: table.name, chains: chains(table) })) };
}
