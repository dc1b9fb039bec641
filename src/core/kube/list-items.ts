/**
 * Cuts the JSON of a list into its items while it arrives, without parsing it: a full node's pods are 3 MB
 * of text and, parsed as a whole, ten times that, and what the agent peaks at stays resident (measured: 17 MB).
 * Only finds boundaries; whether the pieces are JSON is for who parses them.
 */

import { createByteHold } from "./byte-hold.ts";

/**
 * - `open`: more is to come; `complete`: the list has ended, what follows it is part of the envelope;
 * - `too-large`: an item, or what is around the items, exceeds the bound; `malformed`: this is no list of objects.
 */
export type ListItemsState = "open" | "complete" | "too-large" | "malformed";

export interface ListItems {
  /** The items that end within `chunk`; none any more after the state has left `open`. They may share its memory. */
  push(chunk: Uint8Array): Uint8Array[];
  state(): ListItemsState;
  /** The text around the items: the list with `"items":[]`. As far as it has come. */
  envelope(): Uint8Array;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const ITEMS_KEY = [...new TextEncoder().encode('"items"')];

/** @param maxBytes bound of one item, and of everything around the items. */
export function createListItems(maxBytes: number): ListItems {
  const envelope = createByteHold(maxBytes);
  const item = createByteHold(maxBytes);
  let state: ListItemsState = "open";
  let depth = 0;
  let isInString = false;
  /** The last byte was a backslash that escapes the next. */
  let isEscaped = false;
  let isInItems = false;
  /** What may come between items: an item or the end after the bracket, a comma or the end after an item, an item after a comma. */
  let expected: "item-or-end" | "comma-or-end" | "item" = "item-or-end";
  /** How much of `"items"` the string at depth 1 has shown so far; -1: it is another text. */
  let keyMatch = -1;
  /** The key that was read is `"items"`, and so far only blanks and its colon followed. */
  let isItemsNext = false;

  function push(chunk: Uint8Array): Uint8Array[] {
    const items: Uint8Array[] = [];
    // Where the bytes begin that have not been put into item or envelope yet.
    let from = 0;
    let at = 0;
    const put = (hold: typeof item, end: number): void => {
      if (!hold.add(chunk.subarray(from, end))) state = "too-large";
      from = end;
    };
    while (at < chunk.length && state === "open") {
      if (isInString) {
        at = passString(chunk, at);
        continue;
      }
      const byte = chunk[at] ?? 0;
      if (isInItems && depth === 2) {
        // Between items: their separators go nowhere.
        if (byte === OPEN_BRACE && expected !== "comma-or-end") from = at;
        else if (byte === CLOSE_BRACKET && expected !== "item") {
          isInItems = false;
          from = at;
        } else {
          if (byte === COMMA && expected === "comma-or-end") expected = "item";
          else if (!isBlank(byte)) state = "malformed";
          at += 1;
          from = at;
          continue;
        }
      }
      at += 1;
      passByte(byte);
      if (isInItems && depth === 2) {
        if (byte === OPEN_BRACKET) {
          put(envelope, at);
          expected = "item-or-end";
        } else {
          put(item, at);
          items.push(item.take());
          expected = "comma-or-end";
        }
      }
    }
    // What is malformed goes to the envelope too: it is what a message quotes.
    if (state !== "too-large") put(isInItems && depth > 2 ? item : envelope, chunk.length);
    return items;
  }

  function passByte(byte: number): void {
    if (depth === 0) {
      if (byte === OPEN_BRACE) depth = 1;
      else if (!isBlank(byte)) state = "malformed";
      return;
    }
    if (byte === QUOTE) {
      isInString = true;
      keyMatch = depth === 1 && !isItemsNext ? 1 : -1;
      isItemsNext = false;
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      isInItems = isInItems || (isItemsNext && byte === OPEN_BRACKET);
      isItemsNext = false;
      depth += 1;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth -= 1;
      if (depth === 0) state = "complete";
    } else if (byte !== COLON && !isBlank(byte)) isItemsNext = false;
  }

  /** Goes on within a string; at its end it is known whether it was the key of the items. */
  function passString(chunk: Uint8Array, start: number): number {
    let at = start;
    if (keyMatch > 0) {
      while (at < chunk.length && keyMatch > 0 && keyMatch < ITEMS_KEY.length && chunk[at] === ITEMS_KEY[keyMatch]) {
        at += 1;
        keyMatch += 1;
      }
      if (keyMatch === ITEMS_KEY.length) {
        isInString = false;
        isItemsNext = true;
        return at;
      }
      if (at === chunk.length) return at;
      keyMatch = -1;
    }
    if (isEscaped) {
      isEscaped = false;
      return at + 1;
    }
    const quote = chunk.indexOf(QUOTE, at);
    const end = quote === -1 ? chunk.length : quote;
    let backslashes = 0;
    while (end - 1 - backslashes >= at && chunk[end - 1 - backslashes] === BACKSLASH) backslashes += 1;
    isEscaped = backslashes % 2 === 1;
    if (quote === -1) return end;
    if (isEscaped) {
      isEscaped = false;
      return end + 1;
    }
    isInString = false;
    return end + 1;
  }

  return { push, state: () => state, envelope: () => envelope.bytes() };
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
