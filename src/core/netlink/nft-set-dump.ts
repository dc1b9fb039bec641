// Reads named sets of addresses back out of the kernel's dumps of native nftables: how they are defined, what is in them.

import { ADDRESS_BYTES, FAMILIES } from "../address.ts";
import type { NetlinkMessage } from "./message.ts";
import { attributeMap, parseAttributes, readString, readU32be } from "./message.ts";
import { NFGENMSG_BYTES, NFT_MSG, NFTA_DATA, NFTA_SET, NFTA_SET_ELEM, NFTA_SET_ELEM_LIST } from "./nfnetlink.ts";
import { ADDRESS_TYPE, type SetElement, UDATA_ELEMENT_COMMENT } from "./nft-set.ts";

/** A set as the kernel holds it, without what is in it. */
export type HeldSet = {
  readonly name: string;
  /** Of which family it holds single addresses and nothing else; undefined: of none, it is another kind of set. */
  readonly keys: 4 | 6 | undefined;
};

/** The sets in the answer to `encodeGetSets`. Throws NetlinkFormatError. */
export function decodeSets(messages: readonly NetlinkMessage[]): HeldSet[] {
  return messages.flatMap(({ type, payload }) => {
    if (type !== NFT_MSG.NEWSET) return [];
    const attributes = attributeMap(payload.subarray(NFGENMSG_BYTES));
    const number = (attribute: number): number => readU32be(attributes.get(attribute) ?? new Uint8Array(4));
    const keys = FAMILIES.find(
      (family) =>
        number(NFTA_SET.KEY_LEN) === ADDRESS_BYTES[family] &&
        number(NFTA_SET.KEY_TYPE) === ADDRESS_TYPE[family] &&
        // Intervals, maps, time-outs and the like.
        number(NFTA_SET.FLAGS) === 0,
    );
    return [{ name: readString(attributes.get(NFTA_SET.NAME) ?? new Uint8Array()), keys }];
  });
}

/** The addresses in the answer to `encodeGetElements`, in the kernel's order. Throws NetlinkFormatError. */
export function decodeElements(messages: readonly NetlinkMessage[]): SetElement[] {
  return messages.flatMap(({ type, payload }) => {
    if (type !== NFT_MSG.NEWSETELEM) return [];
    const list = attributeMap(payload.subarray(NFGENMSG_BYTES)).get(NFTA_SET_ELEM_LIST.ELEMENTS) ?? new Uint8Array();
    return parseAttributes(list).flatMap((element) => parseElement(attributeMap(element.payload)) ?? []);
  });
}

function parseElement(attributes: ReadonlyMap<number, Uint8Array>): SetElement | undefined {
  const key = attributeMap(attributes.get(NFTA_SET_ELEM.KEY) ?? new Uint8Array()).get(NFTA_DATA.VALUE);
  const family = FAMILIES.find((candidate) => key?.length === ADDRESS_BYTES[candidate]);
  if (key === undefined || family === undefined) return undefined;
  const comment = parseComment(attributes.get(NFTA_SET_ELEM.USERDATA) ?? new Uint8Array());
  return { ip: { family, bytes: key.slice() }, comment };
}

/** (type, length, value) one after the other; whatever does not fit ends the list. */
function parseComment(userData: Uint8Array): string {
  for (let offset = 0; offset + 2 <= userData.length; ) {
    const length = userData[offset + 1] ?? 0;
    if (offset + 2 + length > userData.length) break;
    if (userData[offset] === UDATA_ELEMENT_COMMENT)
      return readString(userData.subarray(offset + 2, offset + 2 + length));
    offset += 2 + length;
  }
  return "";
}
