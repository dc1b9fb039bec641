// Protocol Buffers' wire format, as much as ZDS needs: varints, strings, nested messages, and skipping what is unknown
// (protobuf.dev "Encoding"). Which field means what is messages.ts.
import { joinBytes } from "../join-bytes.ts";

/** Bytes that are no message of the protocol. */
export class ZdsFormatError extends Error {
  override readonly name = "ZdsFormatError";
  readonly code = "ZDS_FORMAT";

  constructor(problem: string) {
    super(`Cannot read a ZDS message: ${problem}`);
  }
}

/** One field as it lies in a message. Numbers are varints; fixed32 and fixed64 fields and groups are unknown in ZDS. */
export type WireField =
  | { readonly number: number; readonly kind: "varint"; readonly value: bigint }
  | { readonly number: number; readonly kind: "bytes"; readonly value: Uint8Array }
  | { readonly number: number; readonly kind: "other" };

const WIRE = { varint: 0, fixed64: 1, bytes: 2, startGroup: 3, endGroup: 4, fixed32: 5 } as const;
const MAX_FIELD_NUMBER = 0x1fffffff;
const MAX_VARINT_BYTES = 10;
/** Nesting of groups that decoders in use still follow. */
const MAX_GROUP_DEPTH = 100;

const UTF8 = new TextEncoder();

/** Reads a message's fields in their order. Linear in the length, whatever the bytes are. @throws {ZdsFormatError} */
export function readFields(bytes: Uint8Array): WireField[] {
  const fields: WireField[] = [];
  const groups: number[] = [];
  let at = 0;

  const varint = (): bigint => {
    let value = 0n;
    for (let index = 0; index < MAX_VARINT_BYTES; index++) {
      const byte = bytes[at];
      if (byte === undefined) throw new ZdsFormatError("a number is cut at the end");
      at++;
      value |= BigInt(byte & 0x7f) << BigInt(7 * index);
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new ZdsFormatError(`a number has more than ${MAX_VARINT_BYTES} bytes`);
  };
  const skip = (length: number): Uint8Array => {
    const left = bytes.length - at;
    if (length > left) throw new ZdsFormatError(`a field claims ${length} bytes and ${left} are left`);
    at += length;
    return bytes.subarray(at - length, at);
  };

  while (at < bytes.length) {
    const tag = varint();
    const number = Number(tag >> 3n);
    const wire = Number(tag & 7n);
    if (number === 0 || number > MAX_FIELD_NUMBER) throw new ZdsFormatError(`there is no field number ${number}`);
    let field: WireField = { number, kind: "other" };
    if (wire === WIRE.varint) field = { number, kind: "varint", value: varint() };
    else if (wire === WIRE.bytes) field = { number, kind: "bytes", value: skip(Number(varint())) };
    else if (wire === WIRE.fixed64) skip(8);
    else if (wire === WIRE.fixed32) skip(4);
    else if (wire === WIRE.startGroup) {
      groups.push(number);
      if (groups.length > MAX_GROUP_DEPTH) throw new ZdsFormatError("its groups are nested too deeply");
    } else if (wire !== WIRE.endGroup) throw new ZdsFormatError(`there is no wire type ${wire}`);
    else if (groups.pop() !== number) throw new ZdsFormatError(`group ${number} ends where it did not begin`);
    if (groups.length === 0) fields.push(field);
  }
  if (groups.length > 0) throw new ZdsFormatError("a group does not end");
  return fields;
}

/** Text of a string field; proto3 strings are UTF-8. @throws {ZdsFormatError} */
export function readText(value: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value);
  } catch {
    throw new ZdsFormatError("a text is not UTF-8");
  }
}

/** A string field; nothing when it is empty, as proto3 has it. */
export function textField(number: number, text: string): Uint8Array {
  return text === "" ? new Uint8Array(0) : bytesField(number, UTF8.encode(text));
}

/** A nested message, also when it is empty: that it is there says something. */
export function messageField(number: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return bytesField(number, joinBytes(parts));
}

/** A number field; nothing when it is 0, as proto3 has it. */
export function numberField(number: number, value: number): Uint8Array {
  return value === 0 ? new Uint8Array(0) : joinBytes([varintBytes(number * 8 + WIRE.varint), varintBytes(value)]);
}

function bytesField(number: number, value: Uint8Array): Uint8Array {
  return joinBytes([varintBytes(number * 8 + WIRE.bytes), varintBytes(value.length), value]);
}

function varintBytes(value: number): Uint8Array {
  const bytes: number[] = [];
  let left = value;
  for (; left > 0x7f; left = Math.floor(left / 128)) bytes.push((left % 128) | 0x80);
  bytes.push(left);
  return Uint8Array.from(bytes);
}
