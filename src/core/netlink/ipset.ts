// ipset over netlink: requests that make, fill, empty and destroy the sets of addresses that iptables rules look into, and
// what the kernel's refusals mean (uapi/linux/netfilter/ipset/ip_set.h, net/netfilter/ipset/ip_set_core.c).
// Not here: reading a set (ipset-dump.ts), and the number by which a rule knows a set (ip-set-index.ts).
//
// The kernel multicasts nothing about ipsets: who wants to know has to look.

import type { IpAddress } from "../address.ts";
import { NFGENMSG_BYTES, NFPROTO } from "./nfnetlink.ts";
import { ADDRESS_FAMILY, NLM_F } from "./rtnetlink.ts";
import { NetlinkWriter } from "./writer.ts";

const NFNL_SUBSYS_IPSET = 6;
/**
 * What every kernel understands: 7 (Linux 4.20) added requests that are not needed here, and older kernels refuse it.
 */
export const IPSET_PROTOCOL = 6;
/** IPSET_MAXNAMELEN, with the terminating zero. */
export const MAX_NAME_BYTES = 32;
/** IPSET_MAX_COMMENT_SIZE. */
const MAX_COMMENT_BYTES = 255;
/** The first revision of hash:ip that has comments (Linux 3.13); every later kernel accepts it. */
const HASH_IP_REVISION = 2;
/** IPSET_FLAG_WITH_COMMENT. */
export const WITH_COMMENT = 0x10;
/** NLA_F_NET_BYTEORDER: ipset wants to be told. */
const NET_ORDER = 0x4000;
/** So many addresses at most go into one message, which keeps each below 64 KB. */
const MAX_ENTRIES_PER_MESSAGE = 128;

const ipsetType = (command: number): number => (NFNL_SUBSYS_IPSET << 8) | command;

/** nlmsg_type of the messages we send or read (enum ipset_cmd). */
export const IPSET_CMD = {
  CREATE: ipsetType(2),
  DESTROY: ipsetType(3),
  LIST: ipsetType(7),
  ADD: ipsetType(9),
  DEL: ipsetType(10),
} as const;

/** Attributes of a request (IPSET_ATTR_*), of a set's definition and of an entry. */
export const IPSET_ATTR = {
  PROTOCOL: 1,
  SETNAME: 2,
  TYPENAME: 3,
  REVISION: 4,
  FAMILY: 5,
  DATA: 7,
  ADT: 8,
  LINENO: 9,
} as const;
export const IPSET_DATA = { IP: 1, TIMEOUT: 6, CADT_FLAGS: 8, MAXELEM: 19, COMMENT: 26 } as const;
export const IPSET_ADDRESS = { 4: 1, 6: 2 } as const;

/** One address of a set, with what is written beside it. */
export type IpsetEntry = { readonly ip: IpAddress; readonly comment: string };

/**
 * Creates a set of addresses of one family with comments and without time-out. One that is there, of the same definition,
 * is left as it is; another one of that name is refused (EEXIST, 17). Equiv: ipset create -exist NAME hash:ip family … comment
 */
export function encodeIpsetCreate(name: string, family: 4 | 6): Uint8Array {
  return encodeOne(IPSET_CMD.CREATE, NLM_F.CREATE, (writer) => {
    writeName(writer, name);
    writer.attributeString(IPSET_ATTR.TYPENAME, "hash:ip");
    writer.attributeU8(IPSET_ATTR.REVISION, HASH_IP_REVISION);
    writer.attributeU8(IPSET_ATTR.FAMILY, ADDRESS_FAMILY[family]);
    writer.nested(IPSET_ATTR.DATA, () => writer.attributeU32be(IPSET_DATA.CADT_FLAGS | NET_ORDER, WITH_COMMENT));
  });
}

/**
 * Adds addresses; one that is there gets the new comment. Each of the requests is answered for itself, and what stands
 * before an address that the kernel refuses is done. Equiv: ipset add -exist NAME IP comment COMMENT
 * @throws {RangeError} for a comment that does not fit.
 */
export function encodeIpsetAdd(name: string, entries: readonly IpsetEntry[]): Uint8Array[] {
  return encodeEntries(IPSET_CMD.ADD, name, entries, (writer, { ip, comment }) => {
    writeAddress(writer, ip);
    writer.attributeString(IPSET_DATA.COMMENT, checkedComment(comment));
  });
}

/** Deletes addresses, whether they are there or not. Equiv: ipset del -exist NAME IP */
export function encodeIpsetDelete(name: string, addresses: readonly IpAddress[]): Uint8Array[] {
  return encodeEntries(IPSET_CMD.DEL, name, addresses, writeAddress);
}

