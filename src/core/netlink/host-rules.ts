// The rules of the node's own namespace in nf_tables, in either dialect: the requests that read no more than what can be
// ours (a node's table nat may hold ten thousand rules of kube-proxy), and the steps of a plan as one batch.
// Not here: what is to be done (rules/ambient-host-plan.ts), what is in the sets.

import { HOST_INET_TABLE, type HostStep } from "../rules/ambient-host-plan.ts";
import { AMBIENT_CHAIN, PROBE_SETS } from "../rules/ambient-numbers.ts";
import type { HeldTable, HeldTables } from "../rules/diff.ts";
import type { Chain } from "../rules/model.ts";
import { compatOf, type HeldRule } from "./iptables-nft.ts";
import { decodeRule, encodeRule } from "./iptables-nft-rule.ts";
import type { NetlinkMessage } from "./message.ts";
import { decodeNativeRule, encodeNativeRule } from "./native-nft-rule.ts";
import {
  type BatchMessage,
  type BatchOptions,
  encodeBatch,
  encodeRequest,
  NFT_MSG,
  NFTA_CHAIN,
  NFTA_RULE,
  NFTA_TABLE,
  type NftFamily,
} from "./nfnetlink.ts";
import { encodePlainChange } from "./nft-change.ts";
import { assembleNftDump, type DumpedRule, toChain } from "./nft-dump.ts";
import type { Expression } from "./nft-expression.ts";
import { appendRule, type ChainRef, type RuleCompat } from "./nft-message.ts";
import { addNamedSet, deleteNamedSet, type SetRef } from "./nft-set.ts";
import { NLM_F } from "./rtnetlink.ts";
import type { SetNumbers } from "./xt-match.ts";

const SET_COMMENT = "addresses of ambient pods of this node, each with the UID of its pod";

/** What has to be asked to know what stands. */
export type HostRequests = {
  /** Each answered by one message, or refused (ENOENT, 2) where there is no such thing. */
  readonly objects: readonly Uint8Array[];
  /** Each answered by a dump. */
  readonly dumps: readonly Uint8Array[];
};

/** For one family of the iptables dialect: table nat, its chain POSTROUTING, ours, and the rules of both. */
export function encodeIptablesHostRequests(family: 4 | 6): HostRequests {
  const chains = ["POSTROUTING", AMBIENT_CHAIN.postrouting];
  return {
    objects: [getTable(family, "nat"), ...chains.map((chain) => getChain({ family, table: "nat", chain }))],
    dumps: chains.map((chain) => getRules(family, "nat", chain)),
  };
}

/** For the native dialect: our table with all it holds. */
export function encodeNativeHostRequests(): HostRequests {
  return {
    objects: [getTable("inet", HOST_INET_TABLE)],
    dumps: [encodeRequest(NFT_MSG.GETCHAIN, NLM_F.DUMP, "inet"), getRules("inet", HOST_INET_TABLE)],
  };
}

/** What `encodeIptablesHostRequests` was answered. `sets`: the ipsets that are known by now. Throws NetlinkFormatError. */
export function decodeIptablesHost(
  messages: readonly NetlinkMessage[],
  family: 4 | 6,
  sets: SetNumbers,
): HeldTables<HeldRule> {
  return {
    family,
    tables: decodeTables(messages, family, "nat", (expressions) => decodeRule(expressions, family, sets)),
  };
}

/** What `encodeNativeHostRequests` was answered. Throws NetlinkFormatError. */
export function decodeNativeHost(messages: readonly NetlinkMessage[]): HeldTables<HeldRule> {
  const read = (expressions: readonly Expression[]) => decodeNativeRule(expressions, () => undefined);
  return { family: "inet", tables: decodeTables(messages, "inet", HOST_INET_TABLE, read) };
}

/** The steps as one batch. Throws TypeError for a rule that looks into a set without a number. */
export function encodeIptablesHostSteps(
  steps: readonly HostStep<HeldRule>[],
  sets: SetNumbers,
  options: BatchOptions = {},
): Uint8Array {
  const messages = steps.map((step): BatchMessage => {
    const { family, table } = step;
    if (family === "inet") throw new TypeError("Cannot encode family inet: iptables has none");
    if (step.kind !== "append-rule" && step.kind !== "insert-rule") return encodePlainChange(step);
    const expressions = encodeRule(step.rule, family, sets);
    return placeRule(step.kind, { family, table, chain: step.chain }, expressions, compatOf(step.rule));
  });
  return encodeBatch(messages, options);
}

