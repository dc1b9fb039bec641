/**
 * The kinds of value an option can have: how its text is read, how it is shown, what is said when it is refused.
 * Here are the general kinds; those that only this domain knows (namespaces, selectors, addresses) are in domain-value-type.ts.
 */

import { GO_BOOLEAN_ACCEPTED, parseGoBoolean } from "../go-boolean.ts";
import { isRecord, parseJson } from "../json-value.ts";
import { withoutTrailingSlashes } from "../without-trailing-slashes.ts";

/** What a shell can offer as a value: these words, or what lies on the disk. */
export type Completion = readonly string[] | "file" | "directory";

/** @typeParam T what the text means. `parse` and `render` are inverse for every accepted value. */
export interface ValueType<T> {
  /** One word for help texts: "bool", "port". */
  readonly name: string;
  /** Ends the sentence "accepted: …". */
  readonly accepts: string;
  /** undefined when the text is refused; never throws, whatever the text. */
  parse(text: string): T | undefined;
  render(value: T): string;
  readonly completes?: Completion;
  /** A sentence about a text that is accepted and yet probably not meant. */
  caution?(text: string): string | undefined;
  /** Of a text that is refused, where one can say more than that: what is wrong, and what would be right there. */
  fault?(text: string): { readonly state: string; readonly accepted: string } | undefined;
}

/** Longest value of any option; an environment can hold megabytes. */
const TEXT_MAX = 4096;
/** Longest value of the options that carry a document (selectors, plugin object). */
export const DOCUMENT_MAX = 65_536;
/** Linux PATH_MAX and sun_path, both without the closing zero. */
const PATH_MAX = 4095;
const FILE_NAME_MAX = 255;

const CONTROL = /\p{Cc}/u;
const CONTROL_BUT_BLANKS = /[^\P{Cc}\t\n\r]/u;

/** Go's strconv.ParseBool. */
export const BOOL: ValueType<boolean> = {
  name: "bool",
  accepts: GO_BOOLEAN_ACCEPTED,
  parse: parseGoBoolean,
  render: String,
  completes: ["true", "false"],
};

/** Any text up to 4096 characters without control characters. */
export const TEXT: ValueType<string> = {
  name: "string",
  accepts: `text of at most ${TEXT_MAX} characters without control characters`,
  parse: (text) => (text.length <= TEXT_MAX && !CONTROL.test(text) ? text : undefined),
  render: (value) => value,
};

/** Text of several lines, at most 64 KiB. */
export const DOCUMENT: ValueType<string> = {
  name: "document",
  accepts: `text of at most ${DOCUMENT_MAX} characters, line breaks and tabs included, without other control characters`,
  parse: (text) => (text.length <= DOCUMENT_MAX && !CONTROL_BUT_BLANKS.test(text) ? text : undefined),
  render: (value) => value,
};

/** A JSON object as text; undefined stands for "none". */
export const JSON_OBJECT: ValueType<string | undefined> = {
  name: "json",
  accepts: `a JSON object of at most ${DOCUMENT_MAX} characters`,
  parse: (text) => (isJsonObject(text) ? text : undefined),
  render: (value) => value ?? "",
};

/** An absolute path, returned without slashes at its end; "" passes where the option allows none. */
export function absolutePath(
  limits: { readonly maxLength?: number; readonly orNone?: boolean } = {},
): ValueType<string> {
  const maxLength = limits.maxLength ?? PATH_MAX;
  return {
    name: "path",
    accepts: `an absolute path of at most ${maxLength} bytes`,
    parse: (text) => {
      if (text === "" && limits.orNone === true) return "";
      if (!text.startsWith("/") || CONTROL.test(text) || utf8Length(text) > maxLength) return undefined;
      return `/${withoutTrailingSlashes(text.slice(1))}`;
    },
    render: (value) => value,
    completes: "file",
  };
}

/** The name of a file inside a folder that another option names; "" means none. */
export const FILE_NAME: ValueType<string> = {
  name: "file name",
  accepts: `a file name of at most ${FILE_NAME_MAX} bytes without "/"`,
  parse: (text) => {
    if (text === "." || text === ".." || text.includes("/") || CONTROL.test(text)) return undefined;
    return utf8Length(text) <= FILE_NAME_MAX ? text : undefined;
  },
  render: (value) => value,
};

