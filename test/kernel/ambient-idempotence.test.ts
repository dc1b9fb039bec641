// What is wanted of an ambient pod changes while it runs, by annotations alone: its namespace then holds exactly what a new pod
// would, and writing it again commits nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AmbientCapture } from "../../src/core/rules/ambient-capture.ts";
import { AMBIENT_CASES } from "../../testbed/ambient/ambient-cases.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { backendOf, generationOf } from "./backend-fixture.ts";

const CASES = Object.entries(AMBIENT_CASES);

for (const dialect of ["iptables-nft", "nftables"] as const) {
  test(`${dialect}: applied twice, every ambient case leaves the generation as it is, from whichever other it comes`, async () => {
    const backend = backendOf(dialect);
    const unchanged = { dialect, changed: false, replaced: [], repaired: [] };
    const fresh = new Map<string, string>();
    for (const [name, capture] of CASES) {
      using netns = createNetns();
      assert.equal((await backend.apply(netns.fd, capture)).changed, true);
      const generation = generationOf(netns);
      assert.deepEqual(await backend.apply(netns.fd, capture), unchanged, name);
      assert.deepEqual(await backend.drift(netns.fd, capture), [], name);
      assert.equal(generationOf(netns), generation, name);
      assert.equal(hasRaw(netns), capture.captureDns, name);
      fresh.set(name, told(netns));
    }
    using netns = createNetns();
    const steps = new Set<string>();
    for (const [[from, before], [to, after]] of everyStep(CASES)) {
      const name = `${from} → ${to}`;
      if (steps.size === 0) await backend.apply(netns.fd, before);
      assert.notDeepEqual(await backend.drift(netns.fd, after), [], name);
      // Who remembers what was there says so, a new agent cannot.
      const pod = steps.size % 2 === 0 ? { formerly: before } : {};
      assert.equal((await backend.apply(netns.fd, after, pod)).changed, true, name);
      const generation = generationOf(netns);
      assert.deepEqual(await backend.drift(netns.fd, after), [], name);
      for (const again of [{}, { formerly: before }])
        assert.deepEqual(await backend.apply(netns.fd, after, again), unchanged, name);
      assert.equal(generationOf(netns), generation, name);
      assert.equal(hasRaw(netns), after.captureDns, name);
      assert.equal(told(netns), fresh.get(to), name);
      steps.add(name);
    }
    assert.equal(steps.size, CASES.length * (CASES.length - 1));
  });

  test(`${dialect}: with DNS capture off there is no raw table, what others have there stays, and it is told what goes`, async () => {
    const backend = backendOf(dialect);
    const dns = caseOf("dns");
    const without = caseOf("default");
    using netns = createNetns();
    const family = dialect === "nftables" ? "inet" : "ip";
    const others = `add table ${family} others\nadd chain ${family} others raw { type filter hook output priority -300; }\n`;
    netns.mustExec(["nft", "-f", "-"], { input: others });
    await backend.apply(netns.fd, dns);
    const drift = await backend.drift(netns.fd, without);
    assert.ok(
      drift.some((sentence) => /raw.* is left over$/.test(sentence)),
      drift.join("; "),
    );
    await backend.apply(netns.fd, without);
    assert.equal(hasRaw(netns), false);
    assert.match(netns.mustExec(["nft", "list", "tables"]), new RegExp(`table ${family} others`));
    if (dialect === "nftables") return;
    await backend.apply(netns.fd, dns);
    netns.mustExec(["iptables-nft", "-t", "raw", "-A", "OUTPUT", "-p", "udp", "--dport", "9", "-j", "CT", "--notrack"]);
    await backend.apply(netns.fd, without);
    const generation = generationOf(netns);
    assert.equal((await backend.apply(netns.fd, without)).changed, false, "a table that others use is left to them");
    assert.equal(generationOf(netns), generation);
    const raw = netns.mustExec(["iptables-nft-save", "-t", "raw"]);
    assert.match(raw, /--dport 9/);
    assert.doesNotMatch(raw, /ISTIO/);
  });
}

function caseOf(name: string): AmbientCapture {
  return AMBIENT_CASES[name] ?? assert.fail(name);
}

function hasRaw(netns: TestNetns): boolean {
  return /^table (ip|ip6|inet) (istio-ambient-)?raw$/m.test(netns.mustExec(["nft", "list", "tables"]));
}

/** Every step from one to another, each beginning where the one before ended. */
function everyStep<T>(all: readonly T[]): [T, T][] {
  const walk = all.flatMap((one, index) => [one, ...all.slice(index + 1).flatMap((other) => [other, one])]);
  return walk.flatMap((to, index): [T, T][] => {
    const from = walk[index - 1];
    return from === undefined || from === to ? [] : [[from, to]];
  });
}

/** Tables in the order of their names: that of their making says nothing. */
function told(netns: TestNetns): string {
  const native = netns.mustExec(["nft", "list", "ruleset"]).split(/^(?=table )/m);
  // nft has no words for all of iptables' extensions, and not always the same.
  const tables = native.map((table) => (table.startsWith("table inet ") ? table : table.split("{", 1).join()));
  const saved = ["iptables-nft-save", "ip6tables-nft-save"].map((tool) =>
    netns.mustExec([tool]).replace(/^#.*$/gm, ""),
  );
  const routing = ["-4", "-6"].flatMap((family) => [
    netns.mustExec(["ip", family, "rule"]),
    netns.exec(["ip", family, "route", "show", "table", "100"]).stdout,
  ]);
  return [...tables.toSorted(), ...saved, ...routing].join("\n");
}