/** Sets of the native table, by the family of their addresses. */
export type NativeSetSteps = { readonly add: readonly (4 | 6)[]; readonly remove: readonly (4 | 6)[] };

/**
 * The steps as one batch, in which sets are made before a rule looks into them and deleted after none does. A set that is
 * there already stays, with what is in it.
 */
export function encodeNativeHostSteps(
  steps: readonly HostStep<HeldRule>[],
  sets: NativeSetSteps,
  options: BatchOptions = {},
): Uint8Array {
  const messages = steps.map((step): BatchMessage => {
    const { family, table } = step;
    if (family !== "inet") throw new TypeError(`Cannot encode family ${family}: native tables are of family inet`);
    if (step.kind !== "append-rule" && step.kind !== "insert-rule") return encodePlainChange(step);
    return placeRule(step.kind, { family, table, chain: step.chain }, encodeNativeRule(step.rule, 1).expressions);
  });
  const setMessages = [
    ...sets.remove.map((keys) => deleteNamedSet(nativeSetRef(keys))),
    ...sets.add.map((keys, index) => addNamedSet(nativeSetRef(keys), keys, index + 1, SET_COMMENT)),
  ];
  // What goes and the table itself come first in every plan, chains and rules after them.
  const first = steps.findIndex(({ kind }) => ["add-chain", "append-rule", "insert-rule"].includes(kind));
  return encodeBatch(messages.toSpliced(first < 0 ? messages.length : first, 0, ...setMessages), options);
}

/** The set of the native table that holds addresses of a family. */
export function nativeSetRef(keys: 4 | 6): SetRef {
  return { family: "inet", table: HOST_INET_TABLE, set: PROBE_SETS[keys] };
}

function placeRule(
  kind: "append-rule" | "insert-rule",
  ref: ChainRef,
  expressions: readonly Expression[],
  compat?: RuleCompat,
): BatchMessage {
  const appended = appendRule(ref, expressions, compat);
  // Without NLM_F_APPEND and without a position the kernel puts a rule before all others.
  return kind === "append-rule" ? appended : { ...appended, flags: NLM_F.CREATE };
}

function getTable(family: NftFamily, name: string): Uint8Array {
  return encodeRequest(NFT_MSG.GETTABLE, NLM_F.ACK, family, (writer) => writer.attributeString(NFTA_TABLE.NAME, name));
}

function getChain({ family, table, chain }: ChainRef): Uint8Array {
  return encodeRequest(NFT_MSG.GETCHAIN, NLM_F.ACK, family, (writer) => {
    writer.attributeString(NFTA_CHAIN.TABLE, table);
    writer.attributeString(NFTA_CHAIN.NAME, chain);
  });
}

function getRules(family: NftFamily, table: string, chain?: string): Uint8Array {
  return encodeRequest(NFT_MSG.GETRULE, NLM_F.DUMP, family, (writer) => {
    writer.attributeString(NFTA_RULE.TABLE, table);
    if (chain !== undefined) writer.attributeString(NFTA_RULE.CHAIN, chain);
  });
}

function decodeTables(
  messages: readonly NetlinkMessage[],
  family: NftFamily,
  table: string,
  read: (expressions: readonly Expression[]) => Omit<HeldRule, "handle">,
): HeldTable<HeldRule>[] {
  return assembleNftDump(messages)
    .filter((dumped) => dumped.family === family && dumped.name === table)
    .map(({ name, chains, otherObjects, isDormant }) => ({
      name,
      // Of a table of iptables only two chains were asked for; the others are among these.
      ...(otherObjects > 0 && { hasMore: true }),
      ...(isDormant && { isDormant: true }),
      chains: chains.map((chain): Chain<HeldRule> => {
        const rules = chain.rules.map(({ handle, expressions }: DumpedRule) => ({ ...read(expressions), handle }));
        return toChain(chain, rules);
      }),
    }));
}
