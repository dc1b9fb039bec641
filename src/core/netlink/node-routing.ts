// Policy rules, routes to single addresses and interface names of the node's namespace, by rtnetlink: read, and rules written
// (uapi/linux/fib_rules.h, rtnetlink.h, if_link.h). Rules by mark and local routes of pods are policy-routing.ts.
import type { IpAddress } from "../address.ts";
import type { HostRoute, NodeRule } from "../policy/branch-eni.ts";
import { attributeMap, NetlinkFormatError, type NetlinkMessage, readNumber, readString, viewOf } from "./message.ts";
import { ADDRESS_FAMILY, familyOf, NLM_F, RTM } from "./rtnetlink.ts";
import { NetlinkWriter } from "./writer.ts";

const HEADER_BYTES = 12;
const LINK_HEADER_BYTES = 16;
const FRA = { DST: 1, IIFNAME: 3, PRIORITY: 6, SUPPRESS_PREFIXLEN: 14, TABLE: 15, PROTOCOL: 21 } as const;
const FRA_KNOWN: readonly number[] = Object.values(FRA);
const FR_ACT_TO_TBL = 1;
const FIB_RULE_INVERT = 2;
const SUPPRESS_NOTHING = 0xffffffff;
const RTA = { DST: 1, OIF: 4, TABLE: 15 } as const;
const IFLA_IFNAME = 3;

/** Asks for the names of all interfaces. Equiv: ip link show */
export function encodeGetLinks(sequence = 1): Uint8Array {
  const writer = new NetlinkWriter();
  writer.message({ type: RTM.GETLINK, flags: NLM_F.REQUEST | NLM_F.DUMP, sequence }, () => {
    writer.raw(new Uint8Array(LINK_HEADER_BYTES));
  });
  return writer.finish();
}

/** Names by index, out of the messages of that dump. */
export function parseLinkNames(messages: readonly NetlinkMessage[]): Map<number, string> {
  const names = new Map<number, string>();
  for (const { type, payload } of messages) {
    if (type !== RTM.NEWLINK) continue;
    const view = checkedView(payload, LINK_HEADER_BYTES, "an interface");
    const name = attributeMap(payload.subarray(LINK_HEADER_BYTES)).get(IFLA_IFNAME);
    if (name !== undefined) names.set(view.getInt32(4, true), readString(name));
  }
  return names;
}

/** The rules that look up a table, out of the messages of a dump (`encodeGetPolicyRules`). */
export function parseNodeRules(messages: readonly NetlinkMessage[]): NodeRule[] {
  return messages.flatMap(({ type, payload }) => (type === RTM.NEWRULE ? parseNodeRule(payload) : []));
}

/** The routes to a single address by an interface, out of the messages of a dump (`encodeGetRoutes`). */
export function parseHostRoutes(messages: readonly NetlinkMessage[], names: ReadonlyMap<number, string>): HostRoute[] {
  return messages.flatMap(({ type, payload }) => (type === RTM.NEWROUTE ? parseHostRoute(payload, names) : []));
}

/** Adds a rule; EEXIST (17) when there is one like it, whoever made it. Equiv: ip rule add … protocol N */
export function writeAddNodeRule(writer: NetlinkWriter, rule: NodeRule, sequence: number): void {
  writeNodeRule(writer, { type: RTM.NEWRULE, flags: NLM_F.CREATE | NLM_F.EXCL, sequence }, rule);
}

/** Deletes a rule; ENOENT (2) when there is none. Equiv: ip rule del … */
export function writeDeleteNodeRule(writer: NetlinkWriter, rule: NodeRule, sequence: number): void {
  writeNodeRule(writer, { type: RTM.DELRULE, flags: 0, sequence }, rule);
}

