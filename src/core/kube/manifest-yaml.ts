/**
 * The documents of a manifest as people and kubectl write them, JSON or YAML: what plain-yaml.ts reads, and besides several
 * documents, block scalars and scalars over several lines, which are made one-line scalars first. Anchors, aliases and tags
 * stay errors that say so. Line numbers in errors are those of the whole text.
 */

import { type PlainYaml, PlainYamlError, parsePlainYaml } from "./plain-yaml.ts";

/** What may be wanted of a text that is no manifest; also for messages. */
export const MANIFEST_ACCEPTED =
  "JSON, or YAML without anchors, aliases and tags, in one or several documents (separated by ---)";

const MAX_DOCUMENTS = 1000;
const BLOCK_HEADER = /^([|>])(?:([+-])?([1-9])?|([1-9])([+-]))\s*(?:#.*)?$/;
const KEY = /^(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s:#"'{}[\],&*!|>%@`?-](?:[^:#]|:(?!\s|$))*?)\s*:(?=\s|$)/;

/**
 * One value for each document that is not empty.
 * @throws PlainYamlError for what is neither.
 */
export function parseManifestText(text: string): PlainYaml[] {
  const documents = splitDocuments(text.replace(/^\ufeff/, "").split(/\r?\n/));
  return documents.flatMap(({ firstLine, lines }) => {
    const json = parseJson(lines);
    if (json !== undefined) return [json];
    // Blank lines in front keep the numbers.
    const value = parsePlainYaml(`${"\n".repeat(firstLine)}${flatten(lines, firstLine).join("\n")}`);
    return value === null ? [] : [value];
  });
}

type Document = { readonly firstLine: number; readonly lines: readonly string[] };

function splitDocuments(lines: readonly string[]): Document[] {
  const documents: Document[] = [];
  let start = 0;
  const end = (at: number): void => {
    if (lines.slice(start, at).some((line) => /^\s*[^\s#]/.test(line))) {
      documents.push({ firstLine: start, lines: lines.slice(start, at) });
      if (documents.length > MAX_DOCUMENTS) throw new PlainYamlError(start + 1, `begins document ${MAX_DOCUMENTS + 1}`);
    }
    start = at + 1;
  };
  for (const [at, line] of lines.entries()) if (/^(?:---|\.\.\.)\s*(?:#.*)?$/.test(line)) end(at);
  end(lines.length);
  return documents;
}

/** Scalars become texts, as in YAML: who reads a field knows its type. Undefined: it is no JSON. */
function parseJson(lines: readonly string[]): PlainYaml | undefined {
  const text = lines.join("\n");
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return toTexts(JSON.parse(text) as unknown);
  } catch {
    // Flow YAML looks the same.
    return undefined;
  }
}

function toTexts(value: unknown): PlainYaml {
  if (value === null || typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(toTexts);
  if (typeof value !== "object") return String(value);
  const record: { [key: string]: PlainYaml } = Object.create(null);
  for (const [key, entry] of Object.entries(value)) record[key] = toTexts(entry);
  return record;
}

/** The same lines with every scalar on one; those that are used up are blank. */
function flatten(lines: readonly string[], firstLine: number): string[] {
  const flat: string[] = [];
  for (let at = 0; at < lines.length; ) {
    const line = lines[at] ?? "";
    const { prefix, value, indent } = splitLine(line);
    const scalar = value === "" ? undefined : readScalar(lines, at, value, indent, firstLine);
    const used = scalar?.used ?? 1;
    flat.push(scalar?.text === undefined ? line : prefix + scalar.text);
    // Of a flow collection every line stays as it is.
    for (let behind = 1; behind < used; behind++)
      flat.push(scalar?.text === undefined ? (lines[at + behind] ?? "") : "");
    at += used;
  }
  return flat;
}

/** What stands before a line's value, the value, and the indent that a continuation of it has to exceed. */
function splitLine(line: string): { prefix: string; value: string; indent: number } {
  const blanks = line.length - line.trimStart().length;
  let at = blanks;
  let indent = blanks - 1;
  if (line[at] === "#") return { prefix: line, value: "", indent };
  for (;;) {
    const dash = /^-(?:\s+|$)/.exec(line.slice(at))?.[0];
    if (dash === undefined) break;
    indent = at;
    at += dash.length;
  }
  const key = KEY.exec(line.slice(at))?.[0];
  if (key !== undefined) {
    indent = at;
    at += key.length;
    at += line.slice(at).length - line.slice(at).trimStart().length;
  }
  const value = line.slice(at).trimEnd();
  return { prefix: line.slice(0, at), value: value.startsWith("#") ? "" : value, indent };
}

/** `text` undefined: the lines stay as they are. */
type Scalar = { readonly text: string | undefined; readonly used: number };

function readScalar(
  lines: readonly string[],
  at: number,
  value: string,
  indent: number,
  firstLine: number,
): Scalar | undefined {
  const block = BLOCK_HEADER.exec(value);
  if (block !== null) {
    const [, style = "|", chomp = block[5] ?? "", digit = block[4]] = block;
    return readBlock(lines, at, indent, { style, chomp, given: digit === undefined ? undefined : Number(digit) });
  }
  if (value.startsWith('"') || value.startsWith("'")) return readQuoted(lines, at, value, firstLine);
  if (value.startsWith("[") || value.startsWith("{")) return { text: undefined, used: flowLines(lines, at, value) };
  return /^[&*!%@`]/.test(value) ? undefined : readPlain(lines, at, value, indent);
}

function indentOf(line: string): number {
  return line.length - line.trimStart().length;
}

type BlockStyle = { readonly style: string; readonly chomp: string; readonly given: number | undefined };

/** A literal (|) or folded (>) block: the lines that are indented further than what it belongs to. */
function readBlock(lines: readonly string[], at: number, indent: number, { style, chomp, given }: BlockStyle): Scalar {
  const parent = Math.max(0, indent);
  let used = 1;
  while (at + used < lines.length) {
    const line = lines[at + used] ?? "";
    if (line.trim() !== "" && indentOf(line) <= indent) break;
    used += 1;
  }
  const body = lines.slice(at + 1, at + used);
  const inner = given === undefined ? indentOf(body.find((line) => line.trim() !== "") ?? "") : parent + given;
  const content = body.map((line) => line.slice(Math.min(inner, indentOf(line))));
  const kept = content.findLastIndex((line) => line !== "") + 1;
  const text = style === "|" ? content.slice(0, kept).join("\n") : foldBlock(content.slice(0, kept));
  const breaks = chomp === "-" || kept === 0 ? 0 : chomp === "+" ? Math.max(1, content.length - kept + 1) : 1;
  return { text: JSON.stringify(text + "\n".repeat(breaks)), used };
}

/** Lines become one, but for blank lines and lines that are indented further (YAML 1.2, 8.1.3). */
function foldBlock(content: readonly string[]): string {
  let text = "";
  for (const [at, line] of content.entries()) {
    const before = content[at - 1];
    if (before === undefined) text += line;
    else if (line === "") text += "\n";
    else if (/^\s/.test(line) || /^\s/.test(before)) text += `\n${line}`;
    else text += before === "" ? line : ` ${line}`;
  }
  return text;
}

function readQuoted(lines: readonly string[], at: number, value: string, firstLine: number): Scalar | undefined {
  const isDouble = value.startsWith('"');
  const pieces = [value];
  let end = endOfQuoted(value, 1, isDouble);
  while (end === undefined) {
    const next = lines[at + pieces.length];
    if (next === undefined) throw new PlainYamlError(firstLine + at + 1, "has a quoted text without its end");
    pieces.push(next);
    end = endOfQuoted(next, 0, isDouble);
  }
  const behind = (pieces.at(-1) ?? "").length - end;
  const whole = pieces.join("\n");
  const quoted = whole.slice(0, whole.length - behind);
  const rest = whole.slice(whole.length - behind);
  // One line of a form that JSON has too is left to the reader behind us.
  if (pieces.length === 1 && (!isDouble || !/\\[^"\\/bfnrtu]/.test(quoted))) return undefined;
  const inner = quoted.slice(1, -1);
  const text = isDouble ? decodeEscapes(foldFlow(inner), firstLine + at + 1) : foldFlow(inner).replaceAll("''", "'");
  return { text: `${JSON.stringify(text)}${rest}`, used: pieces.length };
}

/** Where the line goes on behind the closing quote; undefined: it is in another line. */
function endOfQuoted(line: string, from: number, isDouble: boolean): number | undefined {
  for (let at = from; at < line.length; at++) {
    const character = line.charAt(at);
    if (isDouble && character === "\\") at += 1;
    else if (isDouble && character === '"') return at + 1;
    else if (!isDouble && character === "'") {
      if (line.charAt(at + 1) !== "'") return at + 1;
      at += 1;
    }
  }
  return undefined;
}

/** One line break is a blank, more are one less; blanks beside them do not count (YAML 1.2, 6.5). A break behind a backslash
 * is none. */
function foldFlow(text: string): string {
  const joined = text.replace(/((?:^|[^\\])(?:\\\\)*)\\\n[ \t]*/g, "$1");
  const [first = "", ...others] = joined.split("\n");
  if (others.length === 0) return joined;
  let folded = first.slice(0, endOfText(first));
  let breaks = 0;
  for (const [index, line] of others.entries()) {
    const isLast = index === others.length - 1;
    const piece = line.slice(startOfText(line), isLast ? line.length : Math.max(startOfText(line), endOfText(line)));
    breaks += 1;
    if (piece === "" && !isLast) continue;
    folded += (breaks === 1 ? " " : "\n".repeat(breaks - 1)) + piece;
    breaks = 0;
  }
  return folded;
}

/** Where the blanks at the beginning end. */
function startOfText(line: string): number {
  let at = 0;
  while (isBlank(line.charAt(at))) at += 1;
  return at;
}

/** Where the blanks at the end begin. A pattern for them would try every blank of a long run as the first. */
function endOfText(line: string): number {
  let at = line.length;
  while (isBlank(line.charAt(at - 1))) at -= 1;
  return at;
}

function isBlank(character: string): boolean {
  return character === " " || character === "\t";
}

const ESCAPES: Readonly<Record<string, string>> = {
  "0": "\0",
  a: "\x07",
  b: "\b",
  t: "\t",
  "\t": "\t",
  n: "\n",
  v: "\v",
  f: "\f",
  r: "\r",
  e: "\x1b",
  " ": " ",
  '"': '"',
  "/": "/",
  "\\": "\\",
  N: "\u0085",
  _: "\u00a0",
  L: "\u2028",
  P: "\u2029",
};

/** Escapes of YAML's double-quoted scalars (5.7). */
function decodeEscapes(text: string, line: number): string {
  return text.replace(/\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([\s\S]?))/g, (_, x, u, big, one) => {
    const digits: string | undefined = x ?? u ?? big;
    const code = digits === undefined ? undefined : Number.parseInt(digits, 16);
    if (code !== undefined && code <= 0x10ffff)
      return u === undefined ? String.fromCodePoint(code) : String.fromCharCode(code);
    const known = typeof one === "string" && Object.hasOwn(ESCAPES, one) ? ESCAPES[one] : undefined;
    if (known === undefined) throw new PlainYamlError(line, "has a quoted text with an escape that YAML does not know");
    return known;
  });
}

/** Lines of a flow collection until its brackets are closed; all of them where they never are. */
function flowLines(lines: readonly string[], at: number, value: string): number {
  let depth = 0;
  let quote = "";
  /** The last character of the line that is no blank: a quote begins a text behind these only. */
  let before = "";
  for (let used = 0; at + used < lines.length; used++) {
    const line = used === 0 ? value : (lines[at + used] ?? "");
    before = "";
    for (let position = 0; position < line.length; position++) {
      const character = line.charAt(position);
      if (quote !== "") {
        if (character === "\\" && quote === '"') position += 1;
        else if (character === quote) quote = "";
      } else if (/["']/.test(character) && (before === "" || "[{,:".includes(before))) quote = character;
      else if (character === "#" && /\s/.test(line.charAt(position - 1) || " ")) break;
      else if ("[{".includes(character)) depth += 1;
      else if ("]}".includes(character)) depth -= 1;
      if (!/\s/.test(character)) before = character;
    }
    if (depth <= 0) return used + 1;
  }
  return lines.length - at;
}

/** Goes on in every line that is indented further; a comment ends it. */
function readPlain(lines: readonly string[], at: number, value: string, indent: number): Scalar | undefined {
  if (/\s#/.test(value)) return undefined;
  let used = 1;
  for (let behind = 1; at + behind < lines.length; behind++) {
    const line = lines[at + behind] ?? "";
    if (line.trim() === "") continue;
    if (indentOf(line) <= indent || line.trimStart().startsWith("#")) break;
    used = behind + 1;
  }
  if (used === 1) return undefined;
  const text = foldFlow([value, ...lines.slice(at + 1, at + used)].join("\n")).trimEnd();
  // A key within would be read as text in silence: the lines stay as they are, all of them, for the reader behind us to refuse.
  // To try again from each of the lines would take the square of the time.
  return { text: /:(?:\s|$)/.test(text) ? undefined : JSON.stringify(text), used };
}
