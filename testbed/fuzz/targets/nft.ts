/** Targets: dumps of nf_tables in every dialect (core/netlink), and that what was understood is written as it was read. */

import assert from "node:assert/strict";
import { FAMILIES } from "../../../src/core/address.ts";
import { decodeHeldRules, encodeHeldSetRequests } from "../../../src/core/netlink/held-rules.ts";
import { decodeIptablesHost, decodeNativeHost, encodeNativeHostSteps } from "../../../src/core/netlink/host-rules.ts";
import { decodeIptablesNft, encodeIptablesNft } from "../../../src/core/netlink/iptables-nft.ts";
import { decodeRule, encodeRule } from "../../../src/core/netlink/iptables-nft-rule.ts";
import { NetlinkFormatError, type NetlinkMessage, parseMessages } from "../../../src/core/netlink/message.ts";
import { decodeNativeNft, encodeNativeNft } from "../../../src/core/netlink/native-nft.ts";
import { encodeBatch, NFGENMSG_BYTES } from "../../../src/core/netlink/nfnetlink.ts";
import { assembleNftDump } from "../../../src/core/netlink/nft-dump.ts";
import { addNamedSet, createElements } from "../../../src/core/netlink/nft-set.ts";
import { decodeElements, decodeSets } from "../../../src/core/netlink/nft-set-dump.ts";
import { parsePortSets } from "../../../src/core/netlink/port-set.ts";
import type { SetNumbers } from "../../../src/core/netlink/xt-match.ts";
import { ambientInetRules, ambientRules } from "../../../src/core/rules/ambient-pod.ts";
import type { Rule, Ruleset } from "../../../src/core/rules/model.ts";
import { renderIptablesRule } from "../../../src/core/rules/render-iptables.ts";
import { sidecarInetRules, sidecarRules } from "../../../src/core/rules/sidecar.ts";
import { AMBIENT_CASES } from "../../ambient/ambient-cases.ts";
import { SIDECAR_CASES } from "../../sidecar/sidecar-cases.ts";
import { createTarget, type FuzzTarget } from "../fuzz-target.ts";
import { mutateNetlink } from "../mutate-netlink.ts";
import { holds } from "../oracle.ts";

const WORDS = [
  "match\0",
  "target\0",
  "immediate\0",
  "payload\0",
  "meta\0",
  "cmp\0",
  "bitwise\0",
  "lookup\0",
  "ct\0",
  "redir\0",
  "tproxy\0",
  "nat\0",
  "owner\0",
  "multiport\0",
  "conntrack\0",
  "connmark\0",
  "mark\0",
  "set\0",
  "tcp\0",
  "udp\0",
  "REDIRECT\0",
  "SNAT\0",
  "TPROXY\0",
  "CONNMARK\0",
  "MARK\0",
  "CT\0",
  "nat\0",
  "mangle\0",
  "OUTPUT\0",
  "\0\0\0\x01",
  "\xff\xff\xff\xfd",
];
const SETS: SetNumbers = { numberOf: () => 1, nameOf: (number) => (number === 1 ? "a" : undefined) };

/** Those with few rules: the bytes of a hundred rules are no more to be learned from. */
const SIDECARS = Object.values(SIDECAR_CASES)
  .toSorted(
    (left, right) => encodeIptablesNft(sidecarRules(left)).length - encodeIptablesNft(sidecarRules(right)).length,
  )
  .slice(0, 4);
const AMBIENTS = Object.values(AMBIENT_CASES).slice(0, 4);

/** What a batch creates looks to the decoders like a dump. */
function asDump(messages: readonly NetlinkMessage[]): NetlinkMessage[] {
  return messages.filter(({ payload }) => payload.length > NFGENMSG_BYTES);
}

/** Names that text can say; others are shown with U+FFFD and never written. */
function isWritable(rule: Rule): boolean {
  const names = rule.matches.map((match) => ("name" in match ? match.name : ""));
  return rule.verdict.kind !== "opaque" && names.every((name) => /^[\x20-\x7e]*$/.test(name));
}

function rulesOf(ruleset: Ruleset): Rule[] {
  return ruleset.tables.flatMap(({ chains }) => chains.flatMap(({ rules }) => [...rules]));
}

