// IP addresses and prefixes as values: parse, print, compare, classify. The text rules are those of Go's net/netip
// (ParseAddr, ParsePrefix, String), because upstream validates annotations with it (contract 5.2); one deliberate
// difference: an address with a zone ("fe80::1%eth0") is refused, nothing in a pod's configuration can mean one.
// Not here: which addresses are captured (rules, policy).

/** What an address, a rule or a table is for. */
export type Family = 4 | 6;

/** Both, in the order in which they are gone through. */
export const FAMILIES = [4, 6] as const;

/** An IPv4 (4 bytes) or IPv6 (16 bytes) address in network byte order. An IPv4-mapped address stays family 6. */
export type IpAddress = { readonly family: Family; readonly bytes: Uint8Array };

/** An address with a prefix length. Bits behind the prefix are kept as written, as netip.ParsePrefix keeps them. */
export type Cidr = IpAddress & { readonly prefixLength: number };

/** How many bytes an address has. */
export const ADDRESS_BYTES = { 4: 4, 6: 16 } as const;

const DECIMAL_OCTET = /^(?:0|[1-9][0-9]{0,2})$/;
const HEX_GROUP = /^[0-9a-fA-F]{1,4}$/;
const PREFIX_LENGTH = /^(?:0|[1-9][0-9]{0,2})$/;
/** The longest text of a prefix: 8 groups in the longest notation and "/128". */
const MAX_TEXT_LENGTH = 64;

/** Reads one address, undefined when it is not exactly one: no blanks, no leading zeros in IPv4, no zone. */
export function parseIpAddress(text: string): IpAddress | undefined {
  if (text.length > MAX_TEXT_LENGTH) return undefined;
  const bytes = text.includes(":") ? parseIpv6(text) : parseIpv4(text);
  if (bytes === undefined) return undefined;
  return { family: bytes.length === 4 ? 4 : 6, bytes };
}

/** Reads "address/length", undefined when it is not exactly that. The mask is required and has no leading zero. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.lastIndexOf("/");
  if (slash < 0) return undefined;
  const address = parseIpAddress(text.slice(0, slash));
  const lengthText = text.slice(slash + 1);
  if (address === undefined || !PREFIX_LENGTH.test(lengthText)) return undefined;
  const prefixLength = Number(lengthText);
  if (prefixLength > address.bytes.length * 8) return undefined;
  return { ...address, prefixLength };
}

/** The canonical text (RFC 5952; IPv4-mapped as ::ffff:1.2.3.4), the form of netip.Addr.String(). */
export function formatIp(ip: IpAddress): string {
  if (ip.family === 4) return ip.bytes.join(".");
  if (isIpv4Mapped(ip)) return `::ffff:${ip.bytes.subarray(12).join(".")}`;
  const groups = groupsOf(ip.bytes);
  const run = longestZeroRun(groups);
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(":");
  if (run === undefined) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

/** The text of glibc's inet_ntop, which the netfilter tools print: it writes IPv4-compatible addresses as ::a.b.c.d. */
export function formatIpAsLibc(ip: IpAddress): string {
  const isV4Compatible =
    ip.family === 6 &&
    ip.bytes.subarray(0, 12).every((byte) => byte === 0) &&
    (ip.bytes[12] !== 0 || ip.bytes[13] !== 0);
  return isV4Compatible ? `::${ip.bytes.subarray(12).join(".")}` : formatIp(ip);
}

/** The canonical text of a prefix, always with its length. */
export function formatCidr(cidr: Cidr): string {
  return `${formatIp(cidr)}/${cidr.prefixLength}`;
}

/** The same network with every bit behind the prefix cleared, as the kernel tools write it. */
export function maskCidr(cidr: Cidr): Cidr {
  const mask = prefixMask(cidr.family, cidr.prefixLength);
  return { ...cidr, bytes: cidr.bytes.map((byte, index) => byte & (mask[index] ?? 0)) };
}

/** The network mask of a prefix length as 4 or 16 bytes. */
export function prefixMask(family: 4 | 6, prefixLength: number): Uint8Array {
  return Uint8Array.from({ length: ADDRESS_BYTES[family] }, (_, index) => {
    const bits = Math.min(8, Math.max(0, prefixLength - index * 8));
    return (0xff << (8 - bits)) & 0xff;
  });
}

/** 127.0.0.1/32 and ::1/128. */
export const LOOPBACK: Readonly<Record<4 | 6, Cidr>> = {
  4: { family: 4, bytes: Uint8Array.of(127, 0, 0, 1), prefixLength: 32 },
  6: { family: 6, bytes: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), prefixLength: 128 },
};

/** The prefix that holds every address of a family. */
export function everyAddress(family: 4 | 6): Cidr {
  return { family, bytes: new Uint8Array(ADDRESS_BYTES[family]), prefixLength: 0 };
}

