// What rtnetlink messages share: their numbers (uapi/linux/rtnetlink.h, fib_rules.h, netlink.h, bits/socket.h), and that
// each has a header of its kind before its attributes.

import { attributeMap, NetlinkFormatError, viewOf } from "./message.ts";

/** Protocol numbers of the netlink sockets we open: socket(AF_NETLINK, SOCK_RAW, …). */
export const NETLINK_PROTOCOL = { route: 0, netfilter: 12 } as const;

/** nlmsg_type of the messages we send or read. */
export const RTM = {
  NEWLINK: 16,
  GETLINK: 18,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
  NEWRULE: 32,
  DELRULE: 33,
  GETRULE: 34,
} as const;

/** nlmsg_flags of requests. */
export const NLM_F = {
  REQUEST: 0x001,
  ACK: 0x004,
  DUMP: 0x300,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
} as const;

/** Attributes of policy rules (enum of fib_rules.h) and of routes (enum rtattr_type_t). */
export const FRA = {
  DST: 1,
  IIFNAME: 3,
  PRIORITY: 6,
  FWMARK: 10,
  SUPPRESS_PREFIXLEN: 14,
  TABLE: 15,
  FWMASK: 16,
  PROTOCOL: 21,
} as const;
export const RTA = { DST: 1, SRC: 2, OIF: 4, PREFSRC: 7, TABLE: 15, MARK: 16, UID: 25 } as const;

/** struct fib_rule_hdr and struct rtmsg are both so long. */
export const ROUTE_HEADER_BYTES = 12;
/** The action of a rule that looks up a table, and the flag that turns its conditions round. */
export const FR_ACT_TO_TBL = 1;
export const FIB_RULE_INVERT = 2;
/** What the kernel tells of a rule that suppresses nothing (fib_nl_fill_rule). */
export const SUPPRESS_NOTHING = 0xffffffff;
/** Types of routes. */
export const RTN = { UNICAST: 1, LOCAL: 2 } as const;

/** The table as the headers have it, which have room for small ones only; the attribute holds it in any case (RT_TABLE_UNSPEC
 * is 0). */
export function shortTable(table: number): number {
  return table < 256 ? table : 0;
}

/**
 * The header of a message as it lies there, and its attributes. Every header begins with an address family.
 * @param what completes "Cannot read …"
 * @throws {NetlinkFormatError}
 */
export function openMessage(what: string, payload: Uint8Array, headerBytes: number) {
  if (payload.length < headerBytes) {
    throw new NetlinkFormatError(`Cannot read ${what}: message of ${payload.length} bytes`);
  }
  const view = viewOf(payload);
  return { family: familyOf(view.getUint8(0)), view, attributes: attributeMap(payload.subarray(headerBytes)) };
}

/** The index of `lo` in every network namespace. */
export const LOOPBACK_INDEX = 1;

/** AF_INET and AF_INET6 by IP version. */
export const ADDRESS_FAMILY = { 4: 2, 6: 10 } as const;

/** The IP version of an AF_ number, undefined for others. */
export function familyOf(addressFamily: number): 4 | 6 | undefined {
  if (addressFamily === ADDRESS_FAMILY[4]) return 4;
  return addressFamily === ADDRESS_FAMILY[6] ? 6 : undefined;
}
