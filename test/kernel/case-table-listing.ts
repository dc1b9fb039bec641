// What the tools of each dialect print of a pod, compared with the text our rules have: the third opinion of the case table.

import assert from "node:assert/strict";
import { FAMILIES } from "../../src/core/address.ts";
import type { BackendDialect } from "../../src/core/policy/backend-features.ts";
import type { Ruleset } from "../../src/core/rules/model.ts";
import { renderIptables } from "../../src/core/rules/render-iptables.ts";
import { renderNft } from "../../src/core/rules/render-nft.ts";
import type { TestNetns } from "../../testbed/netns.ts";

const SAVE = {
  4: { "iptables-nft": "iptables-nft-save", "iptables-legacy": "iptables-legacy-save" },
  6: { "iptables-nft": "ip6tables-nft-save", "iptables-legacy": "ip6tables-legacy-save" },
} as const;

/** @throws {AssertionError} when the dialect's tool prints other rules than these. */
export function assertToolsPrint(netns: TestNetns, dialect: BackendDialect, rulesets: readonly Ruleset[]): void {
  if (dialect === "nftables") {
    assert.equal(netns.mustExec(["nft", "-s", "list", "ruleset"]), rulesets.map((each) => renderNft(each)).join(""));
    return;
  }
  for (const family of FAMILIES) {
    const ruleset = rulesets.find((each) => each.family === family);
    const printed = chainsOf(netns.mustExec([SAVE[family][dialect]]));
    assert.deepEqual(printed, ruleset === undefined ? [] : chainsOf(renderIptables(ruleset)), `IPv${family}`);
  }
}

/** Own chains and rules with their table, chains in one order: the two implementations of iptables print them in two. */
function chainsOf(text: string): string[] {
  let table = "";
  const lines = text.split("\n").flatMap((line) => {
    if (line.startsWith("*")) table = line.slice(1);
    const chain = /^:(\S+) - |^-A (\S+) /.exec(line);
    return chain === null ? [] : { place: `${table} ${chain[1] ?? chain[2]}`, line: line.replace(/ \[\d+:\d+\]$/, "") };
  });
  return lines
    .toSorted((left, right) => (left.place < right.place ? -1 : left.place > right.place ? 1 : 0))
    .map(({ place, line }) => `${place}: ${line}`);
}
