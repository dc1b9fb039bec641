// Reads netlink messages and attributes out of bytes a kernel sent (uapi/linux/netlink.h). Nothing is trusted: every
// length is checked against what is there. Not here: what the messages mean.

/** One message without its header. The payload is a view into the datagram. */
export type NetlinkMessage = {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
};

/** One attribute; the flags of its type (nested, network order) are taken off. The payload is a view. */
export type Attribute = { readonly type: number; readonly payload: Uint8Array };

/** Bytes that are not what netlink promises: a length that does not fit, a value that must be there and is not. */
export class NetlinkFormatError extends Error {
  readonly code = "malformed";
  constructor(message: string) {
    super(message);
    this.name = "NetlinkFormatError";
  }
}

const MESSAGE_HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
const ATTRIBUTE_TYPE_MASK = 0x3fff;

const UTF8 = new TextDecoder();

/** The messages of one datagram, or of several joined. Throws NetlinkFormatError. */
export function parseMessages(datagram: Uint8Array): NetlinkMessage[] {
  const view = viewOf(datagram);
  const messages: NetlinkMessage[] = [];
  let offset = 0;
  while (offset < datagram.length) {
    const left = datagram.length - offset;
    const length = left < MESSAGE_HEADER_BYTES ? left : view.getUint32(offset, true);
    if (length < MESSAGE_HEADER_BYTES || length > left) {
      throw new NetlinkFormatError(
        `Cannot read netlink message at byte ${offset}: length ${length}, ${left} bytes left`,
      );
    }
    messages.push({
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      sequence: view.getUint32(offset + 8, true),
      payload: datagram.subarray(offset + MESSAGE_HEADER_BYTES, offset + length),
    });
    offset += align(length);
  }
  return messages;
}

/** The attributes in order; the same type may come more than once. Throws NetlinkFormatError. */
export function parseAttributes(bytes: Uint8Array): Attribute[] {
  const view = viewOf(bytes);
  const attributes: Attribute[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const left = bytes.length - offset;
    const length = left < ATTRIBUTE_HEADER_BYTES ? left : view.getUint16(offset, true);
    if (length < ATTRIBUTE_HEADER_BYTES || length > left) {
      throw new NetlinkFormatError(`Cannot read attribute at byte ${offset}: length ${length}, ${left} bytes left`);
    }
    const type = view.getUint16(offset + 2, true) & ATTRIBUTE_TYPE_MASK;
    attributes.push({ type, payload: bytes.subarray(offset + ATTRIBUTE_HEADER_BYTES, offset + length) });
    offset += align(length);
  }
  return attributes;
}

/** The attributes by type; of repeated ones the last, as the kernel's own nla_parse keeps it. */
export function attributeMap(bytes: Uint8Array): Map<number, Uint8Array> {
  return new Map(parseAttributes(bytes).map(({ type, payload }) => [type, payload]));
}

/** A number of one, two or four bytes in host order. Throws NetlinkFormatError for any other width. */
export function readNumber(bytes: Uint8Array): number {
  const view = viewOf(bytes);
  if (bytes.length === 4) return view.getUint32(0, true);
  if (bytes.length === 2) return view.getUint16(0, true);
  if (bytes.length === 1) return view.getUint8(0);
  throw new NetlinkFormatError(`Cannot read a number: ${bytes.length} bytes`);
}

/** A 32-bit number in network order. Throws NetlinkFormatError for any other width. */
export function readU32be(bytes: Uint8Array): number {
  if (bytes.length !== 4) throw new NetlinkFormatError(`Cannot read a 32-bit number: ${bytes.length} bytes`);
  return viewOf(bytes).getUint32(0, false);
}

/** A text up to its terminating zero. */
export function readString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return UTF8.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** A DataView over exactly these bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function align(length: number): number {
  return (length + 3) & ~3;
}
