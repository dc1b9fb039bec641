// Policy rules and local routes by rtnetlink, written and read back (uapi/linux/fib_rules.h, rtnetlink.h).

import { ADDRESS_BYTES } from "../address.ts";
import type { LocalRoute, PolicyRule } from "../rules/model.ts";
import { NetlinkFormatError, readNumber } from "./message.ts";
import { collectDump } from "./reply.ts";
import {
  ADDRESS_FAMILY,
  FIB_RULE_INVERT,
  FR_ACT_TO_TBL,
  FRA,
  LOOPBACK_INDEX,
  NLM_F,
  openMessage,
  ROUTE_HEADER_BYTES,
  RTA,
  RTM,
  RTN,
  SUPPRESS_NOTHING,
  shortTable,
} from "./rtnetlink.ts";
import { NetlinkWriter } from "./writer.ts";

/** What a rule by mark alone consists of; whatever else it has selects by something else too, also what we do not know. */
const FRA_PLAIN: readonly number[] = [
  FRA.PRIORITY,
  FRA.FWMARK,
  FRA.FWMASK,
  FRA.TABLE,
  FRA.PROTOCOL,
  FRA.SUPPRESS_PREFIXLEN,
];
const RTPROT_BOOT = 3;
const RT_SCOPE_HOST = 254;

/** A policy rule as the kernel holds it. */
export type HeldPolicyRule = Omit<PolicyRule, "intent">;

/** A rule that chooses by something else: only where it looks is known. */
export type TableLookup = { readonly family: 4 | 6; readonly table: number };

/** A local route as the kernel holds it. */
export type HeldLocalRoute = Omit<LocalRoute, "intent"> & { readonly interfaceIndex: number };

/** Writes the message that adds a policy rule; EEXIST (17) when one like it is there. Equiv: ip rule add … */
export function writeAddPolicyRule(writer: NetlinkWriter, rule: PolicyRule, sequence: number): void {
  writePolicyRule(writer, { type: RTM.NEWRULE, flags: NLM_F.CREATE | NLM_F.EXCL, sequence }, rule);
}

/** Writes the message that deletes the rule of that priority; ENOENT (2) when there is none. Equiv: ip rule del … */
export function writeDeletePolicyRule(writer: NetlinkWriter, rule: PolicyRule, sequence: number): void {
  writePolicyRule(writer, { type: RTM.DELRULE, flags: 0, sequence }, rule);
}

/** Writes the message that adds a local route by `lo`; EEXIST (17) when it is there. Equiv: ip route add local … dev lo */
export function writeAddLocalRoute(writer: NetlinkWriter, route: LocalRoute, sequence: number): void {
  writeLocalRoute(writer, { type: RTM.NEWROUTE, flags: NLM_F.CREATE | NLM_F.EXCL, sequence }, route);
}

/** Writes the message that deletes the local route; ESRCH (3) when it is not there. Equiv: ip route del local … dev lo */
export function writeDeleteLocalRoute(writer: NetlinkWriter, route: LocalRoute, sequence: number): void {
  writeLocalRoute(writer, { type: RTM.DELROUTE, flags: 0, sequence }, route);
}

/** Asks for the policy rules of one family. Equiv: ip [-6] rule show */
export function encodeGetPolicyRules(family: 4 | 6): Uint8Array {
  return encodeGet(RTM.GETRULE, family);
}

/** Asks for all routes of one family. Equiv: ip [-6] route show table all */
export function encodeGetRoutes(family: 4 | 6): Uint8Array {
  return encodeGet(RTM.GETROUTE, family);
}

/** The rules that look up a table by mark alone, and of all others the tables they look up. Throws KernelRefusalError. */
export function decodePolicyRules(datagrams: Iterable<Uint8Array>): {
  rules: HeldPolicyRule[];
  otherLookups: TableLookup[];
  interrupted: boolean;
} {
  const { messages, interrupted } = collectDump("list the policy rules of the netns", datagrams);
  const parsed = messages
    .filter(({ type }) => type === RTM.NEWRULE)
    .flatMap(({ payload }) => parsePolicyRule(payload) ?? []);
  return {
    rules: parsed.filter((rule): rule is HeldPolicyRule => "fwmark" in rule),
    otherLookups: parsed.filter((rule) => !("fwmark" in rule)),
    interrupted,
  };
}

/** The routes of type local in every table. Throws KernelRefusalError. */
export function decodeLocalRoutes(datagrams: Iterable<Uint8Array>): { routes: HeldLocalRoute[]; interrupted: boolean } {
  const { messages, interrupted } = collectDump("list the routes of the netns", datagrams);
  const routes = messages
    .filter(({ type }) => type === RTM.NEWROUTE)
    .flatMap(({ payload }) => parseRoute(payload) ?? []);
  return { routes, interrupted };
}

