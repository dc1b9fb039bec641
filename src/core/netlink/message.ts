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
  const attributes: Attribute[] = [];
  eachAttribute(bytes, (type, payload) => attributes.push({ type, payload }));
  return attributes;
}

/** The attributes by type; of repeated ones the last, as the kernel's own nla_parse keeps it. */
export function attributeMap(bytes: Uint8Array): Map<number, Uint8Array> {
  const attributes = new Map<number, Uint8Array>();
  eachAttribute(bytes, (type, payload) => attributes.set(type, payload));
  return attributes;
}

/** A node's rules are some ten thousand attributes, read again and again: nothing is made of one but its view. */
function eachAttribute(bytes: Uint8Array, visit: (type: number, payload: Uint8Array) => void): void {
  let offset = 0;
  while (offset < bytes.length) {
    const left = bytes.length - offset;
    const length = left < ATTRIBUTE_HEADER_BYTES ? left : u16(bytes, offset);
    if (length < ATTRIBUTE_HEADER_BYTES || length > left) {
      throw new NetlinkFormatError(`Cannot read attribute at byte ${offset}: length ${length}, ${left} bytes left`);
    }
    const payload = bytes.subarray(offset + ATTRIBUTE_HEADER_BYTES, offset + length);
    visit(u16(bytes, offset + 2) & ATTRIBUTE_TYPE_MASK, payload);
    offset += align(length);
  }
}

/** A number of one, two or four bytes in host order. Throws NetlinkFormatError for any other width. */
export function readNumber(bytes: Uint8Array): number {
  if (bytes.length === 4) return (u16(bytes, 0) | (u16(bytes, 2) << 16)) >>> 0;
  if (bytes.length === 2) return u16(bytes, 0);
  if (bytes.length === 1) return bytes[0] ?? 0;
  throw new NetlinkFormatError(`Cannot read a number: ${bytes.length} bytes`);
}

/** A 32-bit number in network order. Throws NetlinkFormatError for any other width. */
export function readU32be(bytes: Uint8Array): number {
  if (bytes.length !== 4) throw new NetlinkFormatError(`Cannot read a 32-bit number: ${bytes.length} bytes`);
  return (((bytes[0] ?? 0) << 24) | ((bytes[1] ?? 0) << 16) | ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0)) >>> 0;
}

/**
 * A text up to its terminating zero, each byte a character. The kernel takes any bytes for a name, and a decoder of UTF-8 would
 * make one text of several: it drops a byte order mark and has one character for all that is malformed.
 */
export function readString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const length = end < 0 ? bytes.length : end;
  let text = "";
  for (let index = 0; index < length; index++) text += String.fromCharCode(bytes[index] ?? 0);
  return text;
}

/** A DataView over exactly these bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Two bytes in host order; the caller knows that they are there. */
function u16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] ?? 0) | ((bytes[offset + 1] ?? 0) << 8);
}

function align(length: number): number {
  return (length + 3) & ~3;
}
