/**
 * What must hold for every reader: nothing but its declared errors, each bounded, on one line, in the project's grammar; no
 * prototype changed; nothing that is much larger than the input. And the features by which inputs are told apart.
 */
import type { ErrorClass, Outcome } from "./fuzz-target.ts";

/** Reads an input; what it returns is looked at, undefined too. */
export type Parser = (input: Uint8Array) => unknown;

/** Longest message of an error: some are a list of twenty sentences. */
const MAX_MESSAGE = 8192;
/** And so much more where every option has a sentence of its own. */
const MAX_LISTED = 56 * 1024;
/** What was read may have so many parts for each byte read, and so many besides. */
const PARTS_PER_BYTE = 24;
const PARTS_BESIDES = 20_000;
const MAX_DEPTH = 12;

const PROTOTYPES = [Object.prototype, Array.prototype, Map.prototype, Set.prototype, Uint8Array.prototype];
const OWN_KEYS = PROTOTYPES.map((prototype) => Reflect.ownKeys(prototype).length);

/** A property that did not hold. */
export class BrokenProperty extends Error {
  override readonly name = "BrokenProperty";
}

/** @throws {BrokenProperty} */
export function holds(condition: boolean, property: string): asserts condition {
  if (!condition) throw new BrokenProperty(property);
}

/** Runs `parse` and judges what came of it. */
export function expectDeclared(input: Uint8Array, declared: readonly ErrorClass[], parse: Parser): Outcome {
  try {
    const features = featuresOf(parse(input), input.length);
    checkPrototypes();
    return { features };
  } catch (error) {
    const features = [`! ${skeletonOf(error)}`];
    try {
      checkPrototypes();
      if (!declared.some((known) => error instanceof known)) {
        return { features, failure: error instanceof Error ? error : new Error(String(error)) };
      }
      const { message } = error instanceof Error ? error : { message: "" };
      checkMessage(message, error);
      return { features };
    } catch (failure) {
      return { features, failure: failure instanceof Error ? failure : new Error(String(failure)) };
    }
  }
}

/** Of an error, what stays the same for inputs that fail alike. */
export function skeletonOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const code = "code" in error ? String(error.code) : "";
  const words = error.message
    .slice(0, 400)
    .replace(/"(?:[^"\\]|\\.)*"?/g, '""')
    .replace(/[0-9a-f]*[0-9][0-9a-f]*/gi, "#");
  return `${error.name} ${code} ${words}`.slice(0, 160);
}

/** Errors are read in logs, terminals and Events: never long, and none of the characters that end lines or strings there. What
 * prints them escapes the others (core/text-columns.ts). */
function checkMessage(message: string, error: unknown): void {
  // A configuration may be wrong in every option.
  const lists = typeof error === "object" && error !== null && "problems" in error ? MAX_LISTED : 0;
  holds(message.length <= MAX_MESSAGE + lists, `Unbounded: the message of an error has ${message.length} characters`);
  holds(message !== "", "Silent: an error says nothing");
  holds(!/[^\P{Cc}\n\x7f-\x9f]/u.test(message), "Raw: the message of an error has control characters");
}

function checkPrototypes(): void {
  for (const [index, prototype] of PROTOTYPES.entries()) {
    holds(Reflect.ownKeys(prototype).length === OWN_KEYS[index], "Pollution: a prototype has got another property");
  }
}

/** One feature for each place in what was read and what stands there, coarsely: never many, whatever the input. */
function featuresOf(value: unknown, inputBytes: number): string[] {
  const features = new Set<string>();
  const limit = PARTS_BESIDES + inputBytes * PARTS_PER_BYTE;
  let parts = 0;
  const walk = (part: unknown, path: string, depth: number): void => {
    parts += 1;
    holds(parts <= limit, `Unbounded: more than ${limit} parts were read of ${inputBytes} bytes`);
    features.add(`${path}=${tokenOf(part, WORD_KEYS.test(path))}`);
    if (typeof part !== "object" || part === null || part instanceof Uint8Array) return;
    checkOwnPrototype(part);
    if (depth === MAX_DEPTH) return;
    if (Array.isArray(part) || part instanceof Set) {
      for (const item of part) walk(item, `${path}[]`, depth + 1);
    } else if (part instanceof Map) {
      for (const [key, item] of part) walk(item, `${path}${keyOf(key)}`, depth + 1);
    } else {
      for (const [key, item] of Object.entries(part)) walk(item, `${path}${keyOf(key)}`, depth + 1);
    }
  };
  walk(value, "", 0);
  return [...features].slice(0, 4000);
}

/** A record whose prototype came out of the input would answer for keys that nobody gave it. */
function checkOwnPrototype(part: object): void {
  const prototype: unknown = Object.getPrototypeOf(part);
  const isPlain = prototype === null || prototype === Object.prototype || Array.isArray(part);
  holds(
    isPlain || (prototype as object).constructor !== Object,
    "Pollution: a record has got a prototype from the input",
  );
}

/** Keys that a program chose are told apart, those that may be an input's are not. */
function keyOf(key: unknown): string {
  return typeof key === "string" && /^[A-Za-z][A-Za-z0-9]{0,31}$/.test(key) ? `.${key}` : ".*";
}

/** Where the words of closed sets stand. */
const WORD_KEYS = /\.(?:kind|type|code|reason|mode|command|level|source|direction|decidedBy|hook|policy)$|^$/;

function tokenOf(part: unknown, isWord: boolean): string {
  if (typeof part === "string")
    return isWord && /^[A-Za-z][a-z-]{1,23}$/.test(part) ? part : `text ${sizeOf(part.length)}`;
  if (typeof part === "number" || typeof part === "bigint")
    return part < 0 ? "minus" : `number ${sizeOf(Number(part))}`;
  if (typeof part === "boolean") return String(part);
  if (part instanceof Uint8Array) return `bytes ${sizeOf(part.length)}`;
  if (Array.isArray(part)) return `list ${sizeOf(part.length)}`;
  if (part instanceof Map || part instanceof Set) return `set ${sizeOf(part.size)}`;
  return part === null ? "null" : typeof part;
}

function sizeOf(size: number): number {
  return size <= 2 ? Math.round(size) : Math.ceil(Math.log2(size)) + 2;
}
