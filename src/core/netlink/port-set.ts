// Anonymous sets of ports in native nftables: made in the batch of the rule that looks them up, gone with that rule, and
// read back by a request for their elements.

import type { NetlinkMessage } from "./message.ts";
import { attributeMap, parseAttributes, readString, viewOf } from "./message.ts";
import type { BatchMessage } from "./nfnetlink.ts";
import {
  NFGENMSG_BYTES,
  NFT_MSG,
  NFTA_DATA,
  NFTA_LIST_ELEM,
  NFTA_SET,
  NFTA_SET_ELEM,
  NFTA_SET_ELEM_LIST,
} from "./nfnetlink.ts";
import type { DumpedTable } from "./nft-dump.ts";
import { encodeGetElements } from "./nft-set.ts";
import { NLM_F } from "./rtnetlink.ts";

/** Key, user data and padding. Whatever else an element has, it is more than one port: data, the end of an interval, a time
 * after which it goes, an expression that has its say on each packet. */
const NFTA_SET_ELEM_PLAIN: readonly number[] = [NFTA_SET_ELEM.KEY, NFTA_SET_ELEM.USERDATA, 8];
const NFTA_SET_DESC_SIZE = 1;
const NFT_SET_ANONYMOUS_CONSTANT = 3;
const PORT_BYTES = 2;
/** How nft numbers its type inet_service; only nft itself looks at it. */
const TYPE_INET_SERVICE = 13;
const ANONYMOUS_NAME = "__set%d";
const MAX_SETS = 64;
/** Of one set; more are no list of ports that somebody wrote into a rule. */
const MAX_PORTS = 1024;

/** The messages that make one set; they stand in the batch before the rule that names `id`. */
export function addPortSet(table: string, id: number, ports: readonly number[]): BatchMessage[] {
  return [
    {
      type: NFT_MSG.NEWSET,
      flags: NLM_F.CREATE,
      family: "inet",
      body: (writer) => {
        writer.attributeString(NFTA_SET.TABLE, table);
        writer.attributeString(NFTA_SET.NAME, ANONYMOUS_NAME);
        writer.attributeU32be(NFTA_SET.FLAGS, NFT_SET_ANONYMOUS_CONSTANT);
        writer.attributeU32be(NFTA_SET.KEY_TYPE, TYPE_INET_SERVICE);
        writer.attributeU32be(NFTA_SET.KEY_LEN, PORT_BYTES);
        writer.attributeU32be(NFTA_SET.ID, id);
        writer.nested(NFTA_SET.DESC, () => writer.attributeU32be(NFTA_SET_DESC_SIZE, ports.length));
      },
    },
    {
      type: NFT_MSG.NEWSETELEM,
      flags: NLM_F.CREATE,
      family: "inet",
      body: (writer) => {
        writer.attributeString(NFTA_SET_ELEM_LIST.TABLE, table);
        writer.attributeString(NFTA_SET_ELEM_LIST.SET, ANONYMOUS_NAME);
        writer.attributeU32be(NFTA_SET_ELEM_LIST.SET_ID, id);
        writer.nested(NFTA_SET_ELEM_LIST.ELEMENTS, () => {
          for (const port of ports) {
            writer.nested(NFTA_LIST_ELEM, () =>
              writer.nested(NFTA_SET_ELEM.KEY, () =>
                writer.attributeBytes(NFTA_DATA.VALUE, Uint8Array.of(port >> 8, port & 0xff)),
              ),
            );
          }
        });
      },
    },
  ];
}

/** The requests for the elements of the sets that rules of these tables look up, each answered by a dump. Our rules look into a
 * few, whoever writes rules in a pod may look into any number: what was not asked for is not understood. */
export function encodeGetPortSets(tables: readonly DumpedTable[]): Uint8Array[] {
  const requests = tables.flatMap(({ family, name, chains }) => {
    const lookups = chains
      .flatMap(({ rules }) => rules.flatMap(({ expressions }) => expressions))
      .filter((expression) => expression.kind === "lookup");
    return [...new Set(lookups.map(({ set }) => set))].map((set) => encodeGetElements({ family, table: name, set }));
  });
  return requests.slice(0, MAX_SETS);
}

/** "table set" → its ports in rising order. A set of other things, of ranges, with data or with too many is left out. */
export function parsePortSets(messages: readonly NetlinkMessage[]): Map<string, number[]> {
  const sets = new Map<string, number[]>();
  const others = new Set<string>();
  for (const { type, payload } of messages) {
    if (type !== NFT_MSG.NEWSETELEM) continue;
    const attributes = attributeMap(payload.subarray(NFGENMSG_BYTES));
    const text = (attribute: number): string => readString(attributes.get(attribute) ?? new Uint8Array());
    const key = `${text(NFTA_SET_ELEM_LIST.TABLE)} ${text(NFTA_SET_ELEM_LIST.SET)}`;
    // One dump may come in several messages, and what is left out stays so.
    if (others.has(key)) continue;
    const elements = parseAttributes(attributes.get(NFTA_SET_ELEM_LIST.ELEMENTS) ?? new Uint8Array());
    const before = sets.get(key) ?? [];
    const ports =
      before.length + elements.length > MAX_PORTS
        ? [undefined]
        : elements.map(({ payload: element }) => parsePort(attributeMap(element)));
    if (ports.every((port) => port !== undefined)) sets.set(key, [...before, ...ports]);
    else {
      others.add(key);
      sets.delete(key);
    }
  }
  return new Map([...sets].map(([key, ports]) => [key, ports.toSorted((left, right) => left - right)]));
}

function parsePort(element: ReadonlyMap<number, Uint8Array>): number | undefined {
  if (![...element.keys()].every((attribute) => NFTA_SET_ELEM_PLAIN.includes(attribute))) return undefined;
  const value = attributeMap(element.get(NFTA_SET_ELEM.KEY) ?? new Uint8Array()).get(NFTA_DATA.VALUE);
  return value?.length === PORT_BYTES ? viewOf(value).getUint16(0) : undefined;
}
