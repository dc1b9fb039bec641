/**
 * Cuts the body of a watch into its events: JSON texts separated by newlines, arriving in chunks of any
 * size. Bytes only; what an event means is watch-event.ts.
 */

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
  // One buffer that doubles: keeping the chunks themselves would let a peer that sends single bytes cost a hundred times the bound.
  let held = new Uint8Array(0);
  let heldBytes = 0;
  let isLost = false;

  function push(chunk: Uint8Array): Uint8Array[] | undefined {
    const lines: Uint8Array[] = [];
    let from = 0;
    while (!isLost) {
      const end = chunk.indexOf(NEWLINE, from);
      const piece = chunk.subarray(from, end === -1 ? chunk.length : end);
      if (heldBytes + piece.length > maxLineBytes) {
        isLost = true;
        break;
      }
      if (end === -1) {
        hold(piece);
        return lines;
      }
      const line = withoutCarriageReturn(take(piece));
      if (line.length > 0) lines.push(line);
      from = end + 1;
    }
    held = new Uint8Array(0);
    heldBytes = 0;
    return undefined;
  }

  function hold(piece: Uint8Array): void {
    const needed = heldBytes + piece.length;
    if (needed > held.length) {
      const grown = new Uint8Array(Math.max(needed, Math.min(held.length * 2, maxLineBytes)));
      grown.set(held.subarray(0, heldBytes));
      held = grown;
    }
    held.set(piece, heldBytes);
    heldBytes = needed;
  }

  /** The line may be the buffer itself, so the buffer is given away with it. */
  function take(last: Uint8Array): Uint8Array {
    if (heldBytes === 0) return last;
    hold(last);
    const line = held.subarray(0, heldBytes);
    held = new Uint8Array(0);
    heldBytes = 0;
    return line;
  }

  return { push, pendingBytes: () => heldBytes };
}

function withoutCarriageReturn(line: Uint8Array): Uint8Array {
  return line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line;
}