/** A whole number between two bounds, in Go's notation: 0x and 0b prefixes, 0o or a leading 0 for octal. */
export function integer(min: number, max: number, name = "int"): ValueType<number> {
  return {
    name,
    accepts: `a whole number from ${min} to ${max} (0x…, 0o…, 0… and 0b… are hexadecimal, octal, octal and binary)`,
    parse: (text) => {
      const value = parseGoInteger(text);
      return value !== undefined && value >= min && value <= max ? value : undefined;
    },
    render: String,
  };
}

/** The permission bits of a file. `600` is decimal as it is for Go, which nobody means: it is accepted with a caution. */
export const FILE_MODE: ValueType<number> = {
  name: "mode",
  accepts: "permission bits in octal with a leading 0, such as 0600 or 0o640",
  parse: (text) => {
    const value = parseGoInteger(text);
    return value !== undefined && value >= 0 && value <= 0o7777 ? value : undefined;
  },
  render: (value) => `0${value.toString(8).padStart(3, "0")}`,
  caution: (text) => {
    if (!/^[1-7][0-7]{2,3}$/.test(text)) return undefined;
    return `${text} is a decimal number here, that is mode 0${Number(text).toString(8)}; write 0${text} for octal`;
  },
};

/** One of a few words. */
export function oneOf<const W extends string>(words: readonly W[]): ValueType<W> {
  return {
    name: words.filter((word) => word !== "").join("|"),
    accepts: words.filter((word) => word !== "").join(" or "),
    parse: (text) => words.find((word) => word === text),
    render: (value) => value,
    completes: words.filter((word) => word !== ""),
  };
}

const DURATION_UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** A span in Go's notation ("15s", "1m30s", "1.5s"), in whole milliseconds. */
export function duration(minMs: number, maxMs: number): ValueType<number> {
  return {
    name: "duration",
    accepts: `a duration from ${renderDuration(minMs)} to ${renderDuration(maxMs)}, such as 15s, 1m or 500ms`,
    parse: (text) => {
      if (text.length > 32 || !/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(text)) return undefined;
      let totalMs = 0;
      for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
        totalMs += Number(amount) * DURATION_UNIT_MS[unit as keyof typeof DURATION_UNIT_MS];
      }
      return totalMs >= minMs && totalMs <= maxMs ? Math.round(totalMs) : undefined;
    },
    render: renderDuration,
  };
}

/** Items of a list with commas between them: trimmed, empty ones dropped; refused as a whole when one item is. */
export function listOf(item: ValueType<string>, maxItems: number): ValueType<readonly string[]> {
  return {
    name: "list",
    accepts: `a comma-separated list of at most ${maxItems}, each ${item.accepts}`,
    parse: (text) => {
      if (text.length > DOCUMENT_MAX) return undefined;
      const items = text.split(",").map((part) => part.trim());
      const filled = items.filter((part) => part !== "");
      if (filled.length > maxItems || filled.some((part) => item.parse(part) === undefined)) return undefined;
      return filled;
    },
    render: (value) => value.join(","),
  };
}

function parseGoInteger(text: string): number | undefined {
  const match = /^([+-]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)$/.exec(text);
  const digits = match?.[2];
  if (digits === undefined || digits.length > 32) return undefined;
  const size = Number(/^0[0-7]/.test(digits) ? `0o${digits.slice(1)}` : digits);
  // "-0" would be negative zero, which prints as 0 and compares unlike it.
  return match?.[1] === "-" && size !== 0 ? -size : size;
}

/** "15s", "1m30s", "24h": the form that duration() reads. */
export function renderDuration(totalMs: number): string {
  if (totalMs % 1000 !== 0) return `${totalMs}ms`;
  const seconds = totalMs / 1000;
  const parts = [
    [Math.floor(seconds / 3600), "h"],
    [Math.floor(seconds / 60) % 60, "m"],
    [seconds % 60, "s"],
  ] as const;
  return parts.map(([count, unit]) => (count === 0 ? "" : `${count}${unit}`)).join("") || "0s";
}

function isJsonObject(text: string): boolean {
  return text.length <= DOCUMENT_MAX && isRecord(parseJson(text));
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}
