// nfnetlink: the messages of nf_tables, and the batch that the kernel applies whole or not at all
// (uapi/linux/netfilter/nfnetlink.h, nf_tables.h). Not here: what a rule looks like.

import type { NetlinkMessage } from "./message.ts";
import { attributeMap, NetlinkFormatError, parseMessages, readString, readU32be } from "./message.ts";
import type { Refusal } from "./reply.ts";
import { parseReplies } from "./reply.ts";
import { NLM_F } from "./rtnetlink.ts";
import { NetlinkWriter } from "./writer.ts";

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 16;
const NFNL_MSG_BATCH_END = 17;
const NFNL_BATCH_GENID = 1;
export const NFGENMSG_BYTES = 4;

/** Families of nf_tables (NFPROTO_*). */
export const NFPROTO = { inet: 1, 4: 2, 6: 10 } as const;
export type NftFamily = keyof typeof NFPROTO;

const nftType = (message: number): number => (NFNL_SUBSYS_NFTABLES << 8) | message;

/** nlmsg_type of the nf_tables messages we send or read (enum nf_tables_msg_types). */
export const NFT_MSG = {
  NEWTABLE: nftType(0),
  GETTABLE: nftType(1),
  DELTABLE: nftType(2),
  NEWCHAIN: nftType(3),
  GETCHAIN: nftType(4),
  DELCHAIN: nftType(5),
  NEWRULE: nftType(6),
  GETRULE: nftType(7),
  DELRULE: nftType(8),
  NEWSET: nftType(9),
  GETSET: nftType(10),
  DELSET: nftType(11),
  NEWSETELEM: nftType(12),
  GETSETELEM: nftType(13),
  DELSETELEM: nftType(14),
  NEWGEN: nftType(15),
  GETGEN: nftType(16),
} as const;

/** Attributes of tables, chains, hooks, rules and sets (enum nft_table_attributes and its siblings). */
export const NFTA_TABLE = { NAME: 1, FLAGS: 2, USE: 3 } as const;
export const NFTA_CHAIN = { TABLE: 1, HANDLE: 2, NAME: 3, HOOK: 4, POLICY: 5, TYPE: 7 } as const;
export const NFTA_HOOK = { HOOKNUM: 1, PRIORITY: 2 } as const;
export const NFTA_RULE = {
  TABLE: 1,
  CHAIN: 2,
  HANDLE: 3,
  EXPRESSIONS: 4,
  COMPAT: 5,
  POSITION: 6,
  USERDATA: 7,
} as const;
export const NFTA_SET = {
  TABLE: 1,
  NAME: 2,
  FLAGS: 3,
  KEY_TYPE: 4,
  KEY_LEN: 5,
  DESC: 9,
  ID: 10,
  USERDATA: 13,
} as const;
export const NFTA_SET_ELEM_LIST = { TABLE: 1, SET: 2, ELEMENTS: 3, SET_ID: 4 } as const;
export const NFTA_SET_ELEM = { KEY: 1, USERDATA: 6 } as const;
/** Of a value, of which keys of sets are one kind. */
export const NFTA_DATA = { VALUE: 1, VERDICT: 2 } as const;
/** Each entry of a list of expressions or elements. */
export const NFTA_LIST_ELEM = 1;
export const NFTA_RULE_COMPAT = { PROTO: 1, FLAGS: 2 } as const;
const NFTA_GEN_ID = 1;

/** One message of a batch; `body` writes its attributes. */
export type BatchMessage = {
  readonly type: number;
  readonly flags: number;
  readonly family: NftFamily;
  readonly body: (writer: NetlinkWriter) => void;
};

/** `generation`: the kernel refuses the batch (ERESTART, 85) unless the netns's rules are still of that generation. */
export type BatchOptions = { readonly generation?: number };

/**
 * One batch: the kernel applies all messages or none. The last message asks for an acknowledgement, which the kernel
 * sends after the commit. Sequence numbers count from 1, the batch's begin. An empty batch is refused by RangeError: the
 * kernel would not answer it.
 */
export function encodeBatch(messages: readonly BatchMessage[], options: BatchOptions = {}): Uint8Array {
  if (messages.length === 0) throw new RangeError("Cannot encode a batch: it has no message");
  const writer = new NetlinkWriter();
  const frame = (sequence: number, type: number, flags: number, family: number, resource: number, body: () => void) =>
    writer.message({ type, flags: flags | NLM_F.REQUEST, sequence }, () => {
      writer.u8(family);
      writer.u8(0);
      writer.u16be(resource);
      body();
    });
  frame(1, NFNL_MSG_BATCH_BEGIN, 0, 0, NFNL_SUBSYS_NFTABLES, () => {
    if (options.generation !== undefined) writer.attributeU32be(NFNL_BATCH_GENID, options.generation);
  });
  for (const [index, { type, flags, family, body }] of messages.entries()) {
    const ack = index === messages.length - 1 ? NLM_F.ACK : 0;
    frame(index + 2, type, flags | ack, NFPROTO[family], 0, () => body(writer));
  }
  frame(messages.length + 2, NFNL_MSG_BATCH_END, 0, 0, NFNL_SUBSYS_NFTABLES, () => {});
  return writer.finish();
}

