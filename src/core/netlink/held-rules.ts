// Everything nf_tables holds in a namespace, ours and others', as rules to walk through (core/rules/tracer.ts): tables of
// every name and family that a packet of IPv4 or IPv6 meets. What is not understood stays opaque, so that a walk stops there;
// only what says nothing of a packet is left out: comments, and rules that count or log and do nothing else.

import type { Chain, Rule, Ruleset } from "../rules/model.ts";
import { decodeRule } from "./iptables-nft-rule.ts";
import type { NetlinkMessage } from "./message.ts";
import { attributeMap, readString, readU32be } from "./message.ts";
import { decodeNativeRule } from "./native-nft-rule.ts";
import { NFGENMSG_BYTES, NFT_MSG, NFTA_CHAIN, NFTA_HOOK } from "./nfnetlink.ts";
import { assembleNftDump, type DumpedTable, toChain } from "./nft-dump.ts";
import type { Expression } from "./nft-expression.ts";
import { encodeGetPortSets, parsePortSets } from "./port-set.ts";

/** A chain at a hook that comes before or behind all others, by the interface; what it does nobody here can say. */
export type DeviceChain = {
  readonly table: string;
  readonly chain: string;
  readonly direction: "inbound" | "outbound";
};

export type HeldRules = {
  /** One for each table; those that are switched off are left out, as no packet meets them. */
  readonly rulesets: readonly Ruleset[];
  readonly deviceChains: readonly DeviceChain[];
};

const NFPROTO_INET = 1;
const NFPROTO_NETDEV = 5;
const NF_INET_INGRESS = 5;
const NF_NETDEV_INGRESS = 0;

/** What may be asked about a packet without deciding on it. */
const MATCHING: readonly Expression["kind"][] = [
  "meta",
  "payload",
  "bitwise",
  "cmp",
  "counter",
  "ct",
  "lookup",
  "match",
];
const HARMLESS_TARGETS = ["LOG", "NFLOG"];
const HARMLESS_UNKNOWN = ["log", "limit"];

/** The further requests a dump of all families needs: the elements of the sets that rules of inet tables name. */
export function encodeHeldSetRequests(messages: readonly NetlinkMessage[]): Uint8Array[] {
  return encodeGetPortSets(assembleNftDump(messages).filter(({ family }) => family === "inet"));
}

/** Of the answers to `encodeNftDumpRequests()` and `encodeHeldSetRequests`. Throws NetlinkFormatError. */
export function decodeHeldRules(messages: readonly NetlinkMessage[]): HeldRules {
  const sets = parsePortSets(messages);
  const awake = assembleNftDump(messages).filter(({ isDormant }) => !isDormant);
  return {
    rulesets: awake.map((table) => ({ family: table.family, tables: [decodeTable(table, sets)] })),
    deviceChains: messages.flatMap(parseDeviceChain),
  };
}

function decodeTable({ family, name, chains }: DumpedTable, sets: ReadonlyMap<string, readonly number[]>) {
  const decoded = chains.map((chain): Chain => {
    const rules = chain.rules.flatMap(({ expressions }): Rule[] => {
      const said = expressions.filter((one) => !(one.kind === "match" && one.name === "comment"));
      if (hasNoEffect(said)) return [];
      if (family === "inet") return [decodeNativeRule(said, (set) => sets.get(`${name} ${set}`))];
      const rule = decodeRule(said, family);
      // nft writes tables of one family too, in its own words.
      return [
        rule.verdict.kind === "opaque"
          ? preferUnderstood(
              rule,
              decodeNativeRule(said, () => undefined),
            )
          : rule,
      ];
    });
    return toChain(chain, rules);
  });
  return { name, chains: decoded };
}

function preferUnderstood(first: Rule, second: Rule): Rule {
  return second.verdict.kind === "opaque" ? first : second;
}

function hasNoEffect(expressions: readonly Expression[]): boolean {
  return expressions.every((one) => {
    if (one.kind === "target") return HARMLESS_TARGETS.includes(one.name);
    return one.kind === "unknown" ? HARMLESS_UNKNOWN.includes(one.name) : MATCHING.includes(one.kind);
  });
}

function parseDeviceChain({ type, payload }: NetlinkMessage): DeviceChain[] {
  if (type !== NFT_MSG.NEWCHAIN) return [];
  const attributes = attributeMap(payload.subarray(NFGENMSG_BYTES));
  const hook = attributes.get(NFTA_CHAIN.HOOK);
  if (hook === undefined) return [];
  const number = readU32be(attributeMap(hook).get(NFTA_HOOK.HOOKNUM) ?? new Uint8Array(4));
  const [family] = payload;
  const isDevices = family === NFPROTO_NETDEV || (family === NFPROTO_INET && number === NF_INET_INGRESS);
  if (!isDevices) return [];
  const text = (attribute: number): string => readString(attributes.get(attribute) ?? new Uint8Array());
  const isIn = family === NFPROTO_INET || number === NF_NETDEV_INGRESS;
  return [{ table: text(NFTA_CHAIN.TABLE), chain: text(NFTA_CHAIN.NAME), direction: isIn ? "inbound" : "outbound" }];
}
