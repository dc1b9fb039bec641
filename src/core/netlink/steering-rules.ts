// Policy rules that choose by destination or by the interface a packet came in by, host routes of any table, and the names of
// interfaces: what a node's network plugin steers pods with (uapi/linux/fib_rules.h, rtnetlink.h, if_link.h).
// Not here: rules by mark (policy-routing.ts).

import type { Cidr } from "../address.ts";
import type { NetlinkMessage } from "./message.ts";
import { NetlinkFormatError, readNumber, readString } from "./message.ts";
import {
  ADDRESS_FAMILY,
  FIB_RULE_INVERT,
  FR_ACT_TO_TBL,
  FRA,
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

/** What such a rule consists of; whatever has more chooses by something else too. */
const PLAIN: readonly number[] = [FRA.DST, FRA.IIFNAME, FRA.PRIORITY, FRA.SUPPRESS_PREFIXLEN, FRA.TABLE, FRA.PROTOCOL];
const IFLA_IFNAME = 3;
const LINK_HEADER_BYTES = 16;

/** A rule that leads to a table. Exactly what is named is what it chooses by. */
export type SteeringRule = {
  readonly family: 4 | 6;
  /** Packets to this address or network. */
  readonly to?: Cidr;
  /** Packets that came in by this interface. */
  readonly iif?: string;
  readonly table: number;
  readonly priority: number;
  /** Who says to have made it (RTPROT_*); 0: nobody, and before Linux 4.17. */
  readonly protocol: number;
};

/** A way to one address, by an interface. */
export type HostRoute = { readonly destination: Cidr; readonly table: number; readonly interfaceIndex: number };

/** Adds a rule; EEXIST (17) when one like it is there. Equiv: ip rule add [to …] [iif …] lookup TABLE pref PRIORITY */
export function encodeAddSteeringRule(rule: SteeringRule): Uint8Array {
  return encodeRule(RTM.NEWRULE, NLM_F.CREATE | NLM_F.EXCL, rule);
}

/** Deletes that rule; ENOENT (2) when there is none. */
export function encodeDeleteSteeringRule(rule: SteeringRule): Uint8Array {
  return encodeRule(RTM.DELRULE, 0, rule);
}

/** Asks for all interfaces; answered by a dump. */
export function encodeGetLinks(): Uint8Array {
  const writer = new NetlinkWriter();
  writer.message({ type: RTM.GETLINK, flags: NLM_F.REQUEST | NLM_F.DUMP, sequence: 1 }, () =>
    writer.raw(new Uint8Array(LINK_HEADER_BYTES)),
  );
  return writer.finish();
}

/** The rules of a dump (encodeGetPolicyRules) that choose by nothing else. Throws NetlinkFormatError. */
export function decodeSteeringRules(messages: readonly NetlinkMessage[]): SteeringRule[] {
  return messages.flatMap(({ type, payload }): SteeringRule[] => {
    if (type !== RTM.NEWRULE) return [];
    const { family, view, attributes } = openMessage("a rule or route", payload, ROUTE_HEADER_BYTES);
    const number = (name: number, fallback: number): number => {
      const value = attributes.get(name);
      return value === undefined ? fallback : readNumber(value);
    };
    // struct fib_rule_hdr { __u8 family, dst_len, src_len, tos, table, res1, res2, action; __u32 flags; }; the flags that can
    // be set on a plain rule only tell that its interface is gone.
    const isLookup = view.getUint8(7) === FR_ACT_TO_TBL && view.getUint8(2) === 0 && view.getUint8(3) === 0;
    const isPlain =
      [...attributes.keys()].every((name) => PLAIN.includes(name)) && (view.getUint32(8, true) & FIB_RULE_INVERT) === 0;
    const isWhole = number(FRA.SUPPRESS_PREFIXLEN, SUPPRESS_NOTHING) === SUPPRESS_NOTHING;
    if (family === undefined || !isLookup || !isPlain || !isWhole) {
      return [];
    }
    const [to, iif] = [attributes.get(FRA.DST), attributes.get(FRA.IIFNAME)];
    const prefixLength = view.getUint8(1);
    if (to !== undefined && !isPrefix(family, to, prefixLength)) {
      throw new NetlinkFormatError(`Cannot read a rule: IPv${family} prefix /${prefixLength} of ${to.length} bytes`);
    }
    return [
      {
        family,
        ...(to !== undefined && { to: { family, bytes: to.slice(), prefixLength } }),
        ...(iif !== undefined && { iif: readString(iif) }),
        table: number(FRA.TABLE, view.getUint8(4)),
        priority: number(FRA.PRIORITY, 0),
        protocol: number(FRA.PROTOCOL, 0),
      },
    ];
  });
}

/** The routes of a dump (encodeGetRoutes) to single addresses, in every table. Throws NetlinkFormatError. */
export function decodeHostRoutes(messages: readonly NetlinkMessage[]): HostRoute[] {
  return messages.flatMap(({ type, payload }): HostRoute[] => {
    if (type !== RTM.NEWROUTE) return [];
    const { family, view, attributes } = openMessage("a rule or route", payload, ROUTE_HEADER_BYTES);
    const [bytes, oif, table] = [RTA.DST, RTA.OIF, RTA.TABLE].map((name) => attributes.get(name));
    const prefixLength = view.getUint8(1);
    if (family === undefined || bytes === undefined || oif === undefined || view.getUint8(7) !== RTN.UNICAST) return [];
    if (prefixLength !== bytes.length * 8 || !isPrefix(family, bytes, prefixLength)) return [];
    return [
      {
        destination: { family, bytes: bytes.slice(), prefixLength },
        table: table === undefined ? view.getUint8(4) : readNumber(table),
        interfaceIndex: readNumber(oif),
      },
    ];
  });
}

/** The names of the interfaces of a dump by their index. Throws NetlinkFormatError. */
export function decodeLinkNames(messages: readonly NetlinkMessage[]): Map<number, string> {
  return new Map(
    messages.flatMap(({ type, payload }): [number, string][] => {
      if (type !== RTM.NEWLINK) return [];
      const { view, attributes } = openMessage("an interface", payload, LINK_HEADER_BYTES);
      return [[view.getInt32(4, true), readString(attributes.get(IFLA_IFNAME) ?? new Uint8Array())]];
    }),
  );
}

function isPrefix(family: 4 | 6, bytes: Uint8Array, prefixLength: number): boolean {
  return bytes.length === (family === 4 ? 4 : 16) && prefixLength <= bytes.length * 8;
}

function encodeRule(type: number, flags: number, rule: SteeringRule): Uint8Array {
  const writer = new NetlinkWriter();
  writer.message({ type, flags: flags | NLM_F.REQUEST | NLM_F.ACK, sequence: 1 }, () => {
    const header = [rule.to?.prefixLength ?? 0, 0, 0, shortTable(rule.table), 0, 0, FR_ACT_TO_TBL];
    writer.raw(Uint8Array.of(ADDRESS_FAMILY[rule.family], ...header));
    writer.u32(0);
    if (rule.to !== undefined) writer.attributeBytes(FRA.DST, rule.to.bytes);
    if (rule.iif !== undefined) writer.attributeString(FRA.IIFNAME, rule.iif);
    writer.attributeU32(FRA.TABLE, rule.table);
    writer.attributeU32(FRA.PRIORITY, rule.priority);
    writer.attributeU8(FRA.PROTOCOL, rule.protocol);
  });
  return writer.finish();
}
