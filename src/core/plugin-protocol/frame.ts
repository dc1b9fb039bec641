// Wire form of the conversation between plugin and agent: plugin/CONTRACT.md, version 1. Bytes only, no sockets.

/** Version this agent speaks; an older one is spoken too while upgrades may still meet it. */
export const PROTOCOL_VERSION = 1;
export const HEADER_LENGTH = 16;
/** Largest request payload: 1 MiB of stdin and the environment. */
export const MAX_REQUEST_PAYLOAD = 2 * 1024 * 1024;

const MAGIC = 0x494e4349; // "ICNI" read little-endian

/** Frame types. */
export const FRAME_REQUEST = 1;
export const FRAME_ANSWER = 2;
export const FRAME_VERSION_REFUSED = 3;

/** Request flag: the plugin does not wait for an answer. */
export const FLAG_NO_ANSWER = 1;

export interface FrameHeader {
  readonly version: number;
  readonly type: number;
  readonly payloadLength: number;
  readonly flags: number;
}

/** Why bytes are no frame: the peer is not our plugin, or is broken. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  readonly code: "bad-magic" | "too-large" | "bad-field";

  constructor(code: ProtocolError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

/** Reads the first 16 bytes of a frame. The length is checked against our bound before anybody allocates.
 * @throws {ProtocolError} */
export function parseHeader(bytes: Uint8Array): FrameHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_LENGTH);
  if (view.getUint32(0, true) !== MAGIC) {
    throw new ProtocolError("bad-magic", "Cannot read a plugin request: it does not start with ICNI");
  }
  const payloadLength = view.getUint32(8, true);
  if (payloadLength > MAX_REQUEST_PAYLOAD) {
    throw new ProtocolError(
      "too-large",
      `Cannot read a plugin request: ${payloadLength} bytes, at most ${MAX_REQUEST_PAYLOAD} are accepted`,
    );
  }
  return {
    version: view.getUint16(4, true),
    type: view.getUint16(6, true),
    payloadLength,
    flags: view.getUint32(12, true),
  };
}

/** Reads a payload of key, length, value fields. Unknown keys are kept, of one that comes twice the last; the reader skips them.
 * @throws {ProtocolError} on a field that runs over the end, or one of `known` that is there twice. */
export function parseFields(payload: Uint8Array, known: ReadonlySet<number> = new Set()): Map<number, Uint8Array> {
  const fields = new Map<number, Uint8Array>();
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  let offset = 0;
  while (offset < payload.length) {
    if (offset + 8 > payload.length) throw badField(`its last field is cut at byte ${offset}`);
    const key = view.getUint16(offset, true);
    const length = view.getUint32(offset + 4, true);
    const start = offset + 8;
    if (length > payload.length - start)
      throw badField(`field ${key} claims ${length} bytes and ${payload.length - start} are left`);
    if (known.has(key) && fields.has(key)) throw badField(`field ${key} is there twice`);
    fields.set(key, payload.subarray(start, start + length));
    offset = start + length;
  }
  return fields;
}

/** Builds one frame. */
export function encodeFrame(type: number, fields: ReadonlyMap<number, Uint8Array>, flags = 0): Uint8Array {
  let payloadLength = 0;
  for (const value of fields.values()) payloadLength += 8 + value.length;
  const frame = new Uint8Array(HEADER_LENGTH + payloadLength);
  const view = new DataView(frame.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, PROTOCOL_VERSION, true);
  view.setUint16(6, type, true);
  view.setUint32(8, payloadLength, true);
  view.setUint32(12, flags, true);
  let offset = HEADER_LENGTH;
  for (const [key, value] of fields) {
    view.setUint16(offset, key, true);
    view.setUint32(offset + 4, value.length, true);
    frame.set(value, offset + 8);
    offset += 8 + value.length;
  }
  return frame;
}

function badField(what: string): ProtocolError {
  return new ProtocolError("bad-field", `Cannot read a plugin request: ${what}`);
}
