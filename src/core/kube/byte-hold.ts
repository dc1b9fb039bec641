/** Collects the bytes of one thing that arrives in pieces, up to a bound. */

export interface ByteHold {
  /** False, and nothing is held any more, when the bound would be exceeded. */
  add(piece: Uint8Array): boolean;
  size(): number;
  /** What is held; valid until the next call. */
  bytes(): Uint8Array;
  /** What is held; it belongs to the caller, and the hold is empty. */
  take(): Uint8Array;
}

/** One buffer that doubles: keeping the pieces themselves would let a peer that sends single bytes cost a hundred times the bound. */
export function createByteHold(maxBytes: number): ByteHold {
  let buffer = new Uint8Array(0);
  let size = 0;

  function add(piece: Uint8Array): boolean {
    const needed = size + piece.length;
    if (needed > maxBytes) {
      clear();
      return false;
    }
    if (needed > buffer.length) {
      const grown = new Uint8Array(Math.max(needed, Math.min(buffer.length * 2, maxBytes)));
      grown.set(buffer.subarray(0, size));
      buffer = grown;
    }
    buffer.set(piece, size);
    size = needed;
    return true;
  }

  function clear(): void {
    buffer = new Uint8Array(0);
    size = 0;
  }

  return {
    add,
    size: () => size,
    bytes: () => buffer.subarray(0, size),
    take() {
      const taken = buffer.subarray(0, size);
      clear();
      return taken;
    },
  };
}
