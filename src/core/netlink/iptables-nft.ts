// Whole rulesets in the dialect of iptables-nft: one batch that creates them, one that removes them, and the dump read
// back. `iptables-nft-save` shows what these batches write exactly as if iptables-nft had written it.

import { type Change, diffRulesets, type HeldTable, insistOn } from "../rules/diff.ts";
import { IPTABLES_TABLES } from "../rules/iptables-tables.ts";
import type { Rule, Ruleset } from "../rules/model.ts";
import { decodeRule, encodeRule } from "./iptables-nft-rule.ts";
import type { NetlinkMessage } from "./message.ts";
import type { BatchMessage, BatchOptions } from "./nfnetlink.ts";
import { encodeBatch } from "./nfnetlink.ts";
import { encodePlainChange } from "./nft-change.ts";
import { assembleNftDump, type DumpedTable, toChain } from "./nft-dump.ts";
import { PROTOCOL_NUMBER } from "./nft-match.ts";
import type { RuleCompat } from "./nft-message.ts";
import { appendRule } from "./nft-message.ts";

/** How a namespace that holds something is changed. */
export type ChangeOptions = BatchOptions & { readonly insists?: boolean };

/** A rule read back: `handle` is the kernel's number for it within its table. */
export type HeldRule = Rule & { readonly handle: bigint };
/** A ruleset read back; it is a Ruleset like any other. */
export type HeldRuleset = Ruleset<HeldRule> & { readonly family: 4 | 6 };

/**
 * One batch that creates the rulesets: all of it or nothing. Equiv: iptables-nft-restore --noflush, ip6tables-nft-restore
 * --noflush. Tables and base chains that exist are used, and our rules go behind the rules of others; the policy of such a
 * chain becomes ours, so this is for namespaces in which nobody has written (`generation`), and what was read is changed by
 * encodeIptablesNftChange(). An own chain that exists makes the kernel refuse the whole batch (EEXIST, 17). Throws TypeError
 * for a rule that was read and not understood, RangeError for a value its struct cannot hold.
 */
export function encodeIptablesNft(rulesets: readonly Ruleset[], options: BatchOptions = {}): Uint8Array {
  return encodeBatch(diffRulesets<HeldRule>([], rulesets).map(messageOf), options);
}

/**
 * One batch that turns what a netns holds into `desired` (see diffRulesets), without a moment in between. Undefined: it
 * stands already. `generation` of the options has to be the one `held` was read in where others may write too: a table
 * that was empty but for ours is deleted with all it holds then. `insists`: the kernel has refused it without (see insistOn).
 */
export function encodeIptablesNftChange(
  held: readonly HeldRuleset[],
  desired: readonly Ruleset[],
  options: ChangeOptions & { readonly formerly?: readonly Ruleset[] } = {},
): Uint8Array | undefined {
  const steps = diffRulesets(held, desired, options.formerly);
  const changes = options.insists === true ? insistOn(steps, held, desired) : steps;
  return changes.length === 0 ? undefined : encodeBatch(changes.map(messageOf), options);
}

/** The iptables tables of one family in a dump. Tables of other names are left out, they are not iptables'. */
export function decodeIptablesNft(messages: readonly NetlinkMessage[], family: 4 | 6): HeldRuleset {
  const dumped = assembleNftDump(messages).filter((table) => table.family === family);
  const names = [...IPTABLES_TABLES.keys()];
  const tables = names.flatMap((name) => dumped.find((table) => table.name === name) ?? []);
  return { family, tables: tables.map((table) => decodeTable(table, family)) };
}

function messageOf(change: Change<HeldRule>): BatchMessage {
  const { family, table } = change;
  if (family === "inet") throw new TypeError("Cannot encode family inet: iptables has none");
  if (change.kind !== "append-rule") return encodePlainChange(change);
  return appendRule({ family, table, chain: change.chain }, encodeRule(change.rule, family), compatOf(change.rule));
}

/** iptables tells extensions the rule's protocol beside the rule; the kernel checks REDIRECT, TPROXY and multiport by it. */
export function compatOf(rule: Rule): RuleCompat {
  const protocol = rule.matches.find((match) => match.kind === "protocol");
  if (protocol === undefined) return { protocol: 0, inverted: false };
  return { protocol: PROTOCOL_NUMBER[protocol.protocol], inverted: protocol.negated };
}

function decodeTable(table: DumpedTable, family: 4 | 6): HeldTable<HeldRule> {
  const chains = table.chains.map((chain) =>
    toChain(
      chain,
      chain.rules.map(({ handle, expressions }): HeldRule => ({ ...decodeRule(expressions, family), handle })),
    ),
  );
  const order = (IPTABLES_TABLES.get(table.name) ?? []).map(({ name }) => name);
  const base = chains.filter((chain) => chain.kind === "base");
  const own = chains.filter((chain) => chain.kind === "own");
  return {
    name: table.name,
    ...(table.otherObjects > 0 && { hasMore: true }),
    ...(table.isDormant && { isDormant: true }),
    chains: [
      ...base.toSorted((left, right) => order.indexOf(left.name) - order.indexOf(right.name)),
      ...own.toSorted((left, right) => (left.name < right.name ? -1 : 1)),
    ],
  };
}