/** struct fib_rule_hdr { __u8 family, dst_len, src_len, tos, table, res1, res2, action; __u32 flags; } */
function writeNodeRule(
  writer: NetlinkWriter,
  header: { type: number; flags: number; sequence: number },
  { family, priority, table, destination, iifName, protocol }: NodeRule,
): void {
  writer.message({ ...header, flags: header.flags | NLM_F.REQUEST | NLM_F.ACK }, () => {
    const prefixLength = destination === undefined ? 0 : destination.bytes.length * 8;
    const short = table < 256 ? table : 0;
    writer.raw(Uint8Array.of(ADDRESS_FAMILY[family], prefixLength, 0, 0, short, 0, 0, FR_ACT_TO_TBL));
    writer.u32(0);
    if (destination !== undefined) writer.attributeBytes(FRA.DST, destination.bytes);
    if (iifName !== undefined) writer.attributeString(FRA.IIFNAME, iifName);
    writer.attributeU32(FRA.PRIORITY, priority);
    writer.attributeU32(FRA.TABLE, table);
    writer.attributeU8(FRA.PROTOCOL, protocol);
  });
}

function parseNodeRule(payload: Uint8Array): NodeRule[] {
  const view = checkedView(payload, HEADER_BYTES, "a policy rule");
  const family = familyOf(view.getUint8(0));
  if (family === undefined || view.getUint8(7) !== FR_ACT_TO_TBL) return [];
  const attributes = attributeMap(payload.subarray(HEADER_BYTES));
  const number = (type: number, fallback: number): number => {
    const value = attributes.get(type);
    return value === undefined ? fallback : readNumber(value);
  };
  const destination = attributes.get(FRA.DST);
  const iifName = attributes.get(FRA.IIFNAME);
  const isSingle = destination === undefined || view.getUint8(1) === destination.length * 8;
  const isPlain = view.getUint8(2) === 0 && view.getUint8(3) === 0 && (view.getUint32(8, true) & FIB_RULE_INVERT) === 0;
  const isKnown = [...attributes.keys()].every((type) => FRA_KNOWN.includes(type));
  const isWhole = number(FRA.SUPPRESS_PREFIXLEN, SUPPRESS_NOTHING) === SUPPRESS_NOTHING;
  return [
    {
      family,
      priority: number(FRA.PRIORITY, 0),
      table: number(FRA.TABLE, view.getUint8(4)),
      destination: destination === undefined || !isSingle ? undefined : addressOf(family, destination),
      iifName: iifName === undefined ? undefined : readString(iifName),
      protocol: number(FRA.PROTOCOL, 0),
      isOther: !(isSingle && isPlain && isKnown && isWhole),
    },
  ];
}

/** struct rtmsg { __u8 family, dst_len, src_len, tos, table, protocol, scope, type; __u32 flags; } */
function parseHostRoute(payload: Uint8Array, names: ReadonlyMap<number, string>): HostRoute[] {
  const view = checkedView(payload, HEADER_BYTES, "a route");
  const family = familyOf(view.getUint8(0));
  const attributes = attributeMap(payload.subarray(HEADER_BYTES));
  const destination = attributes.get(RTA.DST);
  const index = attributes.get(RTA.OIF);
  const interfaceName = index === undefined ? undefined : names.get(readNumber(index));
  if (family === undefined || destination === undefined || interfaceName === undefined) return [];
  if (view.getUint8(1) !== destination.length * 8) return [];
  const table = attributes.get(RTA.TABLE);
  return [
    {
      destination: addressOf(family, destination),
      table: table === undefined ? view.getUint8(4) : readNumber(table),
      interfaceName,
    },
  ];
}

function addressOf(family: 4 | 6, bytes: Uint8Array): IpAddress {
  if (bytes.length === (family === 4 ? 4 : 16)) return { family, bytes: bytes.slice() };
  throw new NetlinkFormatError(`Cannot read an address: IPv${family} address of ${bytes.length} bytes`);
}

function checkedView(payload: Uint8Array, length: number, what: string): DataView {
  if (payload.length >= length) return viewOf(payload);
  throw new NetlinkFormatError(`Cannot read ${what}: message of ${payload.length} bytes`);
}
