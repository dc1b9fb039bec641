// Reads 64-bit little-endian ELF files: what they are, what they are linked with, and how they are hardened.
// Source of the layout: System V gABI, chapters 4 and 5; GNU_STACK and GNU_RELRO: Linux Standard Base Core 5.0, 12.

export interface ElfFile {
  /** `ET_EXEC` is a program at fixed addresses, `ET_DYN` a library or a position-independent program. */
  readonly type: "ET_EXEC" | "ET_DYN" | "other";
  readonly machine: "amd64" | "arm64" | "other";
  readonly interpreter: string | undefined;
  readonly needed: readonly string[];
  readonly runPath: readonly string[];
  readonly hasExecutableStack: boolean;
  readonly hasWritableCode: boolean;
  readonly hasRelro: boolean;
  /** All symbols are bound at start, so that RELRO covers the whole table. */
  readonly bindsNow: boolean;
  readonly hasDynamicSection: boolean;
  readonly segments: readonly ElfSegment[];
}

export interface ElfSegment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

const PT = { LOAD: 1, DYNAMIC: 2, INTERP: 3, GNU_STACK: 0x6474e551, GNU_RELRO: 0x6474e552 } as const;
const PF = { X: 1, W: 2 } as const;
const DT = {
  NEEDED: 1,
  STRTAB: 5,
  STRSZ: 10,
  RPATH: 15,
  RUNPATH: 29,
  FLAGS: 30,
  FLAGS_1: 0x6ffffffb,
  BIND_NOW: 24,
} as const;

/** Undefined for what is no 64-bit little-endian ELF file. @throws {RangeError} for one that is cut. */
export function readElf(bytes: Uint8Array): ElfFile | undefined {
  if (!isElf(bytes)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const segments = readSegments(view);
  const dynamic = readDynamic(view, segments);
  const string = stringReader(bytes, dynamic, segments);
  const values = (tag: number): number[] => dynamic.flatMap(([each, value]) => (each === tag ? [value] : []));
  const interpreter = segments.find(({ type }) => type === PT.INTERP);
  const stack = segments.find(({ type }) => type === PT.GNU_STACK);
  const machine = view.getUint16(18, true);
  const type = view.getUint16(16, true);
  return {
    type: type === 2 ? "ET_EXEC" : type === 3 ? "ET_DYN" : "other",
    machine: machine === 62 ? "amd64" : machine === 183 ? "arm64" : "other",
    interpreter: interpreter === undefined ? undefined : cString(bytes, interpreter.offset),
    needed: values(DT.NEEDED).map(string),
    runPath: [...values(DT.RPATH), ...values(DT.RUNPATH)].flatMap((offset) => string(offset).split(":")),
    // Without that header the kernel makes the stack executable.
    hasExecutableStack: stack === undefined || (stack.flags & PF.X) !== 0,
    hasWritableCode: segments.some((each) => each.type === PT.LOAD && (each.flags & (PF.W | PF.X)) === (PF.W | PF.X)),
    hasRelro: segments.some((each) => each.type === PT.GNU_RELRO),
    bindsNow:
      values(DT.BIND_NOW).length > 0 ||
      values(DT.FLAGS).some((flags) => (flags & 8) !== 0) ||
      values(DT.FLAGS_1).some((flags) => (flags & 1) !== 0),
    hasDynamicSection: dynamic.length > 0,
    segments,
  };
}

/** Whether it begins as a 64-bit little-endian ELF file does. */
export function isElf(bytes: Uint8Array): boolean {
  return bytes.length >= 64 && [0x7f, 0x45, 0x4c, 0x46, 2, 1].every((byte, index) => bytes[index] === byte);
}

/** @throws {RangeError} for a number that needs more than 53 bits; no file is that long. */
export function offsetAt(view: DataView, position: number): number {
  const value = view.getBigUint64(position, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError(`Cannot read ELF: offset ${value} at ${position}`);
  return Number(value);
}

function readSegments(view: DataView): ElfSegment[] {
  const [start, size, count] = [offsetAt(view, 32), view.getUint16(54, true), view.getUint16(56, true)];
  return Array.from({ length: count }, (_, index) => {
    const at = start + index * size;
    return {
      type: view.getUint32(at, true),
      flags: view.getUint32(at + 4, true),
      offset: offsetAt(view, at + 8),
      address: offsetAt(view, at + 16),
      fileSize: offsetAt(view, at + 32),
      memorySize: offsetAt(view, at + 40),
    };
  });
}

function readDynamic(view: DataView, segments: readonly ElfSegment[]): [tag: number, value: number][] {
  const segment = segments.find(({ type }) => type === PT.DYNAMIC);
  const entries: [number, number][] = [];
  if (segment === undefined) return entries;
  for (let at = segment.offset; at + 16 <= segment.offset + segment.fileSize; at += 16) {
    const tag = Number(view.getBigInt64(at, true));
    if (tag === 0) break;
    entries.push([tag, Number(view.getBigUint64(at + 8, true))]);
  }
  return entries;
}

function stringReader(
  bytes: Uint8Array,
  dynamic: readonly [number, number][],
  segments: readonly ElfSegment[],
): (offset: number) => string {
  const address = dynamic.find(([tag]) => tag === DT.STRTAB)?.[1];
  const segment = segments.find(
    (each) =>
      address !== undefined &&
      each.type === PT.LOAD &&
      address >= each.address &&
      address < each.address + each.fileSize,
  );
  if (address === undefined || segment === undefined) return () => "";
  const start = address - segment.address + segment.offset;
  return (offset) => cString(bytes, start + offset);
}

function cString(bytes: Uint8Array, start: number): string {
  const end = bytes.indexOf(0, start);
  if (end === -1) throw new RangeError(`Cannot read ELF: no end of the text at ${start}`);
  return new TextDecoder().decode(bytes.subarray(start, end));
}
