// Whole rulesets in native nftables (tables istio-proxy-*, family inet): one batch that creates, changes or removes them,
// and the dump read back. `nft list ruleset` shows what these batches write as if nft had written it.

import { isOurTable } from "../rules/compare.ts";
import { type Change, diffRulesets, type HeldTable, insistOn } from "../rules/diff.ts";
import { INET_TABLES } from "../rules/inet-tables.ts";
import type { Chain, Ruleset } from "../rules/model.ts";
import type { ChangeOptions, HeldRule } from "./iptables-nft.ts";
import type { NetlinkMessage } from "./message.ts";
import { decodeNativeRule, encodeNativeRule } from "./native-nft-rule.ts";
import type { BatchMessage, BatchOptions } from "./nfnetlink.ts";
import { encodeBatch } from "./nfnetlink.ts";
import { encodePlainChange, type PlainChange } from "./nft-change.ts";
import { assembleNftDump, toChain } from "./nft-dump.ts";
import { appendRule } from "./nft-message.ts";
import { addPortSet, encodeGetPortSets, parsePortSets } from "./port-set.ts";

/** A native ruleset read back. */
export type HeldNativeRuleset = Ruleset<HeldRule> & { readonly family: "inet" };

/**
 * One batch that creates the ruleset: all of it or nothing; refused (EEXIST, 17) where one of its own chains exists. Equiv:
 * nft -f. Throws TypeError for a ruleset of another dialect or a rule that native nftables cannot say.
 */
export function encodeNativeNft(ruleset: Ruleset, options: BatchOptions = {}): Uint8Array {
  return encodeChanges(diffRulesets<HeldRule>([], [ruleset]), options);
}

/**
 * One batch that turns what a netns holds into `desired`, or removes all of ours where that is undefined, without a moment
 * in between. Undefined: it stands already. `insists`: the kernel has refused it without (see insistOn).
 */
export function encodeNativeNftChange(
  held: HeldNativeRuleset,
  desired: Ruleset | undefined,
  options: ChangeOptions = {},
): Uint8Array | undefined {
  const wanted = desired === undefined ? [] : [desired];
  const steps = diffRulesets([held], wanted);
  const changes = options.insists === true ? insistOn(steps, [held], wanted) : steps;
  return changes.length === 0 ? undefined : encodeChanges(changes, options);
}

/** Our tables of family inet in a dump; other tables are left out. `readSets` is asked once, for what the kernel says to the
 * further requests that the dump calls for: the elements of the sets that its rules name. Throws NetlinkFormatError. */
export function decodeNativeNft(
  messages: readonly NetlinkMessage[],
  readSets: (requests: readonly Uint8Array[]) => readonly NetlinkMessage[],
): HeldNativeRuleset {
  const ours = assembleNftDump(messages).filter(({ family, name }) => family === "inet" && isOurTable(name));
  const sets = parsePortSets(readSets(encodeGetPortSets(ours)));
  const order = [...INET_TABLES.keys()];
  const tables = ours
    .toSorted((left, right) => order.indexOf(left.name) - order.indexOf(right.name))
    .map(({ name, chains, isDormant }): HeldTable<HeldRule> => {
      const decoded = chains.map((chain): Chain<HeldRule> => {
        const rules = chain.rules.map(({ handle, expressions }) => ({
          ...decodeNativeRule(expressions, (set) => sets.get(`${name} ${set}`)),
          handle,
        }));
        return toChain(chain, rules);
      });
      const sorted = decoded.toSorted((left, right) => comparePlaces(name, left, right));
      return { name, chains: sorted, ...(isDormant && { isDormant: true }) };
    });
  return { family: "inet", tables };
}

function encodeChanges(changes: readonly Change<HeldRule>[], options: BatchOptions): Uint8Array {
  let setId = 1;
  const messages = changes.flatMap((change) => {
    if (change.kind !== "append-rule") return [messageOf(change)];
    const { expressions, sets } = encodeNativeRule(change.rule, setId);
    const made = sets.flatMap((ports, index) => addPortSet(change.table, setId + index, ports));
    setId += sets.length;
    return [...made, appendRule({ family: "inet", table: change.table, chain: change.chain }, expressions)];
  });
  return encodeBatch(messages, options);
}

function messageOf(change: PlainChange): BatchMessage {
  const { family } = change;
  if (family !== "inet") throw new TypeError(`Cannot encode family ${family}: native tables are of family inet`);
  return encodePlainChange(change);
}

function comparePlaces(table: string, left: Chain, right: Chain): number {
  const names = (INET_TABLES.get(table) ?? []).map(({ name }) => name);
  const rank = ({ kind, name }: Chain): number => (kind === "base" ? names.indexOf(name) : names.length);
  return rank(left) - rank(right) || (left.name < right.name ? -1 : 1);
}
