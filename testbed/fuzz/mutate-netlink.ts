/**
 * Mutations of netlink datagrams as trees of attributes: attributes left out, doubled, exchanged, of another type or length,
 * their lengths and those around them made right again, so that what lies deep is reached.
 */
import { joinBytes } from "../../src/core/join-bytes.ts";
import type { Mutation, Mutator } from "./fuzz-target.ts";
import { mutateBytes } from "./mutate-bytes.ts";

type Attribute = { type: number; payload: Uint8Array; nested: Attribute[] | undefined };
type Message = { header: Uint8Array; fixed: Uint8Array; attributes: Attribute[] };

const MESSAGE_HEADER = 16;
const MAX_DEPTH = 8;
/** Structs that stand between a message's header and its attributes: nfgenmsg, ifaddrmsg, rtmsg and fib_rule_hdr, ifinfomsg. */
const FIXED_SIZES = [4, 8, 12, 16, 20, 72];

/** Half of the time the bytes are changed without regard to their form, and always where they are no datagram. */
export const mutateNetlink: Mutator = (input, mutation) => {
  const messages = mutation.below(2) === 0 ? undefined : readMessages(input);
  if (messages === undefined || messages.length === 0) return mutateBytes(input, mutation);
  for (let left = 1 + mutation.below(3); left > 0; left--) changeOne(messages, mutation);
  return joinBytes(messages.slice(0, 512).map(writeMessage));
};

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function readMessages(input: Uint8Array): Message[] | undefined {
  const messages: Message[] = [];
  for (let at = 0; at < input.length; ) {
    if (input.length - at < MESSAGE_HEADER) return undefined;
    const length = viewOf(input).getUint32(at, true);
    if (length < MESSAGE_HEADER || length > input.length - at) return undefined;
    const header = input.slice(at, at + MESSAGE_HEADER);
    const payload = input.subarray(at + MESSAGE_HEADER, at + length);
    const size = FIXED_SIZES.find(
      (fixed) => fixed <= payload.length && readAttributes(payload.subarray(fixed), 0) !== undefined,
    );
    const fixed = payload.slice(0, size ?? payload.length);
    messages.push({ header, fixed, attributes: readAttributes(payload.subarray(fixed.length), 0) ?? [] });
    at += (length + 3) & ~3;
  }
  return messages;
}

function readAttributes(bytes: Uint8Array, depth: number): Attribute[] | undefined {
  const attributes: Attribute[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < 4) return undefined;
    const [length, type] = [viewOf(bytes).getUint16(at, true), viewOf(bytes).getUint16(at + 2, true)];
    if (length < 4 || length > bytes.length - at) return undefined;
    const payload = bytes.slice(at + 4, at + length);
    const isNested = payload.length >= 4 && depth < MAX_DEPTH;
    attributes.push({ type, payload, nested: isNested ? readAttributes(payload, depth + 1) : undefined });
    at += (length + 3) & ~3;
  }
  return attributes;
}

function listsOf(attributes: Attribute[], lists: Attribute[][] = []): Attribute[][] {
  lists.push(attributes);
  for (const { nested } of attributes) if (nested !== undefined) listsOf(nested, lists);
  return lists;
}

function changeOne(messages: Message[], mutation: Mutation): void {
  const { below } = mutation;
  const message = messages[below(messages.length)];
  if (message === undefined) return;
  const kind = below(10);
  if (kind === 0) message.header = mutateSameLength(message.header, mutation);
  else if (kind === 1) message.fixed = mutateBytes(message.fixed, mutation);
  else if (kind === 2) messages.splice(below(messages.length), 1);
  else if (kind === 3) messages.splice(below(messages.length + 1), 0, structuredClone(message));
  else if (kind === 4)
    messages.splice(below(messages.length + 1), 0, ...(readMessages(mutation.other()) ?? []).slice(0, 4));
  else changeAttributes(message.attributes, mutation);
}

function changeAttributes(attributes: Attribute[], mutation: Mutation): void {
  const { below } = mutation;
  const lists = listsOf(attributes);
  const list = lists[below(lists.length)] ?? attributes;
  const at = below(Math.max(1, list.length));
  const attribute = list[at];
  if (attribute === undefined) {
    list.push({ type: below(30), payload: mutation.word(), nested: undefined });
    return;
  }
  switch (below(7)) {
    case 0:
      list.splice(at, 1);
      return;
    case 1:
      list.splice(below(list.length + 1), 0, structuredClone(attribute));
      return;
    case 2:
      attribute.type = below(3) === 0 ? below(0x10000) : below(32) | (attribute.type & 0xc000);
      return;
    case 3:
      list.splice(at, 1);
      list.splice(below(list.length + 1), 0, attribute);
      return;
    case 4:
      attribute.payload = attribute.payload.slice(0, below(attribute.payload.length + 1));
      attribute.nested = undefined;
      return;
    default:
      attribute.payload = mutateBytes(attribute.payload, mutation).slice(0, 4096);
      attribute.nested = undefined;
  }
}

function mutateSameLength(bytes: Uint8Array, mutation: Mutation): Uint8Array {
  const changed = new Uint8Array(bytes.length);
  changed.set(mutateBytes(bytes, mutation).subarray(0, bytes.length));
  return changed;
}

function writeMessage({ header, fixed, attributes }: Message): Uint8Array {
  const message = joinBytes([header, fixed, writeAttributes(attributes)]);
  if (message.length >= MESSAGE_HEADER) viewOf(message).setUint32(0, message.length, true);
  return padded(message);
}

function writeAttributes(attributes: readonly Attribute[]): Uint8Array {
  return joinBytes(
    attributes.map(({ type, payload, nested }) => {
      const body = (nested === undefined ? payload : writeAttributes(nested)).subarray(0, 0xfff0);
      const head = new Uint8Array(4);
      viewOf(head).setUint16(0, body.length + 4, true);
      viewOf(head).setUint16(2, type, true);
      return padded(joinBytes([head, body]));
    }),
  );
}

function padded(bytes: Uint8Array): Uint8Array {
  return joinBytes([bytes, new Uint8Array(-bytes.length & 3)]);
}
