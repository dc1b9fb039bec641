/**
 * Mutations that know nothing of the input's form: bits, bytes, numbers, ranges cut, doubled, repeated, taken from other
 * inputs, words put in.
 */
import { joinBytes } from "../../src/core/join-bytes.ts";
import type { Mutation, Mutator } from "./fuzz-target.ts";

const INTERESTING = [
  0, 1, 2, 3, 4, 7, 8, 15, 16, 19, 20, 31, 32, 63, 64, 127, 128, 253, 255, 256, 511, 512, 1024, 4095, 4096,
];
const LARGE = [0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff, 2 ** 20, 2 ** 21];

const STEPS: readonly [Mutator, ...Mutator[]] = [
  flipBit,
  setByte,
  setByte,
  putWord,
  putWord,
  replaceByWord,
  cutRange,
  cutRange,
  doubleRange,
  takeFromOther,
  setNumber,
  setNumber,
  cutEnd,
];

/** One to four such steps; now and then a piece is repeated so often that only bounds help. */
export function mutateBytes(input: Uint8Array, mutation: Mutation): Uint8Array {
  if (mutation.below(64) === 0) return repeatRange(input, mutation);
  let bytes = input;
  for (let left = 1 + mutation.below(4); left > 0; left--) {
    bytes = (STEPS[mutation.below(STEPS.length)] ?? flipBit)(bytes, mutation);
  }
  return bytes;
}

/** A piece of the input, short ones preferred. */
export function someRange(length: number, { below }: Pick<Mutation, "below">): readonly [number, number] {
  const start = below(length + 1);
  const longest = below(3) === 0 ? length - start : Math.min(16, length - start);
  return [start, start + below(longest + 1)];
}

/** `bytes` with what stands from `start` to `end` replaced. */
export function splice(bytes: Uint8Array, start: number, end: number, ...pieces: readonly Uint8Array[]): Uint8Array {
  return joinBytes([bytes.subarray(0, start), ...pieces, bytes.subarray(end)]);
}

function flipBit(bytes: Uint8Array, { below }: Mutation): Uint8Array {
  const changed = bytes.slice();
  const at = below(Math.max(1, bytes.length));
  if (at < bytes.length) changed[at] = (bytes[at] ?? 0) ^ (1 << below(8));
  return changed;
}

function setByte(bytes: Uint8Array, { below }: Mutation): Uint8Array {
  const changed = bytes.slice();
  const value = below(2) === 0 ? below(256) : (INTERESTING[below(INTERESTING.length)] ?? 0) & 0xff;
  if (bytes.length > 0) changed[below(bytes.length)] = value;
  return changed;
}

function putWord(bytes: Uint8Array, mutation: Mutation): Uint8Array {
  const at = mutation.below(bytes.length + 1);
  return splice(bytes, at, at, mutation.word());
}

function replaceByWord(bytes: Uint8Array, mutation: Mutation): Uint8Array {
  const [start, end] = someRange(bytes.length, mutation);
  return splice(bytes, start, end, mutation.word());
}

function cutRange(bytes: Uint8Array, mutation: Mutation): Uint8Array {
  const [start, end] = someRange(bytes.length, mutation);
  return splice(bytes, start, end);
}

function doubleRange(bytes: Uint8Array, mutation: Mutation): Uint8Array {
  const [start, end] = someRange(bytes.length, mutation);
  return splice(bytes, end, end, bytes.subarray(start, end));
}

function takeFromOther(bytes: Uint8Array, mutation: Mutation): Uint8Array {
  const other = mutation.other();
  const [start, end] = someRange(other.length, mutation);
  const [from, to] = someRange(bytes.length, mutation);
  return splice(bytes, from, mutation.below(2) === 0 ? from : to, other.subarray(start, end));
}

/** A number of two or four bytes in either order, as lengths and types are. */
function setNumber(bytes: Uint8Array, { below }: Mutation): Uint8Array {
  const width = below(2) === 0 ? 2 : 4;
  if (bytes.length < width) return bytes;
  const changed = bytes.slice();
  const view = new DataView(changed.buffer);
  const at = below(4) === 0 ? below(bytes.length - width + 1) : below(Math.floor(bytes.length / width)) * width;
  const isLittle = below(2) === 0;
  const old = width === 2 ? view.getUint16(at, isLittle) : view.getUint32(at, isLittle);
  const choices = [
    old + 1,
    old - 1,
    old + 4,
    old - 4,
    INTERESTING[below(INTERESTING.length)],
    LARGE[below(LARGE.length)],
  ];
  const value = choices[below(choices.length)] ?? 0;
  if (width === 2) view.setUint16(at, value & 0xffff, isLittle);
  else view.setUint32(at, value >>> 0, isLittle);
  return changed;
}

function cutEnd(bytes: Uint8Array, { below }: Mutation): Uint8Array {
  return bytes.subarray(0, below(bytes.length + 1));
}

function repeatRange(bytes: Uint8Array, mutation: Mutation): Uint8Array {
  const [start, end] = someRange(bytes.length, mutation);
  const piece = bytes.subarray(start, Math.min(end, start + 256));
  if (piece.length === 0) return bytes;
  const times = 1 << mutation.below(17);
  const bounded = Math.min(times, Math.ceil((1 << 16) / piece.length));
  return splice(bytes, end, end, ...new Array<Uint8Array>(bounded).fill(piece));
}
