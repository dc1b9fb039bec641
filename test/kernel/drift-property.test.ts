// Whatever is done to a captured namespace by hand: what is told of it and what is done about it are the same thing.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { PodCapture } from "../../src/core/rules/pod-capture.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { ambientCase, backendOf, generationOf, sidecarCase } from "./backend-fixture.ts";

const CAPTURES: Readonly<Record<string, PodCapture>> = {
  default: sidecarCase("default"),
  tproxy: sidecarCase("tproxy-dns-drop-invalid"),
  interfaces: sidecarCase("tproxy-interfaces"),
  ambient: ambientCase(),
};

const markOf = (pick: number): readonly string[] =>
  pick % 3 === 0 ? ["fwmark", "1337", "lookup", "133"] : ["fwmark", "0x111/0xfff", "lookup", "100"];

/** What somebody may do; each is done with whatever is there, and may fail. */
const EDITS = {
  "delete a rule": (netns, pick) => nftOn(netns, "rule", "delete rule", pick),
  "flush a chain": (netns, pick) => nftOn(netns, "chain", "flush chain", pick),
  "add a rule to a chain": (netns, pick) => nftOn(netns, "chain", "add rule", pick, "tcp dport 4711 counter accept"),
  "insert a rule into a chain": (netns, pick) =>
    nftOn(netns, "chain", "insert rule", pick, "udp dport 4711 counter accept"),
  "add a chain to a table": (netns, pick) => nftOn(netns, "table", "add chain", pick, "theirs"),
  "put a table to sleep": (netns, pick) => nftOn(netns, "table", "add table", pick, "{ flags dormant; }"),
  "delete a table": (netns, pick) => nftOn(netns, "table", "delete table", pick),
  "flush everything": (netns) => netns.exec(["nft", "flush", "ruleset"]),
  "make an empty table": (netns) => netns.exec(["iptables-nft", "-t", "filter", "-L"]),
  "delete a policy rule": (netns, pick) =>
    netns.exec(["ip", pick % 2 === 0 ? "-4" : "-6", "rule", "del", ...markOf(pick)]),
  "add a policy rule": (netns, pick) =>
    netns.exec(["ip", pick % 2 === 0 ? "-4" : "-6", "rule", "add", ...markOf(pick), "pref", "99"]),
  "flush a routing table": (netns, pick) =>
    netns.exec(["ip", pick % 2 === 0 ? "-4" : "-6", "route", "flush", "table", pick % 3 === 0 ? "133" : "100"]),
  "delete ::6": (netns) => netns.exec(["ip", "-6", "addr", "del", "::6/128", "dev", "lo"]),
} satisfies Record<string, (netns: TestNetns, pick: number) => unknown>;

const arbitraryEdits = fc.array(
  fc.record({ kind: fc.constantFrom(...(Object.keys(EDITS) as (keyof typeof EDITS)[])), pick: fc.nat({ max: 999 }) }),
  { minLength: 1, maxLength: 4 },
);

for (const dialect of ["iptables-nft", "nftables"] as const) {
  test(`${dialect}: there is drift exactly when the next apply changes something, and none after it`, async () => {
    const backend = backendOf(dialect);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...Object.keys(CAPTURES)), arbitraryEdits, async (name, edits) => {
        const capture = CAPTURES[name] ?? assert.fail(name);
        using netns = createNetns();
        await backend.apply(netns.fd, capture);
        for (const { kind, pick } of edits) EDITS[kind](netns, pick);
        const found = await backend.drift(netns.fd, capture, { formerly: capture });
        const generation = generationOf(netns);
        const repair = await backend.apply(netns.fd, capture, { formerly: capture });
        assert.equal(repair.changed, found.length > 0, found.join("; "));
        assert.deepEqual(repair.repaired, found);
        if (found.length === 0) assert.equal(generationOf(netns), generation);
        assert.deepEqual(await backend.drift(netns.fd, capture), []);
        assert.equal((await backend.apply(netns.fd, capture)).changed, false);
      }),
      { numRuns: 80 },
    );
  });
}

/** Does something to one of the tables, chains or rules that are there. */
function nftOn(netns: TestNetns, what: "table" | "chain" | "rule", verb: string, pick: number, more = ""): void {
  const places: string[] = [];
  let [table, chain] = ["", ""];
  for (const line of netns.mustExec(["nft", "-a", "list", "ruleset"]).split("\n")) {
    const [kind, name] = line.trim().split(" ");
    if (kind === "table") table = line.trim().split(" ").slice(1, 3).join(" ");
    if (kind === "chain") chain = name ?? "";
    const handle = / # handle ([0-9]+)$/.exec(line)?.[1];
    if (what === "table" && kind === "table") places.push(table);
    if (what === "chain" && kind === "chain") places.push(`${table} ${chain}`);
    if (what === "rule" && kind !== "table" && kind !== "chain" && handle !== undefined) {
      places.push(`${table} ${chain} handle ${handle}`);
    }
  }
  const place = places[pick % Math.max(1, places.length)];
  if (place !== undefined) netns.exec(["nft", "-f", "-"], { input: `${verb} ${place} ${more}\n` });
}