/** Destroys a set; refused while a rule looks into it ("in-use") or where there is none. Equiv: ipset destroy NAME */
export function encodeIpsetDestroy(name: string): Uint8Array {
  return encodeOne(IPSET_CMD.DESTROY, 0, (writer) => writeName(writer, name));
}

/** Asks for one set with all it holds; answered by a dump (decodeIpset). Equiv: ipset list NAME */
export function encodeIpsetList(name: string): Uint8Array {
  return encodeOne(IPSET_CMD.LIST, NLM_F.DUMP, (writer) => writeName(writer, name));
}

/** Why the kernel refuses a request about a set, as far as somebody can do something about it. */
export type IpsetRefusal = "no-set" | "in-use" | "other-definition" | "full" | "no-ipset" | "other";

/** What an errno of ipset means; those from 4097 on are ipset's own. */
export function ipsetRefusal(errno: number): IpsetRefusal {
  return REFUSALS.get(errno)?.[0] ?? "other";
}

/** The same for people, undefined for an errno that is not ipset's. */
export function describeIpsetErrno(errno: number): string | undefined {
  return REFUSALS.get(errno)?.[1];
}

const REFUSALS: ReadonlyMap<number, readonly [IpsetRefusal, string]> = new Map([
  [2, ["no-set", "there is no such set"]],
  [17, ["other-definition", "there is a set of that name with another definition"]],
  [22, ["no-ipset", "this kernel has no ipset (ip_set)"]],
  [4097, ["other", "ipset does not understand the request"]],
  [4098, ["no-ipset", "this kernel has no sets of type hash:ip with comments (ip_set_hash_ip)"]],
  [4099, ["other", "there are as many sets as ipset allows"]],
  [4100, ["in-use", "a rule looks into the set"]],
  [4104, ["other-definition", "the set takes other addresses than single ones"]],
  [4106, ["other-definition", "the set is of the other address family"]],
  [4108, ["in-use", "a rule looks into the set"]],
  [4109, ["other-definition", "the set is not of IPv4"]],
  [4110, ["other-definition", "the set is not of IPv6"]],
  [4112, ["other-definition", "the set has no comments"]],
  [4352, ["full", "the set is full"]],
]);

function encodeEntries<T>(
  type: number,
  name: string,
  items: readonly T[],
  write: (writer: NetlinkWriter, item: T) => void,
): Uint8Array[] {
  const messages: Uint8Array[] = [];
  for (let start = 0; start < items.length; start += MAX_ENTRIES_PER_MESSAGE) {
    const some = items.slice(start, start + MAX_ENTRIES_PER_MESSAGE);
    messages.push(
      encodeOne(type, 0, (writer) => {
        writeName(writer, name);
        writer.nested(IPSET_ATTR.ADT, () => {
          for (const item of some) writer.nested(IPSET_ATTR.DATA, () => write(writer, item));
        });
        // The kernel writes into it which of several it stopped at, and asks for it for that.
        writer.attributeU32be(IPSET_ATTR.LINENO | NET_ORDER, 0);
      }),
    );
  }
  return messages;
}

function encodeOne(type: number, flags: number, body: (writer: NetlinkWriter) => void): Uint8Array {
  const writer = new NetlinkWriter();
  writer.message({ type, flags: flags | NLM_F.REQUEST | NLM_F.ACK, sequence: 1 }, () => {
    writer.u8(NFPROTO[4]);
    for (let byte = 1; byte < NFGENMSG_BYTES; byte++) writer.u8(0);
    writer.attributeU8(IPSET_ATTR.PROTOCOL, IPSET_PROTOCOL);
    body(writer);
  });
  return writer.finish();
}

function writeName(writer: NetlinkWriter, name: string): void {
  if (!/^[\x21-\x7e]+$/.test(name) || name.length >= MAX_NAME_BYTES) {
    throw new RangeError(
      `Cannot name an ipset "${name}": 1 to ${MAX_NAME_BYTES - 1} printable characters are accepted`,
    );
  }
  writer.attributeString(IPSET_ATTR.SETNAME, name);
}

function writeAddress(writer: NetlinkWriter, { family, bytes }: IpAddress): void {
  writer.nested(IPSET_DATA.IP, () => writer.attributeBytes(IPSET_ADDRESS[family] | NET_ORDER, bytes));
}

function checkedComment(comment: string): string {
  if (/^[\x20\x21\x23-\x7e]*$/.test(comment) && comment.length <= MAX_COMMENT_BYTES) return comment;
  const accepted = `up to ${MAX_COMMENT_BYTES} printable characters other than quotes are accepted`;
  throw new RangeError(`Cannot write a comment of ${comment.length} characters beside an address: ${accepted}`);
}
