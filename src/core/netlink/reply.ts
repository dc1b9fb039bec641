// What a kernel answers: acknowledgements, refusals with their extended text, the parts and the end of a dump
// (uapi/linux/netlink.h, NLMSG_ERROR, NLMSG_DONE, enum nlmsgerr_attrs).

import type { NetlinkMessage } from "./message.ts";
import { attributeMap, NetlinkFormatError, parseMessages, readNumber, readString, viewOf } from "./message.ts";

const NLMSG_NOOP = 1;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_OFFS = 2;

/** One answer. `errno` is positive as in errno(3). */
export type NetlinkReply =
  | { readonly kind: "data"; readonly message: NetlinkMessage }
  | { readonly kind: "ack"; readonly sequence: number }
  | ({ readonly kind: "refused" } & Refusal)
  | { readonly kind: "done"; readonly sequence: number; readonly interrupted: boolean };

/** Why a kernel refused a message: its number, and where the kernel tells, its own words and the byte they are about. */
export type Refusal = {
  readonly sequence: number;
  /** nlmsg_type of the refused request; 0 at the end of a dump that failed half way. */
  readonly requestType: number;
  readonly errno: number;
  readonly text?: string;
  readonly offset?: number;
};

/** A request that the kernel refused where the caller needs it granted. */
export class KernelRefusalError extends Error {
  readonly code = "refused";
  readonly refusal: Refusal;
  constructor(action: string, refusal: Refusal) {
    const detail = refusal.text === undefined ? "" : `, ${refusal.text}`;
    const place = refusal.offset === undefined ? "" : ` (byte ${refusal.offset} of the request)`;
    super(`Cannot ${action}: kernel answers errno ${refusal.errno}${detail}${place}`);
    this.name = "KernelRefusalError";
    this.refusal = refusal;
  }
}

/** The answers in one datagram, in order. Throws NetlinkFormatError. */
export function parseReplies(datagram: Uint8Array): NetlinkReply[] {
  return parseMessages(datagram).flatMap((message): NetlinkReply[] => {
    if (message.type === NLMSG_NOOP) return [];
    if (message.type === NLMSG_ERROR) return [parseError(message)];
    if (message.type === NLMSG_DONE) return [parseDone(message)];
    return [{ kind: "data", message }];
  });
}

/** All messages of one dump. `interrupted`: something changed meanwhile, the picture may be torn; ask again. */
export type Dump = { readonly messages: readonly NetlinkMessage[]; readonly interrupted: boolean };

/**
 * Gathers one dump; takes datagrams only until its end. `action` completes "Cannot …" when the kernel refuses
 * (KernelRefusalError); NetlinkFormatError when the datagrams stop before the end.
 */
export function collectDump(action: string, datagrams: Iterable<Uint8Array>): Dump {
  const messages: NetlinkMessage[] = [];
  let interrupted = false;
  for (const datagram of datagrams) {
    for (const reply of parseReplies(datagram)) {
      if (reply.kind === "refused") throw new KernelRefusalError(action, reply);
      if (reply.kind === "done") return { messages, interrupted: interrupted || reply.interrupted };
      if (reply.kind === "data") {
        interrupted ||= (reply.message.flags & NLM_F_DUMP_INTR) !== 0;
        messages.push(reply.message);
      }
    }
  }
  throw new NetlinkFormatError(`Cannot ${action}: dump ends after ${messages.length} messages without its end mark`);
}

function parseError(message: NetlinkMessage): NetlinkReply {
  const { payload, flags, sequence } = message;
  if (payload.length < 20) throw new NetlinkFormatError(`Cannot read netlink error: ${payload.length} bytes`);
  const view = viewOf(payload);
  const errno = -view.getInt32(0, true);
  if (errno === 0) return { kind: "ack", sequence };
  if (errno < 0)
    throw new NetlinkFormatError(`Cannot read netlink error: its number is ${-errno}, accepted are 0 and below`);
  const requestLength = (flags & NLM_F_CAPPED) === 0 ? view.getUint32(4, true) : 16;
  // A length that is longer than all there is would be no offset, beyond 31 bits not even a positive one.
  const hintsAt = requestLength > payload.length ? payload.length : 4 + ((requestLength + 3) & ~3);
  const hints = (flags & NLM_F_ACK_TLVS) === 0 ? {} : parseHints(payload, hintsAt);
  return { kind: "refused", sequence, requestType: view.getUint16(8, true), errno, ...hints };
}

function parseDone(message: NetlinkMessage): NetlinkReply {
  const { payload, flags, sequence } = message;
  const errno = payload.length >= 4 ? -viewOf(payload).getInt32(0, true) : 0;
  if (errno > 0) {
    const hints = (flags & NLM_F_ACK_TLVS) === 0 ? {} : parseHints(payload, 4);
    return { kind: "refused", sequence, requestType: 0, errno, ...hints };
  }
  return { kind: "done", sequence, interrupted: (flags & NLM_F_DUMP_INTR) !== 0 };
}

function parseHints(payload: Uint8Array, start: number): { text?: string; offset?: number } {
  if (start > payload.length) return {};
  const attributes = attributeMap(payload.subarray(start));
  const text = attributes.get(NLMSGERR_ATTR_MSG);
  const offset = attributes.get(NLMSGERR_ATTR_OFFS);
  return {
    ...(text === undefined ? {} : { text: readString(text) }),
    ...(offset === undefined ? {} : { offset: readNumber(offset) }),
  };
}
