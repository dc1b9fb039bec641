// Reads values out of JSON that anybody may have written: each has exactly the type, form and size that is asked for, or the
// whole is damaged. Not here: what the values mean.

import { isRecord } from "../json-value.ts";

/** A value that is not what a record has there. The message names field and what is accepted, never more than that. */
export class DamagedRecordError extends Error {
  override readonly name = "DamagedRecordError";
  readonly code = "DAMAGED";
}

/** An object's own members, by what they have to be. Every method throws DamagedRecordError. */
export interface RecordFields {
  text(key: string, form: RegExp): string;
  /** One of these words. */
  word<T extends string>(key: string, words: readonly T[]): T;
  flag(key: string): boolean;
  /** A whole number from `min` to `max`. */
  number(key: string, min: number, max: number): number;
  /** A decimal number of 64 bits, which JSON's own numbers cannot hold. */
  bits64(key: string): bigint;
  /** Each item read by `parse`, which returns undefined for what is none. */
  list<T>(key: string, parse: (item: unknown) => T | undefined): T[];
  /** The same, or "*". */
  listOrAll<T>(key: string, parse: (item: unknown) => T | undefined): "*" | T[];
  object(key: string): RecordFields;
  /** What `read` makes of the value; undefined where it is null. */
  orNull<T>(key: string, read: (key: string) => T): T | undefined;
}

/** The longest list that is read; policy takes 1,024 entries of one annotation and adds a few of its own. */
const MAX_ITEMS = 2048;
const BITS_64 = /^(?:0|[1-9][0-9]{0,19})$/;
const MAX_BITS_64 = 2n ** 64n - 1n;

/** @throws {DamagedRecordError} when `value` is no JSON object */
export function openRecord(value: unknown, name = "record"): RecordFields {
  if (!isRecord(value)) throw new DamagedRecordError(`${name} is no object`);
  const members = new Map(Object.entries(value));

  function demand<T>(key: string, found: T | undefined, accepted: string): T {
    if (found === undefined) throw new DamagedRecordError(`${name}.${key} is not ${accepted}`);
    return found;
  }
  function text(key: string, form: RegExp): string {
    const found = members.get(key);
    return demand(key, typeof found === "string" && form.test(found) ? found : undefined, `text like ${form}`);
  }
  function list<T>(key: string, parse: (item: unknown) => T | undefined): T[] {
    const found = members.get(key);
    if (!Array.isArray(found) || found.length > MAX_ITEMS) {
      throw new DamagedRecordError(`${name}.${key} is not a list of ${MAX_ITEMS} items at most`);
    }
    return found.map((item: unknown, index) => demand(`${key}[${index}]`, parse(item), "what this list has"));
  }

  return {
    text,
    list,
    word: (key, words) =>
      demand(
        key,
        words.find((word) => word === members.get(key)),
        `one of ${words.join(", ")}`,
      ),
    flag(key) {
      const found = members.get(key);
      return demand(key, typeof found === "boolean" ? found : undefined, "true or false");
    },
    number: (key, min, max) => demand(key, wholeNumber(members.get(key), min, max), `a number from ${min} to ${max}`),
    bits64(key) {
      const found = BigInt(text(key, BITS_64));
      return demand(key, found <= MAX_BITS_64 ? found : undefined, "a number of 64 bits");
    },
    listOrAll: (key, parse) => (members.get(key) === "*" ? "*" : list(key, parse)),
    object: (key) => openRecord(members.get(key), `${name}.${key}`),
    orNull: (key, read) => (members.get(key) === null ? undefined : read(key)),
  };
}

/** Undefined for anything but a whole number within the bounds. Minus zero is none. */
export function wholeNumber(value: unknown, min: number, max: number): number | undefined {
  const isWithin = typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
  return isWithin && !Object.is(value, -0) ? value : undefined;
}