/** A request outside a batch, answered by a dump or by one message. `family` undefined: every family. */
export function encodeRequest(
  type: number,
  flags: number,
  family?: NftFamily,
  body: (writer: NetlinkWriter) => void = () => {},
  sequence = 1,
): Uint8Array {
  const writer = new NetlinkWriter();
  writer.message({ type, flags: flags | NLM_F.REQUEST, sequence }, () => {
    writer.u8(family === undefined ? 0 : NFPROTO[family]);
    writer.u8(0);
    writer.u16be(0);
    body(writer);
  });
  return writer.finish();
}

/** What became of a batch: all of it stands, or none of it and why. */
export type BatchOutcome =
  | { readonly kind: "committed" }
  | { readonly kind: "refused"; readonly refusals: readonly Refusal[] };

/**
 * Reads the answers to a batch. Undefined: the kernel has not said anything final yet. A refused batch has changed nothing.
 * Throws NetlinkFormatError.
 */
export function parseBatchOutcome(datagrams: Iterable<Uint8Array>): BatchOutcome | undefined {
  const replies = [...datagrams].flatMap((datagram) => parseReplies(datagram));
  const refusals = replies.filter((reply) => reply.kind === "refused");
  if (refusals.length > 0) return { kind: "refused", refusals };
  return replies.some((reply) => reply.kind === "ack") ? { kind: "committed" } : undefined;
}

/** Names the message of a batch that the kernel refused, for a log line: "rule in ip nat ISTIO_OUTPUT". */
export function describeRefused(batch: Uint8Array, refusal: Refusal): string {
  const message = parseMessages(batch).find(({ sequence }) => sequence === refusal.sequence);
  if (message === undefined || message.payload.length <= NFGENMSG_BYTES) return "batch";
  const attributes = attributeMap(message.payload.subarray(NFGENMSG_BYTES));
  const text = (type: number): string => readString(attributes.get(type) ?? new Uint8Array());
  const family = { [NFPROTO[4]]: "ip", [NFPROTO[6]]: "ip6", [NFPROTO.inet]: "inet" }[message.payload[0] ?? 0] ?? "?";
  const table = `${family} ${text(NFTA_TABLE.NAME)}`;
  if (message.type === NFT_MSG.NEWTABLE || message.type === NFT_MSG.DELTABLE) return `table ${table}`;
  if (message.type === NFT_MSG.NEWCHAIN || message.type === NFT_MSG.DELCHAIN) {
    return `chain ${table} ${text(NFTA_CHAIN.NAME)}`;
  }
  if (SET_MESSAGES.includes(message.type)) return `set ${table} ${text(NFTA_SET.NAME)}`;
  return `rule in ${table} ${text(NFTA_RULE.CHAIN)}`;
}

/** Of sets and of what is in them: the name of the set is the same attribute of both. */
const SET_MESSAGES: readonly number[] = [NFT_MSG.NEWSET, NFT_MSG.DELSET, NFT_MSG.NEWSETELEM, NFT_MSG.DELSETELEM];

/** The family of an nf_tables message from the kernel, undefined for families we do not use. */
export function familyOfMessage(message: NetlinkMessage): NftFamily | undefined {
  const family = message.payload[0];
  if (family === NFPROTO.inet) return "inet";
  if (family === NFPROTO[4]) return 4;
  return family === NFPROTO[6] ? 6 : undefined;
}

/** Asks for the number of the netns's current generation of rules; every committed batch makes a new one. */
export function encodeGetGeneration(sequence = 1): Uint8Array {
  return encodeRequest(NFT_MSG.GETGEN, 0, undefined, () => {}, sequence);
}

/** Reads the answer to `encodeGetGeneration`. Throws NetlinkFormatError when it is another message. */
export function decodeGeneration(datagram: Uint8Array): number {
  const message = parseMessages(datagram).find(({ type }) => type === NFT_MSG.NEWGEN);
  const id =
    message === undefined ? undefined : attributeMap(message.payload.subarray(NFGENMSG_BYTES)).get(NFTA_GEN_ID);
  if (id === undefined) throw new NetlinkFormatError("Cannot read the generation of rules: the answer holds none");
  return readU32be(id);
}
