// Reads back what a netns holds in nf_tables: the requests for the three dumps, and their messages put together again
// into tables, chains and rules, each rule with its handle. Not here: what the expressions mean in a dialect.

import type { BaseChain, Chain, Rule } from "../rules/model.ts";
import { HOOKS } from "../rules/model.ts";
import type { NetlinkMessage } from "./message.ts";
import { attributeMap, readString, readU32be, viewOf } from "./message.ts";
import type { NftFamily } from "./nfnetlink.ts";
import {
  encodeRequest,
  familyOfMessage,
  NFGENMSG_BYTES,
  NFT_MSG,
  NFTA_CHAIN,
  NFTA_HOOK,
  NFTA_RULE,
  NFTA_TABLE,
} from "./nfnetlink.ts";
import type { Expression } from "./nft-expression.ts";
import { parseExpressions } from "./nft-expression.ts";
import { NLM_F } from "./rtnetlink.ts";

const NFT_TABLE_F_DORMANT = 1;

/** A table as the kernel holds it. */
export type DumpedTable = {
  readonly family: NftFamily;
  readonly name: string;
  readonly chains: readonly DumpedChain[];
  /** Sets, maps, flow tables and the like: what the table holds that is no chain. */
  readonly otherObjects: number;
  /** NFT_TABLE_F_DORMANT: its hooks are switched off. */
  readonly isDormant: boolean;
};

/** A chain as the kernel holds it; `base` is undefined for an own chain. Rules are in their order. */
export type DumpedChain = {
  readonly name: string;
  readonly base: DumpedHook | undefined;
  readonly rules: readonly DumpedRule[];
};
export type DumpedHook = Omit<BaseChain, "kind" | "name" | "rules">;
export type DumpedRule = { readonly handle: bigint; readonly expressions: readonly Expression[] };

/**
 * The requests for everything in nf_tables, one family or all; each is answered by a dump of its own (collectDump). A dump
 * is whole when the generation read before and after is the same.
 */
export function encodeNftDumpRequests(family?: NftFamily): Uint8Array[] {
  return [NFT_MSG.GETTABLE, NFT_MSG.GETCHAIN, NFT_MSG.GETRULE].map((type) => encodeRequest(type, NLM_F.DUMP, family));
}

/** Puts the messages of the three dumps together. Throws NetlinkFormatError. */
export function assembleNftDump(messages: readonly NetlinkMessage[]): DumpedTable[] {
  const tables = new Map<string, OpenTable>();
  const tableOf = (family: NftFamily, name: string) => {
    const key = `${family} ${name}`;
    const found = tables.get(key) ?? { family, name, chains: new Map<string, OpenChain>(), use: 0, flags: 0 };
    tables.set(key, found);
    return found;
  };
  for (const message of messages) {
    const family = familyOfMessage(message);
    if (family === undefined) continue;
    const attributes = attributeMap(message.payload.subarray(NFGENMSG_BYTES));
    const text = (type: number): string => readString(attributes.get(type) ?? new Uint8Array());
    if (message.type === NFT_MSG.NEWTABLE) {
      const number = (type: number): number => readU32be(attributes.get(type) ?? new Uint8Array(4));
      const table = tableOf(family, text(NFTA_TABLE.NAME));
      Object.assign(table, { use: number(NFTA_TABLE.USE), flags: number(NFTA_TABLE.FLAGS) });
    }
    if (message.type === NFT_MSG.NEWCHAIN) {
      const { chains } = tableOf(family, text(NFTA_CHAIN.TABLE));
      const known = chains.get(text(NFTA_CHAIN.NAME));
      chains.set(text(NFTA_CHAIN.NAME), { base: parseHook(attributes), rules: known?.rules ?? [] });
    }
    if (message.type === NFT_MSG.NEWRULE) {
      const { chains } = tableOf(family, text(NFTA_RULE.TABLE));
      const chain = chains.get(text(NFTA_RULE.CHAIN)) ?? { base: undefined, rules: [] };
      chains.set(text(NFTA_RULE.CHAIN), chain);
      chain.rules.push(parseRule(attributes));
    }
  }
  return [...tables.values()].map(({ family, name, chains, use, flags }) => ({
    family,
    name,
    chains: [...chains].map(([chain, { base, rules }]) => ({ name: chain, base, rules })),
    // The kernel counts chains, sets, objects and flow tables (net/netfilter/nf_tables_api.c, nft_use_inc of table->use).
    otherObjects: Math.max(0, use - chains.size),
    isDormant: (flags & NFT_TABLE_F_DORMANT) !== 0,
  }));
}

/** The chain as a ruleset has it, with what its rules were read as. */
export function toChain<R extends Rule>({ name, base }: DumpedChain, rules: readonly R[]): Chain<R> {
  return base === undefined ? { kind: "own", name, rules } : { kind: "base", name, ...base, rules };
}

type OpenTable = { family: NftFamily; name: string; chains: Map<string, OpenChain>; use: number; flags: number };

type OpenChain = { readonly base: DumpedHook | undefined; readonly rules: DumpedRule[] };

function parseRule(attributes: ReadonlyMap<number, Uint8Array>): DumpedRule {
  const handle = attributes.get(NFTA_RULE.HANDLE);
  return {
    handle: handle?.length === 8 ? viewOf(handle).getBigUint64(0) : 0n,
    expressions: parseExpressions(attributes.get(NFTA_RULE.EXPRESSIONS) ?? new Uint8Array()),
  };
}

function parseHook(attributes: ReadonlyMap<number, Uint8Array>): DumpedHook | undefined {
  const hook = attributes.get(NFTA_CHAIN.HOOK);
  if (hook === undefined) return undefined;
  const fields = attributeMap(hook);
  const name = HOOKS[readU32be(fields.get(NFTA_HOOK.HOOKNUM) ?? new Uint8Array())];
  if (name === undefined) return undefined;
  const policy = attributes.get(NFTA_CHAIN.POLICY);
  const type = readString(attributes.get(NFTA_CHAIN.TYPE) ?? new Uint8Array());
  return {
    hook: name,
    priority: readU32be(fields.get(NFTA_HOOK.PRIORITY) ?? new Uint8Array()) | 0,
    type: type === "nat" || type === "route" ? type : "filter",
    policy: policy === undefined || readU32be(policy) === 1 ? "accept" : "drop",
  };
}
