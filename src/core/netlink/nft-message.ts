// The single messages that batches are made of, in any dialect: create and delete tables, chains and rules.

import type { BaseChain } from "../rules/model.ts";
import { HOOKS } from "../rules/model.ts";
import type { BatchMessage, NftFamily } from "./nfnetlink.ts";
import { NFT_MSG, NFTA_CHAIN, NFTA_HOOK, NFTA_RULE, NFTA_RULE_COMPAT, NFTA_TABLE } from "./nfnetlink.ts";
import type { Expression } from "./nft-expression.ts";
import { writeExpressions } from "./nft-expression.ts";
import { NLM_F } from "./rtnetlink.ts";

const POLICY = { drop: 0, accept: 1 } as const;

/** Where a chain or rule belongs. */
export type ChainRef = { readonly family: NftFamily; readonly table: string; readonly chain: string };

/** For xtables extensions: the rule's protocol and whether it is turned round (NFT_RULE_COMPAT_F_INV). */
export type RuleCompat = { readonly protocol: number; readonly inverted: boolean };
const NFT_RULE_COMPAT_F_INV = 2;

/** Creates the table unless it is there. Equiv: nft add table */
export function addTable(family: NftFamily, table: string): BatchMessage {
  return {
    type: NFT_MSG.NEWTABLE,
    flags: NLM_F.CREATE,
    family,
    body: (writer) => writer.attributeString(NFTA_TABLE.NAME, table),
  };
}

/** Deletes the table with all it holds; ENOENT when it is not there. Equiv: nft delete table */
export function deleteTable(family: NftFamily, table: string): BatchMessage {
  return { ...addTable(family, table), type: NFT_MSG.DELTABLE, flags: 0 };
}

/** Switches the hooks of a table on. Equiv: nft add table … { } without flags */
export function wakeTable(family: NftFamily, table: string): BatchMessage {
  return {
    ...addTable(family, table),
    body: (writer) => {
      writer.attributeString(NFTA_TABLE.NAME, table);
      writer.attributeU32be(NFTA_TABLE.FLAGS, 0);
    },
  };
}

/** Creates a base chain unless it is there: then it gets this policy; one of another type, hook or priority is an error.
 * Equiv: nft add chain */
export function addBaseChain(ref: ChainRef, chain: BaseChain): BatchMessage {
  return {
    type: NFT_MSG.NEWCHAIN,
    flags: NLM_F.CREATE,
    family: ref.family,
    body: (writer) => {
      writer.attributeString(NFTA_CHAIN.TABLE, ref.table);
      writer.attributeString(NFTA_CHAIN.NAME, ref.chain);
      writer.nested(NFTA_CHAIN.HOOK, () => {
        writer.attributeU32be(NFTA_HOOK.HOOKNUM, HOOKS.indexOf(chain.hook));
        writer.attributeU32be(NFTA_HOOK.PRIORITY, chain.priority);
      });
      writer.attributeU32be(NFTA_CHAIN.POLICY, POLICY[chain.policy]);
      writer.attributeString(NFTA_CHAIN.TYPE, chain.type);
    },
  };
}

/** Creates a chain that must not be there yet (EEXIST). Equiv: nft create chain, iptables -N */
export function createOwnChain(ref: ChainRef): BatchMessage {
  return { type: NFT_MSG.NEWCHAIN, flags: NLM_F.CREATE | NLM_F.EXCL, family: ref.family, body: chainBody(ref) };
}

/** Deletes a chain without rules; EBUSY while something jumps to it. Equiv: nft delete chain, iptables -X */
export function deleteChain(ref: ChainRef): BatchMessage {
  return { type: NFT_MSG.DELCHAIN, flags: 0, family: ref.family, body: chainBody(ref) };
}

/** Puts a rule behind the last one of the chain. Equiv: nft add rule, iptables -A */
export function appendRule(ref: ChainRef, expressions: readonly Expression[], compat?: RuleCompat): BatchMessage {
  return {
    type: NFT_MSG.NEWRULE,
    flags: NLM_F.CREATE | NLM_F.APPEND,
    family: ref.family,
    body: (writer) => {
      writer.attributeString(NFTA_RULE.TABLE, ref.table);
      writer.attributeString(NFTA_RULE.CHAIN, ref.chain);
      writeExpressions(writer, NFTA_RULE.EXPRESSIONS, expressions);
      if (compat === undefined) return;
      writer.nested(NFTA_RULE.COMPAT, () => {
        writer.attributeU32be(NFTA_RULE_COMPAT.PROTO, compat.protocol);
        writer.attributeU32be(NFTA_RULE_COMPAT.FLAGS, compat.inverted ? NFT_RULE_COMPAT_F_INV : 0);
      });
    },
  };
}

/** Deletes one rule by the number the kernel gave it. Equiv: nft delete rule … handle, iptables -D */
export function deleteRule(ref: ChainRef, handle: bigint): BatchMessage {
  return {
    type: NFT_MSG.DELRULE,
    flags: 0,
    family: ref.family,
    body: (writer) => {
      writer.attributeString(NFTA_RULE.TABLE, ref.table);
      writer.attributeString(NFTA_RULE.CHAIN, ref.chain);
      writer.attribute(NFTA_RULE.HANDLE, () => {
        writer.u32be(Number(handle >> 32n));
        writer.u32be(Number(handle & 0xffffffffn));
      });
    },
  };
}

function chainBody(ref: ChainRef): BatchMessage["body"] {
  return (writer) => {
    writer.attributeString(NFTA_CHAIN.TABLE, ref.table);
    writer.attributeString(NFTA_CHAIN.NAME, ref.chain);
  };
}
