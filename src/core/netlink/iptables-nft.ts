// Whole rulesets in the dialect of iptables-nft: one batch that creates them, one that removes them, and the dump read
// back. `iptables-nft-save` shows what these batches write exactly as if iptables-nft had written it.

import { findRules, isOurChain, isSameRule } from "../rules/compare.ts";
import { IPTABLES_TABLES } from "../rules/iptables-tables.ts";
import type { Chain, Rule, Ruleset, Table } from "../rules/model.ts";
import { decodeRule, encodeRule, PROTOCOL_NUMBER } from "./iptables-nft-rule.ts";
import type { NetlinkMessage } from "./message.ts";
import type { BatchMessage, BatchOptions } from "./nfnetlink.ts";
import { encodeBatch } from "./nfnetlink.ts";
import type { DumpedChain, DumpedTable } from "./nft-dump.ts";
import { assembleNftDump } from "./nft-dump.ts";
import type { ChainRef, RuleCompat } from "./nft-message.ts";
import {
  addBaseChain,
  addTable,
  appendRule,
  createOwnChain,
  deleteChain,
  deleteRule,
  flushChain,
} from "./nft-message.ts";

/** A rule read back: `handle` is the kernel's number for it within its table. */
export type HeldRule = Rule & { readonly handle: bigint };
/** A ruleset read back; it is a Ruleset like any other. */
export type HeldRuleset = Ruleset<HeldRule> & { readonly family: 4 | 6 };

/**
 * One batch that creates the rulesets: all of it or nothing. Equiv: iptables-nft-restore --noflush, ip6tables-nft-restore
 * --noflush. Tables and base chains that exist are used as they are, and our rules go behind the rules of others. An own
 * chain that exists makes the kernel refuse the whole batch (EEXIST, 17): rules are never doubled, the caller looks what
 * is there. Throws TypeError for a rule that was read and not understood, RangeError for a value its struct cannot hold.
 */
export function encodeIptablesNft(rulesets: readonly Ruleset[], options: BatchOptions = {}): Uint8Array {
  return encodeBatch(rulesets.flatMap(createRuleset), options);
}

/**
 * One batch that removes from a netns what is ours: chains named `ISTIO_…`, every rule of other chains that jumps to one,
 * and every rule of a base chain that equals one of `rulesets` there. Rules of others, base chains and tables stay.
 * Undefined: nothing of ours is there. Equiv: iptables -D …, -F ISTIO_…, -X ISTIO_…
 */
export function encodeIptablesNftRemove(
  held: readonly HeldRuleset[],
  rulesets: readonly Ruleset[],
  options: BatchOptions = {},
): Uint8Array | undefined {
  const messages = held.flatMap((ruleset) => removeRuleset(ruleset, rulesets));
  return messages.length === 0 ? undefined : encodeBatch(messages, options);
}

/** The iptables tables of one family in a dump. Tables of other names are left out, they are not iptables'. */
export function decodeIptablesNft(messages: readonly NetlinkMessage[], family: 4 | 6): HeldRuleset {
  const dumped = assembleNftDump(messages).filter((table) => table.family === family);
  const names = [...IPTABLES_TABLES.keys()];
  const tables = names.flatMap((name) => dumped.find((table) => table.name === name) ?? []);
  return { family, tables: tables.map((table) => decodeTable(table, family)) };
}

/** The message that appends one rule. */
export function appendIptablesRule(ref: ChainRef & { family: 4 | 6 }, rule: Rule): BatchMessage {
  return appendRule(ref, encodeRule(rule, ref.family), compatOf(rule));
}

function createRuleset(ruleset: Ruleset): BatchMessage[] {
  const { family } = ruleset;
  if (family === "inet") throw new TypeError("Cannot encode family inet: iptables has none");
  return ruleset.tables.flatMap((table) => {
    const refOf = (chain: Chain): ChainRef & { family: 4 | 6 } => ({ family, table: table.name, chain: chain.name });
    return [
      addTable(family, table.name),
      ...table.chains.map((chain) =>
        chain.kind === "base" ? addBaseChain(refOf(chain), chain) : createOwnChain(refOf(chain)),
      ),
      ...table.chains.flatMap((chain) => chain.rules.map((rule) => appendIptablesRule(refOf(chain), rule))),
    ];
  });
}

function removeRuleset({ family, tables }: HeldRuleset, rulesets: readonly Ruleset[]): BatchMessage[] {
  return tables.flatMap(({ name: table, chains }) => {
    const refOf = (chain: Chain): ChainRef => ({ family, table, chain: chain.name });
    const own = chains.filter((chain) => chain.kind === "own" && isOurChain(chain.name));
    const rules = chains
      .filter((chain) => !own.includes(chain))
      .flatMap((chain) => {
        const planned = findRules(rulesets, family, table, chain.name);
        const isOurs = (rule: Rule): boolean =>
          (rule.verdict.kind === "jump" && isOurChain(rule.verdict.chain)) ||
          planned.some((other) => isSameRule(rule, other));
        return chain.rules.filter(isOurs).map((rule) => deleteRule(refOf(chain), rule.handle));
      });
    return [
      ...rules,
      ...own.map((chain) => flushChain(refOf(chain))),
      ...own.map((chain) => deleteChain(refOf(chain))),
    ];
  });
}

/** iptables tells extensions the rule's protocol beside the rule; the kernel checks REDIRECT, TPROXY and multiport by it. */
function compatOf(rule: Rule): RuleCompat {
  const protocol = rule.matches.find((match) => match.kind === "protocol");
  if (protocol === undefined) return { protocol: 0, inverted: false };
  return { protocol: PROTOCOL_NUMBER[protocol.protocol], inverted: protocol.negated };
}

function decodeTable(table: DumpedTable, family: 4 | 6): Table<HeldRule> {
  const chains = table.chains.map((chain) => decodeChain(chain, family));
  const order = (IPTABLES_TABLES.get(table.name) ?? []).map(({ name }) => name);
  const base = chains.filter((chain) => chain.kind === "base");
  const own = chains.filter((chain) => chain.kind === "own");
  return {
    name: table.name,
    chains: [
      ...base.toSorted((left, right) => order.indexOf(left.name) - order.indexOf(right.name)),
      ...own.toSorted((left, right) => (left.name < right.name ? -1 : 1)),
    ],
  };
}

function decodeChain(chain: DumpedChain, family: 4 | 6): Chain<HeldRule> {
  const rules = chain.rules.map(({ handle, expressions }) => ({ ...decodeRule(expressions, family), handle }));
  if (chain.base === undefined) return { kind: "own", name: chain.name, rules };
  return { kind: "base", name: chain.name, ...chain.base, rules };
}
