// Writes netlink messages into one growing buffer: header, attributes, nesting, padding (uapi/linux/netlink.h).
// Numbers are little-endian as on every machine we run on (amd64, arm64), except where a `be` method says so.

const MESSAGE_HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
/** A nested attribute says so in its type (NLA_F_NESTED). */
export const NLA_F_NESTED = 0x8000;

/** Room for the batch of an ordinary sidecar pod, both families. */
const FIRST_CAPACITY = 16 * 1024;

/** The bytes of a name as `readString` reads it. @throws {RangeError} for a character that is no byte */
export function nameBytes(name: string): Uint8Array {
  const bytes = new Uint8Array(name.length);
  for (let index = 0; index < name.length; index++) bytes[index] = byteAt(name, index);
  return bytes;
}

function byteAt(text: string, index: number): number {
  const code = text.charCodeAt(index);
  if (code > 0xff) throw new RangeError(`Cannot encode a name: character ${index + 1} of it is no byte`);
  return code;
}

/** One buffer being filled; `finish()` hands it out. Not to be used after that. */
export class NetlinkWriter {
  #bytes = new Uint8Array(FIRST_CAPACITY);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Writes one message; `body` writes what follows its header. Equiv: struct nlmsghdr. */
  message(header: { type: number; flags: number; sequence: number }, body: () => void): void {
    const start = this.#length;
    this.#reserve(MESSAGE_HEADER_BYTES);
    this.#length += MESSAGE_HEADER_BYTES;
    body();
    this.#view.setUint32(start, this.#length - start, true);
    this.#view.setUint16(start + 4, header.type, true);
    this.#view.setUint16(start + 6, header.flags, true);
    this.#view.setUint32(start + 8, header.sequence, true);
    this.#view.setUint32(start + 12, 0, true);
    this.#pad();
  }

  /** Writes one attribute whose payload `body` writes. Equiv: struct nlattr. */
  attribute(type: number, body: () => void): void {
    const start = this.#length;
    this.#reserve(ATTRIBUTE_HEADER_BYTES);
    this.#length += ATTRIBUTE_HEADER_BYTES;
    body();
    const length = this.#length - start;
    if (length > 0xffff) throw new RangeError(`Cannot encode attribute ${type}: ${length} bytes, at most 65535`);
    this.#view.setUint16(start, length, true);
    this.#view.setUint16(start + 2, type, true);
    this.#pad();
  }

  /** Writes an attribute that holds attributes. */
  nested(type: number, body: () => void): void {
    this.attribute(type | NLA_F_NESTED, body);
  }

  /** An attribute of one byte. */
  attributeU8(type: number, value: number): void {
    this.#attributeHeader(type, 1);
    this.u8(value);
    this.#pad();
  }

  /** An attribute of a 32-bit number in host order (rtnetlink). */
  attributeU32(type: number, value: number): void {
    this.#attributeHeader(type, 4);
    this.u32(value);
  }

  /** An attribute of a 32-bit number in network order (nf_tables). */
  attributeU32be(type: number, value: number): void {
    this.#attributeHeader(type, 4);
    this.u32be(value);
  }

  /** An attribute of a text with its terminating zero, each character a byte (`readString`). */
  attributeString(type: number, text: string): void {
    this.#attributeHeader(type, text.length + 1);
    this.#reserve(text.length + 1);
    for (let index = 0; index < text.length; index++) this.#bytes[this.#length + index] = byteAt(text, index);
    this.#bytes[this.#length + text.length] = 0;
    this.#length += text.length + 1;
    this.#pad();
  }

  /** An attribute of these bytes. */
  attributeBytes(type: number, bytes: Uint8Array): void {
    this.#attributeHeader(type, bytes.length);
    this.raw(bytes);
    this.#pad();
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#view.setUint8(this.#length, value);
    this.#length += 1;
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
  }

  u16be(value: number): void {
    this.#reserve(2);
    this.#view.setUint16(this.#length, value, false);
    this.#length += 2;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  u32be(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, false);
    this.#length += 4;
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** The bytes written so far. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #attributeHeader(type: number, payloadBytes: number): void {
    const length = ATTRIBUTE_HEADER_BYTES + payloadBytes;
    if (length > 0xffff) throw new RangeError(`Cannot encode attribute ${type}: ${length} bytes, at most 65535`);
    this.u16(length);
    this.u16(type);
  }

  #pad(): void {
    const padding = -this.#length & 3;
    this.#reserve(padding);
    this.#length += padding;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}
