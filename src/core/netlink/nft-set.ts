// Named sets of addresses in native nftables, each address with a comment: messages of a batch that make a set and change
// what is in it, and the requests to read it. Not here: anonymous sets of ports (port-set.ts), reading (nft-set-dump.ts).

import { ADDRESS_BYTES, type IpAddress } from "../address.ts";
import type { BatchMessage, NftFamily } from "./nfnetlink.ts";
import {
  encodeRequest,
  NFT_MSG,
  NFTA_DATA,
  NFTA_LIST_ELEM,
  NFTA_SET,
  NFTA_SET_ELEM,
  NFTA_SET_ELEM_LIST,
} from "./nfnetlink.ts";
import { NLM_F } from "./rtnetlink.ts";
import type { NetlinkWriter } from "./writer.ts";

/** How nft numbers its types ipv4_addr and ipv6_addr; only nft itself looks at it. */
export const ADDRESS_TYPE = { 4: 7, 6: 8 } as const;
/**
 * User data is for nft, and a list of (type, length, value): NFTNL_UDATA_SET_* and NFTNL_UDATA_SET_ELEM_COMMENT of libnftnl
 * 1.2.4 (include/libnftnl/udata.h). The comment ends with a zero.
 */
const UDATA_SET = { KEY_BYTE_ORDER: 0, COMMENT: 7 } as const;
export const UDATA_ELEMENT_COMMENT = 0;
/** BYTEORDER_BIG_ENDIAN of nft itself (include/datatype.h), in host order as nft writes it. */
const NETWORK_ORDER = Uint8Array.of(2, 0, 0, 0);
/** NFTNL_UDATA_COMMENT_MAXLEN, with the terminating zero. */
const MAX_COMMENT_BYTES = 128;
/** Keeps the list below the 64 KB that one attribute holds, whatever the comments. */
const MAX_ELEMENTS_PER_MESSAGE = 256;

/** Where a set is. */
export type SetRef = { readonly family: NftFamily; readonly table: string; readonly set: string };

/** One address of a set, with what is written beside it. */
export type SetElement = { readonly ip: IpAddress; readonly comment: string };

/**
 * Creates a set of single addresses unless it is there; a rule of the same batch may look into it. `id` tells apart the
 * sets made in one batch. Equiv: nft add set inet TABLE SET { type ipv4_addr; comment "…"; }
 */
export function addNamedSet(ref: SetRef, keys: 4 | 6, id: number, comment: string): BatchMessage {
  return {
    type: NFT_MSG.NEWSET,
    flags: NLM_F.CREATE,
    family: ref.family,
    body: (writer) => {
      writer.attributeString(NFTA_SET.TABLE, ref.table);
      writer.attributeString(NFTA_SET.NAME, ref.set);
      writer.attributeU32be(NFTA_SET.FLAGS, 0);
      writer.attributeU32be(NFTA_SET.KEY_TYPE, ADDRESS_TYPE[keys]);
      writer.attributeU32be(NFTA_SET.KEY_LEN, ADDRESS_BYTES[keys]);
      writer.attributeU32be(NFTA_SET.ID, id);
      writer.attribute(NFTA_SET.USERDATA, () => {
        writeUserData(writer, UDATA_SET.KEY_BYTE_ORDER, NETWORK_ORDER);
        writeUserData(writer, UDATA_SET.COMMENT, zeroEnded(comment));
      });
    },
  };
}

/** Deletes a set with all it holds; EBUSY while a rule looks into it. Equiv: nft delete set inet TABLE SET */
export function deleteNamedSet({ family, table, set }: SetRef): BatchMessage {
  return {
    type: NFT_MSG.DELSET,
    flags: 0,
    family,
    body: (writer) => {
      writer.attributeString(NFTA_SET.TABLE, table);
      writer.attributeString(NFTA_SET.NAME, set);
    },
  };
}

/**
 * Adds addresses that must not be there yet (EEXIST). Equiv: nft create element inet TABLE SET { IP comment "COMMENT" }
 * @throws {RangeError} while it is encoded, for a comment that does not fit.
 */
