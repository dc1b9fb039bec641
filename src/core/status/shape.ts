/**
 * Shapes of plain data: one definition is the TypeScript type of a document and the reader that makes it out of parsed
 * JSON. For documents that one of our programs writes and another one reads, perhaps of another version.
 */

import { isRecord } from "../json-value.ts";

/** Reads a value that came from outside. Keys that it does not know are left out. */
export interface Shape<out T> {
  /** @param path where in the document, for the error. @throws {ShapeError} */
  read(value: unknown, path: string): T;
}

export type TypeOf<S> = S extends Shape<infer T> ? T : never;

/** A document that is not what it should be; the message names the place and what was expected there. */
export class ShapeError extends Error {
  override readonly name = "ShapeError";
  readonly path: string;

  constructor(path: string, expected: string) {
    super(`Cannot read the document: ${path === "" ? "it" : path} is not ${expected}`);
    this.path = path;
  }
}

export const TEXT: Shape<string> = primitive("a text", (value) => typeof value === "string");
export const NUMBER: Shape<number> = primitive("a number", (value) => typeof value === "number");
export const FLAG: Shape<boolean> = primitive("true or false", (value) => typeof value === "boolean");

/** Exactly this value. */
export function exactly<const V extends string | number>(wanted: V): Shape<V> {
  return primitive(JSON.stringify(wanted), (value): value is V => value === wanted);
}

/** One of a closed set of words. */
export function oneOf<const W extends string>(words: readonly W[]): Shape<W> {
  return primitive(`one of ${words.join(", ")}`, (value): value is W => words.some((word) => word === value));
}

/** Keys are always there, so that programs need not ask; null where there is nothing to tell. */
export function orNull<T>(shape: Shape<T>): Shape<T | null> {
  return { read: (value, path) => (value === null ? null : shape.read(value, path)) };
}

export function listOf<T>(item: Shape<T>): Shape<readonly T[]> {
  return {
    read(value, path) {
      if (!Array.isArray(value)) throw new ShapeError(path, "a list");
      return value.map((entry: unknown, index) => item.read(entry, `${path}[${index}]`));
    },
  };
}

/** An object with these keys. */
export function object<F extends Readonly<Record<string, Shape<unknown>>>>(
  fields: F,
): Shape<{ readonly [K in keyof F]: TypeOf<F[K]> }> {
  return {
    read(value, path) {
      if (!isRecord(value)) throw new ShapeError(path, "an object");
      const entries = Object.entries(fields).map(([key, shape]) => {
        const place = path === "" ? key : `${path}.${key}`;
        return [key, shape.read(Object.hasOwn(value, key) ? value[key] : undefined, place)];
      });
      // Key by key what F says.
      return Object.fromEntries(entries) as { readonly [K in keyof F]: TypeOf<F[K]> };
    },
  };
}

/** The first that fits; what is wrong is told of the last. */
export function either<A, B>(first: Shape<A>, second: Shape<B>): Shape<A | B> {
  return {
    read(value, path) {
      try {
        return first.read(value, path);
      } catch (error) {
        if (error instanceof ShapeError) return second.read(value, path);
        throw error;
      }
    },
  };
}

function primitive<T>(expected: string, isRight: (value: unknown) => value is T): Shape<T> {
  return {
    read(value, path) {
      if (isRight(value)) return value;
      throw new ShapeError(path, expected);
    },
  };
}