const iptables = createTarget(
  {
    name: "nft-iptables",
    parsers: [
      "core/netlink/iptables-nft.ts",
      "core/netlink/iptables-nft-rule.ts",
      "core/netlink/xt-match.ts",
      "core/netlink/xt-target.ts",
      "core/netlink/nft-match.ts",
      "core/netlink/nft-expression.ts",
      "core/netlink/nft-dump.ts",
    ],
    mutators: [mutateNetlink],
    words: WORDS,
    seeds: [
      ...SIDECARS.map((capture) => encodeIptablesNft(sidecarRules(capture))),
      ...AMBIENTS.map((capture) => encodeIptablesNft(ambientRules(capture))),
    ],
  },
  [NetlinkFormatError],
  (input) => {
    const messages = asDump(parseMessages(input));
    return FAMILIES.map((family) => {
      const held = decodeIptablesNft(messages, family);
      decodeIptablesHost(messages, family, SETS);
      for (const rule of rulesOf(held).filter(isWritable)) {
        const { matches, verdict } = decodeRule(encodeRule(rule, family, SETS), family, SETS);
        assert.deepEqual(
          { matches, verdict },
          { matches: rule.matches, verdict: rule.verdict },
          "What was read is written as it was read",
        );
        renderIptablesRule("X", rule, family);
      }
      return held;
    });
  },
);

const native = createTarget(
  {
    name: "nft-native",
    parsers: [
      "core/netlink/native-nft.ts",
      "core/netlink/native-nft-rule.ts",
      "core/netlink/native-nft-verdict.ts",
      "core/netlink/port-set.ts",
      "core/netlink/host-rules.ts",
    ],
    mutators: [mutateNetlink],
    words: WORDS,
    seeds: [
      ...SIDECARS.map((capture) => encodeNativeNft(sidecarInetRules(capture))),
      ...AMBIENTS.flatMap((capture) => ambientInetRules(capture).map((ruleset) => encodeNativeNft(ruleset))),
    ],
  },
  [NetlinkFormatError],
  (input) => {
    const messages = asDump(parseMessages(input));
    for (const ports of parsePortSets(messages).values())
      holds(
        ports.every((port) => port >= 0 && port <= 0xffff),
        "Ports are ports",
      );
    return [decodeNativeNft(messages, () => messages), decodeNativeHost(messages)];
  },
);

const held = createTarget(
  {
    name: "nft-held",
    parsers: ["core/netlink/held-rules.ts", "core/netlink/nft-dump.ts"],
    mutators: [mutateNetlink],
    words: WORDS,
    seeds: [
      encodeNativeNft(sidecarInetRules(SIDECARS[0] ?? assert.fail())),
      encodeIptablesNft(sidecarRules(SIDECARS[1] ?? assert.fail())),
    ],
  },
  [NetlinkFormatError],
  (input) => {
    const messages = asDump(parseMessages(input));
    holds(encodeHeldSetRequests(messages).length <= 64, "So many sets are asked for at most");
    assembleNftDump(messages);
    return decodeHeldRules(messages);
  },
);

const REF = { family: "inet", table: "t", set: "s" } as const;
const IPS = [
  { ip: { family: 4, bytes: Uint8Array.of(10, 0, 0, 5) }, comment: "uid" },
  { ip: { family: 4, bytes: Uint8Array.of(10, 0, 0, 6) }, comment: "" },
] as const;

const sets = createTarget(
  {
    name: "nft-sets",
    parsers: ["core/netlink/nft-set-dump.ts"],
    mutators: [mutateNetlink],
    words: ["\0\0\0\x04", "\0\0\0\x07", "\0\x04uid\0"],
    seeds: [
      encodeBatch([addNamedSet(REF, 4, 1, "c"), ...createElements(REF, IPS)]),
      encodeNativeHostSteps([], { add: [4, 6], remove: [] }),
    ],
  },
  [NetlinkFormatError],
  (input) => {
    const messages = asDump(parseMessages(input));
    const elements = decodeElements(messages);
    for (const { ip } of elements)
      holds(ip.bytes.length === (ip.family === 4 ? 4 : 16), "An element has the bytes of its family");
    return [decodeSets(messages), elements];
  },
);

export const NFT_TARGETS: readonly FuzzTarget[] = [iptables, native, held, sets];
