// The addresses of a netns by rtnetlink: ask for all, read the answer, add one (uapi/linux/rtnetlink.h, if_addr.h).

import { ADDRESS_BYTES, type Cidr, type IpAddress } from "../address.ts";
import { NetlinkFormatError, readNumber, readString } from "./message.ts";
import { collectDump } from "./reply.ts";
import { ADDRESS_FAMILY, NLM_F, openMessage, RTM } from "./rtnetlink.ts";
import { NetlinkWriter } from "./writer.ts";

const IFADDRMSG_BYTES = 8;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_LABEL = 3;
const IFA_FLAGS = 8;

/** rt_scope_t (uapi/linux/rtnetlink.h): how far the address is known. */
export const ADDRESS_SCOPE = { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;

/** IFA_F_* flags (uapi/linux/if_addr.h) that a reader of addresses asks about. */
export const ADDRESS_FLAGS = {
  noDad: 0x02,
  dadFailed: 0x08,
  deprecated: 0x20,
  tentative: 0x40,
  permanent: 0x80,
} as const;

/** One address on one interface, in the order the kernel gives them: the pod's first address comes first. */
export type InterfaceAddress = {
  readonly interfaceIndex: number;
  /** The address itself (IFA_LOCAL on point-to-point links), never the peer's. */
  readonly ip: IpAddress;
  readonly prefixLength: number;
  /** A number of ADDRESS_SCOPE or one between. */
  readonly scope: number;
  /** Bits of ADDRESS_FLAGS and others. */
  readonly flags: number;
  /** The interface's name or its alias; the kernel gives it for IPv4 only. */
  readonly label?: string;
};

/**
 * Asks for every address of one family; a kernel without IPv6 answers with those of every family it has. Not for both at once:
 * that dump waits for the lock of all network devices, which is held while any pod's are made or taken down, and since Linux
 * 6.9 that of one family does not (6.18, with namespaces made and ended beside it: p99 0.5 instead of 9 ms).
 * Equiv: ip -4 addr show
 */
export function encodeGetAddresses(family: 4 | 6): Uint8Array {
  const writer = new NetlinkWriter();
  writer.message({ type: RTM.GETADDR, flags: NLM_F.REQUEST | NLM_F.DUMP, sequence: 1 }, () => {
    const fields = { prefixLength: 0, flags: 0, scope: 0, interfaceIndex: 0 };
    writeIfaddrmsg(writer, { family: ADDRESS_FAMILY[family], ...fields });
  });
  return writer.finish();
}

/**
 * Reads the answer to `encodeGetAddresses`, taking datagrams until the end of the dump. `interrupted`: ask again.
 * Throws KernelRefusalError, NetlinkFormatError.
 */
export function decodeAddresses(datagrams: Iterable<Uint8Array>): {
  addresses: InterfaceAddress[];
  interrupted: boolean;
} {
  const { messages, interrupted } = collectDump("list the addresses of the netns", datagrams);
  const addresses = messages
    .filter((message) => message.type === RTM.NEWADDR)
    .flatMap((message) => parseAddress(message.payload) ?? []);
  return { addresses, interrupted };
}

/**
 * Writes the message that adds an address; EEXIST (17) when it is there. Equiv: ip addr add CIDR dev … nodad
 *
 * Without NODAD the kernel calls an IPv6 address tentative, and lets nobody bind to it, until a worker has found that `lo`
 * needs no duplicate address detection (net/ipv6/addrconf.c, ipv6_add_addr, addrconf_dad_begin; 6.18: seen so by the next
 * request in 9 of 60 namespaces). IPv4 knows no such thing and ignores the flag.
 */
export function writeAddAddress(writer: NetlinkWriter, cidr: Cidr, interfaceIndex: number, sequence: number): void {
  const header = { type: RTM.NEWADDR, flags: NLM_F.CREATE | NLM_F.EXCL, sequence };
  writeAddress(writer, header, cidr, interfaceIndex, ADDRESS_FLAGS.noDad);
}

/** Writes the message that deletes an address; EADDRNOTAVAIL (99) when it is not there. Equiv: ip addr del CIDR dev … */
export function writeDeleteAddress(writer: NetlinkWriter, cidr: Cidr, interfaceIndex: number, sequence: number): void {
  writeAddress(writer, { type: RTM.DELADDR, flags: 0, sequence }, cidr, interfaceIndex, 0);
}

function writeAddress(
  writer: NetlinkWriter,
  header: { type: number; flags: number; sequence: number },
  cidr: Cidr,
  interfaceIndex: number,
  flags: number,
): void {
  writer.message({ ...header, flags: header.flags | NLM_F.REQUEST | NLM_F.ACK }, () => {
    const family = ADDRESS_FAMILY[cidr.family];
    writeIfaddrmsg(writer, { family, prefixLength: cidr.prefixLength, flags, scope: 0, interfaceIndex });
    writer.attributeBytes(IFA_LOCAL, cidr.bytes);
    writer.attributeBytes(IFA_ADDRESS, cidr.bytes);
  });
}

/** struct ifaddrmsg { __u8 ifa_family, ifa_prefixlen, ifa_flags, ifa_scope; __u32 ifa_index; } */
function writeIfaddrmsg(
  writer: NetlinkWriter,
  fields: { family: number; prefixLength: number; flags: number; scope: number; interfaceIndex: number },
): void {
  writer.u8(fields.family);
  writer.u8(fields.prefixLength);
  writer.u8(fields.flags);
  writer.u8(fields.scope);
  writer.u32(fields.interfaceIndex);
}

function parseAddress(payload: Uint8Array): InterfaceAddress | undefined {
  const { family, view, attributes } = openMessage("an address", payload, IFADDRMSG_BYTES);
  if (family === undefined) return undefined;
  const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  if (bytes?.length !== ADDRESS_BYTES[family]) {
    throw new NetlinkFormatError(`Cannot read an address: IPv${family} address of ${bytes?.length ?? "no"} bytes`);
  }
  const flags = attributes.get(IFA_FLAGS);
  const label = attributes.get(IFA_LABEL);
  return {
    interfaceIndex: view.getUint32(4, true),
    ip: { family, bytes: bytes.slice() },
    prefixLength: view.getUint8(1),
    scope: view.getUint8(3),
    flags: flags === undefined ? view.getUint8(2) : readNumber(flags),
    ...(label === undefined ? {} : { label: readString(label) }),
  };
}