/** The prefix that holds this one address. */
export function hostCidr(ip: IpAddress): Cidr {
  return { family: ip.family, bytes: ip.bytes, prefixLength: ip.bytes.length * 8 };
}

/** Whether both are the same address of the same family (an IPv4-mapped address equals no IPv4 address). */
export function isSameIp(left: IpAddress, right: IpAddress): boolean {
  return left.family === right.family && left.bytes.every((byte, index) => byte === right.bytes[index]);
}

/** Whether both are the same prefix, bits behind the mask included. */
export function isSameCidr(left: Cidr, right: Cidr): boolean {
  return left.prefixLength === right.prefixLength && isSameIp(left, right);
}

/** Whether the prefix holds the address; families never mix (netip.Prefix.Contains). */
export function cidrContains(cidr: Cidr, ip: IpAddress): boolean {
  if (cidr.family !== ip.family) return false;
  const mask = prefixMask(cidr.family, cidr.prefixLength);
  return mask.every((bits, index) => (((ip.bytes[index] ?? 0) ^ (cidr.bytes[index] ?? 0)) & bits) === 0);
}

/** The IPv4 address behind an IPv4-mapped IPv6 address; any other address as it is (netip.Addr.Unmap). */
export function unmapIp(ip: IpAddress): IpAddress {
  return isIpv4Mapped(ip) ? { family: 4, bytes: ip.bytes.slice(12) } : ip;
}

/** Whether this is ::ffff:0:0/96. */
export function isIpv4Mapped(ip: IpAddress): boolean {
  if (ip.family === 4) return false;
  return ip.bytes.subarray(0, 10).every((byte) => byte === 0) && ip.bytes[10] === 0xff && ip.bytes[11] === 0xff;
}

/** 127.0.0.0/8 or ::1, also when IPv4-mapped (netip.Addr.IsLoopback since Go 1.22.4). */
export function isLoopback(ip: IpAddress): boolean {
  const { family, bytes } = unmapIp(ip);
  return family === 4 ? bytes[0] === 127 : bytes[15] === 1 && bytes.subarray(0, 15).every((byte) => byte === 0);
}

/** 169.254.0.0/16 or fe80::/10, also when IPv4-mapped. */
export function isLinkLocalUnicast(ip: IpAddress): boolean {
  const { family, bytes } = unmapIp(ip);
  if (family === 4) return bytes[0] === 169 && bytes[1] === 254;
  return bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;
}

/** 224.0.0.0/24 or ff02::/16 (any flags), also when IPv4-mapped. */
export function isLinkLocalMulticast(ip: IpAddress): boolean {
  const { family, bytes } = unmapIp(ip);
  if (family === 4) return bytes[0] === 224 && bytes[1] === 0 && bytes[2] === 0;
  return bytes[0] === 0xff && ((bytes[1] ?? 0) & 0x0f) === 0x02;
}

function parseIpv4(text: string): Uint8Array | undefined {
  const fields = text.split(".");
  if (fields.length !== 4 || !fields.every((field) => DECIMAL_OCTET.test(field) && Number(field) <= 255)) {
    return undefined;
  }
  return Uint8Array.from(fields, Number);
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves;
  const isCompressed = tail !== undefined;
  const left = parseGroups(head ?? "", !isCompressed);
  const right = isCompressed ? parseGroups(tail, true) : [];
  if (left === undefined || right === undefined) return undefined;
  const missing = 16 - left.length - right.length;
  if (isCompressed ? missing < 2 : missing !== 0) return undefined;
  return Uint8Array.from([...left, ...new Array<number>(missing).fill(0), ...right]);
}

/** The bytes of "1:2:…", of "" (none), and of a dotted IPv4 address as the last item where that may end the text. */
function parseGroups(text: string, endsAddress: boolean): number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  const items = text.split(":");
  for (const [index, item] of items.entries()) {
    if (endsAddress && index === items.length - 1 && item.includes(".")) {
      const ipv4 = parseIpv4(item);
      if (ipv4 === undefined) return undefined;
      bytes.push(...ipv4);
    } else {
      if (!HEX_GROUP.test(item)) return undefined;
      const group = Number.parseInt(item, 16);
      bytes.push(group >> 8, group & 0xff);
    }
  }
  return bytes;
}

function groupsOf(bytes: Uint8Array): number[] {
  return Array.from({ length: 8 }, (_, index) => ((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0));
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } | undefined {
  let best: { start: number; length: number } | undefined;
  let start = 0;
  for (let index = 0; index <= groups.length; index++) {
    if (groups[index] === 0) continue;
    const length = index - start;
    if (length >= 2 && length > (best?.length ?? 0)) best = { start, length };
    start = index + 1;
  }
  return best;
}
