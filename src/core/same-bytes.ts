// Whether two texts or files are the same.

/** Byte by byte. */
export function isSameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left === right || (left.length === right.length && left.every((byte, index) => byte === right[index]));
}
