/**
 * A JSON reader that remembers where everything stands, so that other people's files can be edited without being
 * re-encoded. It works on bytes: offsets are byte offsets, and nothing it is given is ever changed.
 * Grammar: RFC 8259, exactly what JSON.parse accepts. Malformed UTF-8 inside strings is tolerated (as Go's
 * encoding/json does, which is what the runtimes read these files with) and read as U+FFFD.
 */

/** So many objects and arrays within each other are accepted; conflists have about five. */
export const MAX_JSON_DEPTH = 128;

type Span = {
  /** Offset of the value's first byte. */
  readonly start: number;
  /** Offset behind the value's last byte. */
  readonly end: number;
};

/** Keys may repeat; `findMember` gives the last one, as Go's and JavaScript's decoders do. */
export type JsonMember = { readonly key: string; readonly keyStart: number; readonly value: JsonNode };

export type JsonObjectNode = Span & { readonly kind: "object"; readonly members: readonly JsonMember[] };
export type JsonArrayNode = Span & { readonly kind: "array"; readonly items: readonly JsonNode[] };
export type JsonStringNode = Span & { readonly kind: "string"; readonly value: string };
export type JsonNode =
  | JsonObjectNode
  | JsonArrayNode
  | JsonStringNode
  | (Span & { readonly kind: "number"; readonly text: string })
  | (Span & { readonly kind: "boolean"; readonly value: boolean })
  | (Span & { readonly kind: "null" });

/** The bytes are no JSON document. `offset` is where reading stopped. */
export class JsonScanError extends Error {
  override readonly name = "JsonScanError";
  readonly code: "not-json" | "too-deep";
  readonly offset: number;

  constructor(code: JsonScanError["code"], offset: number, message: string) {
    super(`${message} at byte ${offset}`);
    this.code = code;
    this.offset = offset;
  }
}

/**
 * Reads one JSON document that fills `bytes` but for white space. The caller bounds the size.
 * @throws JsonScanError when it is no JSON or nested deeper than `maxDepth`
 */
export function scanJson(bytes: Uint8Array, maxDepth = MAX_JSON_DEPTH): JsonNode {
  return new Scanner(bytes, maxDepth).document();
}

/** The value of the last member of that name, or undefined; also undefined when `node` is no object. */
export function findMember(node: JsonNode | undefined, key: string): JsonNode | undefined {
  if (node?.kind !== "object") return undefined;
  return node.members.findLast((member) => member.key === key)?.value;
}

const LF = 0x0a;
const CR = 0x0d;
const TAB = 0x09;
const SPACE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;
const LITERAL_BYTES = new Set(Array.from("-+.0123456789abcdefghijklmnopqrstuvwxyzE", (char) => char.charCodeAt(0)));

class Scanner {
  readonly #bytes: Uint8Array;
  readonly #maxDepth: number;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #at = 0;

  constructor(bytes: Uint8Array, maxDepth: number) {
    this.#bytes = bytes;
    this.#maxDepth = maxDepth;
  }

  document(): JsonNode {
    this.#skipWhiteSpace();
    const root = this.#value(0);
    this.#skipWhiteSpace();
    if (this.#at < this.#bytes.length) throw this.#unexpected("the end");
    return root;
  }

  #value(depth: number): JsonNode {
    const first = this.#bytes[this.#at];
    if (first === QUOTE) return this.#string();
    if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return this.#literal();
    if (depth >= this.#maxDepth) {
      throw new JsonScanError("too-deep", this.#at, `Cannot read JSON nested deeper than ${this.#maxDepth} levels`);
    }
    return first === OPEN_BRACE ? this.#object(depth) : this.#array(depth);
  }

  #object(depth: number): JsonNode {
    const start = this.#at++;
    const members: JsonMember[] = [];
    this.#skipWhiteSpace();
    while (this.#bytes[this.#at] !== CLOSE_BRACE) {
      if (members.length > 0) this.#expect(COMMA, "',' or '}'");
      if (this.#bytes[this.#at] !== QUOTE) throw this.#unexpected("a key");
      const key = this.#string();
      this.#skipWhiteSpace();
      this.#expect(COLON, "':'");
      members.push({ key: key.value, keyStart: key.start, value: this.#value(depth + 1) });
      this.#skipWhiteSpace();
    }
    return { kind: "object", members, start, end: ++this.#at };
  }

  #array(depth: number): JsonNode {
    const start = this.#at++;
    const items: JsonNode[] = [];
    this.#skipWhiteSpace();
    while (this.#bytes[this.#at] !== CLOSE_BRACKET) {
      if (items.length > 0) this.#expect(COMMA, "',' or ']'");
      items.push(this.#value(depth + 1));
      this.#skipWhiteSpace();
    }
    return { kind: "array", items, start, end: ++this.#at };
  }

  #string(): JsonStringNode {
    const start = this.#at++;
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined || byte < SPACE) throw this.#unexpected("the end of a string");
      this.#at += byte === BACKSLASH ? 2 : 1;
      if (byte === QUOTE) break;
    }
    return { kind: "string", value: this.#decodeString(start), start, end: this.#at };
  }

  #decodeString(start: number): string {
    const text = this.#text(start);
    try {
      return String(JSON.parse(text));
    } catch {
      throw new JsonScanError("not-json", start, "Cannot read JSON: invalid escape in a string");
    }
  }

  #literal(): JsonNode {
    const start = this.#at;
    while (LITERAL_BYTES.has(this.#bytes[this.#at] ?? 0)) this.#at++;
    const text = this.#text(start);
    const span = { start, end: this.#at };
    if (text === "true" || text === "false") return { kind: "boolean", value: text === "true", ...span };
    if (text === "null") return { kind: "null", ...span };
    if (NUMBER.test(text)) return { kind: "number", text, ...span };
    this.#at = start;
    throw this.#unexpected("a value");
  }

  #expect(byte: number, what: string): void {
    if (this.#bytes[this.#at] !== byte) throw this.#unexpected(what);
    this.#at++;
    this.#skipWhiteSpace();
  }

  #skipWhiteSpace(): void {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte !== SPACE && byte !== LF && byte !== CR && byte !== TAB) return;
      this.#at++;
    }
  }

  #text(start: number): string {
    return this.#decoder.decode(this.#bytes.subarray(start, this.#at));
  }

  #unexpected(expected: string): JsonScanError {
    const byte = this.#bytes[this.#at];
    const found = byte === undefined ? "the end" : `byte 0x${byte.toString(16).padStart(2, "0")}`;
    return new JsonScanError("not-json", this.#at, `Cannot read JSON: expected ${expected}, found ${found}`);
  }
}