/** struct fib_rule_hdr { __u8 family, dst_len, src_len, tos, table, res1, res2, action; __u32 flags; } */
function writePolicyRule(
  writer: NetlinkWriter,
  header: { type: number; flags: number; sequence: number },
  rule: PolicyRule,
): void {
  writer.message({ ...header, flags: header.flags | NLM_F.REQUEST | NLM_F.ACK }, () => {
    writer.raw(Uint8Array.of(ADDRESS_FAMILY[rule.family], 0, 0, 0, shortTable(rule.table), 0, 0, FR_ACT_TO_TBL));
    writer.u32(0);
    writer.attributeU32(FRA.FWMARK, rule.fwmark);
    writer.attributeU32(FRA.FWMASK, rule.fwmask);
    writer.attributeU32(FRA.TABLE, rule.table);
    writer.attributeU32(FRA.PRIORITY, rule.priority);
  });
}

/** struct rtmsg { __u8 family, dst_len, src_len, tos, table, protocol, scope, type; __u32 flags; } */
function writeLocalRoute(
  writer: NetlinkWriter,
  header: { type: number; flags: number; sequence: number },
  { destination, table }: LocalRoute,
): void {
  const { family, prefixLength, bytes } = destination;
  writer.message({ ...header, flags: header.flags | NLM_F.REQUEST | NLM_F.ACK }, () => {
    const fields = [prefixLength, 0, 0, shortTable(table), RTPROT_BOOT, RT_SCOPE_HOST, RTN.LOCAL];
    writer.raw(Uint8Array.of(ADDRESS_FAMILY[family], ...fields));
    writer.u32(0);
    if (prefixLength > 0) writer.attributeBytes(RTA.DST, bytes);
    writer.attributeU32(RTA.OIF, LOOPBACK_INDEX);
    writer.attributeU32(RTA.TABLE, table);
  });
}

function encodeGet(type: number, family: 4 | 6): Uint8Array {
  const writer = new NetlinkWriter();
  writer.message({ type, flags: NLM_F.REQUEST | NLM_F.DUMP, sequence: 1 }, () => {
    writer.raw(Uint8Array.of(ADDRESS_FAMILY[family], ...new Uint8Array(ROUTE_HEADER_BYTES - 1)));
  });
  return writer.finish();
}

function parsePolicyRule(payload: Uint8Array): HeldPolicyRule | TableLookup | undefined {
  const { family, view, attributes } = openMessage("a rule or route", payload, ROUTE_HEADER_BYTES);
  const fwmark = attributes.get(FRA.FWMARK);
  const isPlainLookup = view.getUint8(7) === FR_ACT_TO_TBL && (view.getUint32(8, true) & FIB_RULE_INVERT) === 0;
  if (family === undefined) return undefined;
  const hasPlainHeader = view.getUint8(1) === 0 && view.getUint8(2) === 0 && view.getUint8(3) === 0;
  const isByMarkAlone = hasPlainHeader && [...attributes.keys()].every((type) => FRA_PLAIN.includes(type));
  const number = (type: number, fallback: number): number => {
    const value = attributes.get(type);
    return value === undefined ? fallback : readNumber(value);
  };
  const table = number(FRA.TABLE, view.getUint8(4));
  const isWhole = number(FRA.SUPPRESS_PREFIXLEN, SUPPRESS_NOTHING) === SUPPRESS_NOTHING;
  if (fwmark === undefined || !isByMarkAlone || !isPlainLookup || !isWhole) return { family, table };
  return {
    family,
    fwmark: readNumber(fwmark),
    fwmask: number(FRA.FWMASK, 0xffffffff),
    table,
    priority: number(FRA.PRIORITY, 0),
  };
}

function parseRoute(payload: Uint8Array): HeldLocalRoute | undefined {
  const { family, view, attributes } = openMessage("a rule or route", payload, ROUTE_HEADER_BYTES);
  if (family === undefined || view.getUint8(7) !== RTN.LOCAL) return undefined;
  const bytes = attributes.get(RTA.DST) ?? new Uint8Array(ADDRESS_BYTES[family]);
  const prefixLength = view.getUint8(1);
  if (bytes.length !== ADDRESS_BYTES[family] || prefixLength > bytes.length * 8) {
    throw new NetlinkFormatError(`Cannot read a route: IPv${family} prefix /${prefixLength} of ${bytes.length} bytes`);
  }
  const table = attributes.get(RTA.TABLE);
  const interfaceIndex = attributes.get(RTA.OIF);
  return {
    destination: { family, bytes: bytes.slice(), prefixLength },
    table: table === undefined ? view.getUint8(4) : readNumber(table),
    interfaceIndex: interfaceIndex === undefined ? 0 : readNumber(interfaceIndex),
  };
}
