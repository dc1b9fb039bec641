// Reads one ipset back out of the kernel's dump: how it is defined, and the addresses in it with their comments.

import { ADDRESS_BYTES, FAMILIES, type IpAddress } from "../address.ts";
import { IPSET_ADDRESS, IPSET_ATTR, IPSET_CMD, IPSET_DATA, type IpsetEntry, WITH_COMMENT } from "./ipset.ts";
import type { NetlinkMessage } from "./message.ts";
import { attributeMap, parseAttributes, readNumber, readString, readU32be } from "./message.ts";
import { NFGENMSG_BYTES } from "./nfnetlink.ts";
import { familyOf } from "./rtnetlink.ts";

/** A set as the kernel holds it. */
export type HeldIpset = {
  readonly name: string;
  /** "hash:ip" */
  readonly type: string;
  /** Undefined for a set of something else than addresses. */
  readonly family: 4 | 6 | undefined;
  readonly hasComments: boolean;
  /** Entries that are not told for how long go after a while. */
  readonly hasTimeout: boolean;
  /** In the kernel's order; what is no single address is left out. */
  readonly entries: readonly IpsetEntry[];
};

/**
 * The set in the answer to `encodeIpsetList`; undefined when there is none in it.
 * @throws {NetlinkFormatError}
 */
export function decodeIpset(messages: readonly NetlinkMessage[]): HeldIpset | undefined {
  let definition: Omit<HeldIpset, "entries"> | undefined;
  const entries: IpsetEntry[] = [];
  for (const { type, payload } of messages) {
    if (type !== IPSET_CMD.LIST) continue;
    const attributes = attributeMap(payload.subarray(NFGENMSG_BYTES));
    definition ??= parseDefinition(attributes);
    const list = attributes.get(IPSET_ATTR.ADT);
    if (list === undefined) continue;
    for (const attribute of parseAttributes(list)) {
      const entry = attribute.type === IPSET_ATTR.DATA ? parseEntry(attributeMap(attribute.payload)) : undefined;
      if (entry !== undefined) entries.push(entry);
    }
  }
  return definition === undefined ? undefined : { ...definition, entries };
}

/** Stands in the first message of a set. */
function parseDefinition(attributes: ReadonlyMap<number, Uint8Array>): Omit<HeldIpset, "entries"> | undefined {
  const name = attributes.get(IPSET_ATTR.SETNAME);
  const type = attributes.get(IPSET_ATTR.TYPENAME);
  if (name === undefined || type === undefined) return undefined;
  const family = attributes.get(IPSET_ATTR.FAMILY);
  const header = attributeMap(attributes.get(IPSET_ATTR.DATA) ?? new Uint8Array());
  const flags = header.get(IPSET_DATA.CADT_FLAGS);
  return {
    name: readString(name),
    type: readString(type),
    family: family === undefined ? undefined : familyOf(readNumber(family)),
    hasComments: flags !== undefined && (readU32be(flags) & WITH_COMMENT) !== 0,
    hasTimeout: header.has(IPSET_DATA.TIMEOUT),
  };
}

function parseEntry(attributes: ReadonlyMap<number, Uint8Array>): IpsetEntry | undefined {
  const nested = attributes.get(IPSET_DATA.IP);
  const ip = nested === undefined ? undefined : parseAddress(attributeMap(nested));
  if (ip === undefined) return undefined;
  return { ip, comment: readString(attributes.get(IPSET_DATA.COMMENT) ?? new Uint8Array()) };
}

function parseAddress(attributes: ReadonlyMap<number, Uint8Array>): IpAddress | undefined {
  for (const family of FAMILIES) {
    const bytes = attributes.get(IPSET_ADDRESS[family]);
    if (bytes?.length === ADDRESS_BYTES[family]) return { family, bytes: bytes.slice() };
  }
  return undefined;
}
