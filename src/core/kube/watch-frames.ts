/**
 * Cuts the body of a watch into its events: JSON texts separated by newlines, arriving in chunks of any
 * size. Bytes only; what an event means is watch-event.ts.
 */

import { createByteHold } from "./byte-hold.ts";

export interface WatchFrames {
  /**
   * The complete lines that `chunk` ends, without newline; empty lines are left out. The arrays may share the
   * chunk's memory. Undefined when a line exceeds the bound: framing is lost, the stream is to be dropped.
   */
  push(chunk: Uint8Array): Uint8Array[] | undefined;
  /** Bytes held of a line that has not ended. More than 0 at the end of the stream: an event was cut in half. */
  pendingBytes(): number;
}

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** @param maxLineBytes bound of one line; a line of exactly that size passes. */
export function createWatchFrames(maxLineBytes: number): WatchFrames {
  const held = createByteHold(maxLineBytes);
  let isLost = false;

  function push(chunk: Uint8Array): Uint8Array[] | undefined {
    const lines: Uint8Array[] = [];
    let from = 0;
    while (!isLost) {
      const end = chunk.indexOf(NEWLINE, from);
      const piece = chunk.subarray(from, end === -1 ? chunk.length : end);
      const isWhole = end !== -1 && held.size() === 0 && piece.length <= maxLineBytes;
      if (!isWhole && !held.add(piece)) {
        isLost = true;
        break;
      }
      if (end === -1) return lines;
      const line = withoutCarriageReturn(isWhole ? piece : held.take());
      if (line.length > 0) lines.push(line);
      from = end + 1;
    }
    return undefined;
  }

  return { push, pendingBytes: () => held.size() };
}

function withoutCarriageReturn(line: Uint8Array): Uint8Array {
  return line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line;
}