export function createElements(ref: SetRef, elements: readonly SetElement[]): BatchMessage[] {
  return inMessages(ref, NFT_MSG.NEWSETELEM, NLM_F.CREATE | NLM_F.EXCL, elements, (writer, { ip, comment }) => {
    writeKey(writer, ip);
    writer.attribute(NFTA_SET_ELEM.USERDATA, () => writeUserData(writer, UDATA_ELEMENT_COMMENT, zeroEnded(comment)));
  });
}

/** Deletes addresses that have to be there (ENOENT). Equiv: nft delete element inet TABLE SET { IP } */
export function deleteElements(ref: SetRef, addresses: readonly IpAddress[]): BatchMessage[] {
  return inMessages(ref, NFT_MSG.DELSETELEM, 0, addresses, writeKey);
}

/** Asks for the sets of a table; answered by a dump. ENOENT where there is no such table. */
export function encodeGetSets(family: NftFamily, table: string): Uint8Array {
  return encodeRequest(NFT_MSG.GETSET, NLM_F.DUMP, family, (writer) => writer.attributeString(NFTA_SET.TABLE, table));
}

/** Asks for all elements of a set; answered by a dump. ENOENT where there is no such set. */
export function encodeGetElements({ family, table, set }: SetRef): Uint8Array {
  return encodeRequest(NFT_MSG.GETSETELEM, NLM_F.DUMP, family, (writer) => {
    writer.attributeString(NFTA_SET_ELEM_LIST.TABLE, table);
    writer.attributeString(NFTA_SET_ELEM_LIST.SET, set);
  });
}

/** Asks for one element of a set; answered by it, or ENOENT where it, the set or the table is not there. Changes nothing, and a
 * refusal costs nothing, unlike a batch's. Linux 4.15 and later: others refuse it otherwise. */
export function encodeGetElement({ family, table, set }: SetRef, ip: IpAddress): Uint8Array {
  return encodeRequest(NFT_MSG.GETSETELEM, NLM_F.ACK, family, (writer) => {
    writer.attributeString(NFTA_SET_ELEM_LIST.TABLE, table);
    writer.attributeString(NFTA_SET_ELEM_LIST.SET, set);
    writer.nested(NFTA_SET_ELEM_LIST.ELEMENTS, () => writer.nested(NFTA_LIST_ELEM, () => writeKey(writer, ip)));
  });
}

function inMessages<T>(
  { family, table, set }: SetRef,
  type: number,
  flags: number,
  items: readonly T[],
  write: (writer: NetlinkWriter, item: T) => void,
): BatchMessage[] {
  const messages: BatchMessage[] = [];
  for (let start = 0; start < items.length; start += MAX_ELEMENTS_PER_MESSAGE) {
    const some = items.slice(start, start + MAX_ELEMENTS_PER_MESSAGE);
    const body = (writer: NetlinkWriter): void => {
      writer.attributeString(NFTA_SET_ELEM_LIST.TABLE, table);
      writer.attributeString(NFTA_SET_ELEM_LIST.SET, set);
      writer.nested(NFTA_SET_ELEM_LIST.ELEMENTS, () => {
        for (const item of some) writer.nested(NFTA_LIST_ELEM, () => write(writer, item));
      });
    };
    messages.push({ type, flags, family, body });
  }
  return messages;
}

function writeKey(writer: NetlinkWriter, { bytes }: IpAddress): void {
  writer.nested(NFTA_SET_ELEM.KEY, () => writer.attributeBytes(NFTA_DATA.VALUE, bytes));
}

function writeUserData(writer: NetlinkWriter, type: number, value: Uint8Array): void {
  writer.u8(type);
  writer.u8(value.length);
  writer.raw(value);
}

function zeroEnded(comment: string): Uint8Array {
  if (!/^[\x20\x21\x23-\x7e]*$/.test(comment) || comment.length >= MAX_COMMENT_BYTES) {
    const accepted = `up to ${MAX_COMMENT_BYTES - 1} printable characters other than quotes are accepted`;
    throw new RangeError(`Cannot write a comment of ${comment.length} characters into a set: ${accepted}`);
  }
  return new TextEncoder().encode(`${comment}\0`);
}
