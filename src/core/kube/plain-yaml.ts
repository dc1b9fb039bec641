/**
 * A strict reader for the YAML of kubeconfigs and of Helm values: mappings and sequences in block and in flow form (JSON
 * among them) of one-line scalars. Whatever else YAML has (anchors, tags, block and folded scalars, several documents) is an
 * error that says so, never a guess. Why no library: docs/dependencies.md.
 */

import { cutText } from "../short-text.ts";
import { printable } from "../text-columns.ts";

/** Scalars stay text: who reads a field knows its type. Mappings have no prototype. */
export type PlainYaml = string | null | readonly PlainYaml[] | { readonly [key: string]: PlainYaml };

/** Text outside the subset; `line` counts from 1. */
export class PlainYamlError extends Error {
  readonly code = "PLAIN_YAML_UNSUPPORTED";
  readonly line: number;
  /** What the line does, as the end of a sentence. */
  readonly detail: string;

  constructor(line: number, detail: string) {
    super(`Cannot read YAML: line ${line} ${detail}; accepted are ${PLAIN_YAML_ACCEPTED}`);
    this.name = "PlainYamlError";
    this.line = line;
    this.detail = detail;
  }
}

/** For messages. */
export const PLAIN_YAML_ACCEPTED = "block and flow mappings and sequences of one-line scalars, or JSON";

export type PlainYamlOptions = {
  /** Refuse scalars without quotes that YAML takes for something else than their text (`yes`, `1.10`, `010`, `0x1f`), so
   * that readers of other versions would see another value. @default false */
  readonly refusesAmbiguous?: boolean;
};

const MAX_DEPTH = 32;

type Line = { readonly indent: number; readonly isTabbed: boolean; readonly text: string; readonly number: number };
type Cursor = { readonly lines: Line[]; at: number; readonly options: PlainYamlOptions };

/**
 * The document; an empty one is null.
 * @throws PlainYamlError for everything outside the subset.
 */
export function parsePlainYaml(text: string, options: PlainYamlOptions = {}): PlainYaml {
  const cursor: Cursor = { lines: splitLines(text), at: 0, options };
  if (cursor.lines.length === 0) return null;
  const value = parseBlock(cursor, 0);
  const rest = cursor.lines[cursor.at];
  if (rest !== undefined) throw new PlainYamlError(rest.number, "is indented unlike the lines around it");
  return value;
}

function splitLines(text: string): Line[] {
  const lines: Line[] = [];
  for (const [index, raw] of text
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .entries()) {
    const number = index + 1;
    const content = raw.trimStart();
    if (content === "" || content.startsWith("#")) continue;
    const indent = raw.length - content.length;
    if (indent === 0 && /^---(\s|$)/.test(content)) {
      if (lines.length > 0) throw new PlainYamlError(number, "begins another document");
      if (!/^---\s*(?:#|$)/.test(content)) throw new PlainYamlError(number, "has text after ---");
      continue;
    }
    lines.push({ indent, isTabbed: raw.slice(0, indent).includes("\t"), text: content.trimEnd(), number });
  }
  return lines;
}

function parseBlock(cursor: Cursor, depth: number): PlainYaml {
  const first = cursor.lines[cursor.at];
  if (first === undefined) return null;
  checkDepth(first, depth);
  checkIndent(first);
  if (isSequenceItem(first.text)) return parseSequence(cursor, first.indent, depth);
  if (splitKey(first, cursor.options) !== undefined) return parseMapping(cursor, first.indent, depth);
  return parseValue(cursor, first.text, depth);
}

function parseSequence(cursor: Cursor, indent: number, depth: number): PlainYaml[] {
  const items: PlainYaml[] = [];
  for (;;) {
    const line = cursor.lines[cursor.at];
    if (line === undefined || line.indent !== indent || !isSequenceItem(line.text)) return items;
    checkIndent(line);
    const content = line.text.slice(1).trimStart();
    if (content === "" || content.startsWith("#")) {
      cursor.at += 1;
      items.push(parseNested(cursor, indent + 1, depth));
      continue;
    }
    // "- a: 1" is a mapping whose first line stands further right: rewrite it as that line and read on.
    cursor.lines[cursor.at] = { ...line, indent: indent + line.text.length - content.length, text: content };
    items.push(parseBlock(cursor, depth + 1));
  }
}

function parseMapping(cursor: Cursor, indent: number, depth: number): { [key: string]: PlainYaml } {
  const mapping: { [key: string]: PlainYaml } = Object.create(null);
  for (;;) {
    const line = cursor.lines[cursor.at];
    if (line === undefined || line.indent !== indent || isSequenceItem(line.text)) return mapping;
    checkIndent(line);
    const entry = splitKey(line, cursor.options);
    if (entry === undefined) throw new PlainYamlError(line.number, "is neither a key nor a sequence item");
    if (Object.hasOwn(mapping, entry.key)) throw new PlainYamlError(line.number, `repeats the key ${shown(entry.key)}`);
    if (entry.rest !== "") {
      mapping[entry.key] = parseValue(cursor, entry.rest, depth);
      continue;
    }
    cursor.at += 1;
    const next = cursor.lines[cursor.at];
    // kubectl writes the items of a sequence at the indent of its key.
    const isFlush = next !== undefined && next.indent === indent && isSequenceItem(next.text);
    mapping[entry.key] = parseNested(cursor, isFlush ? indent : indent + 1, depth);
  }
}

function parseNested(cursor: Cursor, minIndent: number, depth: number): PlainYaml {
  const next = cursor.lines[cursor.at];
  return next === undefined || next.indent < minIndent ? null : parseBlock(cursor, depth + 1);
}

function isSequenceItem(text: string): boolean {
  return text === "-" || /^-[ \t]/.test(text);
}

const QUOTED = /"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'/y;

function splitKey(line: Line, options: PlainYamlOptions): { key: string; rest: string } | undefined {
  const quoted = matchAt(QUOTED, line.text, 0);
  const rawKey = quoted ?? /^[^\s:#"'{}[\],&*!|>%@`?-](?:[^:#]|:(?!\s|$))*(?=:(?:\s|$))/.exec(line.text)?.[0];
  if (rawKey === undefined) return undefined;
  const after = line.text.slice(rawKey.length).trimStart();
  if (!/^:(?:\s|$)/.test(after)) return undefined;
  const rest = after.slice(1).trimStart();
  const key = quoted === undefined ? plainText(rawKey.trimEnd(), line.number, options) : unquote(quoted, line.number);
  return { key, rest: rest.startsWith("#") ? "" : rest };
}

/** The value that begins with `text` on the cursor's line; the cursor goes behind it. */
function parseValue(cursor: Cursor, text: string, depth: number): PlainYaml {
  const line = cursor.lines[cursor.at];
  if (line === undefined) return null;
  if (text.startsWith("{") || text.startsWith("[")) return parseFlow(cursor, text, depth);
  cursor.at += 1;
  return parseScalar(line.number, text, cursor.options);
}

function parseScalar(number: number, text: string, options: PlainYamlOptions): PlainYaml {
  const quoted = matchAt(QUOTED, text, 0);
  if (quoted !== undefined) {
    if (!isOver(text.slice(quoted.length))) throw new PlainYamlError(number, "has text after a quote");
    return unquote(quoted, number);
  }
  const comment = text.search(/[ \t]#/);
  const plain = (comment < 0 ? text : text.slice(0, comment)).trimEnd();
  if (/:(\s|$)/.test(plain)) throw new PlainYamlError(number, "has a colon within a value that is not quoted");
  return parsePlain(plain, number, options);
}

/** A scalar without quotes, wherever it stands. */
function parsePlain(plain: string, number: number, options: PlainYamlOptions): string | null {
  if (/^(?:null|Null|NULL|~)$/.test(plain)) return null;
  if (/^(?:[&*!|>%@`"'{}[\],]|[-?](?:\s|$))/.test(plain))
    throw new PlainYamlError(number, `has a value that begins with ${shown(plain.slice(0, 1))}`);
  return plainText(plain, number, options);
}

const OTHER_BOOLEANS = /^(?:y|n|yes|no|on|off|true|false)$/i;
/** Numbers (hexadecimal, octal, binary, with exponent, sexagesimal) and dates of YAML 1.1 and 1.2. */
const NUMBER_LIKE =
  /^(?:[-+]?(?:0x[0-9a-f_]+|0o[0-7_]+|0b[01_]+|(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:e[-+]?[0-9]+)?|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|\.(?:inf|nan))|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[t\s].*)?)$/i;

/** Its text, unless another reader would see another value and the options forbid that. */
function plainText(plain: string, number: number, options: PlainYamlOptions): string {
  if (options.refusesAmbiguous !== true || plain === "true" || plain === "false") return plain;
  const isSameForAll = /^(?:0|-?[1-9][0-9]{0,14})(?:\.[0-9]{0,5}[1-9])?$/.test(plain);
  if (OTHER_BOOLEANS.test(plain) || (NUMBER_LIKE.test(plain) && !isSameForAll))
    throw new PlainYamlError(
      number,
      `has ${shown(plain.slice(0, 40))} without quotes, which YAML may take for another value`,
    );
  return plain;
}

function unquote(quoted: string, number: number): string {
  if (quoted.startsWith("'")) return quoted.slice(1, -1).replaceAll("''", "'");
  try {
    // Double-quoted YAML and JSON agree on the escapes that occur in practice; the others fail here.
    const value: unknown = JSON.parse(quoted);
    if (typeof value === "string") return value;
  } catch {
    // The error below says it.
  }
  throw new PlainYamlError(number, "has a quoted text with an escape that is not JSON's");
}

/** No token spans lines, so a reader of flow text sees one line at a time. */
type FlowReader = { readonly cursor: Cursor; text: string; at: number; number: number };

const FLOW_PLAIN = /(?:[^\s,[\]{}:#"'&*!|>%@`?-]|-(?![\s,[\]{}]|$))(?:[^,[\]{}:#]|:(?![\s,[\]{}]|$)|(?<!\s)#)*/y;

/** A flow collection from `text` on, over as many lines as it has. */
function parseFlow(cursor: Cursor, text: string, depth: number): PlainYaml {
  const reader: FlowReader = { cursor, text, at: 0, number: cursor.lines[cursor.at]?.number ?? 0 };
  const value = parseFlowValue(reader, depth);
  if (!isOver(reader.text.slice(reader.at)))
    throw new PlainYamlError(reader.number, "has text after a closing bracket");
  cursor.at += 1;
  return value;
}

function parseFlowValue(reader: FlowReader, depth: number): PlainYaml {
  checkDepth(reader, depth);
  if (take(reader, "[")) {
    const items: PlainYaml[] = [];
    while (!endsFlow(reader, "]", items.length)) items.push(parseFlowValue(reader, depth + 1));
    return items;
  }
  if (!take(reader, "{")) return flowScalar(reader);
  const mapping: { [key: string]: PlainYaml } = Object.create(null);
  for (let count = 0; !endsFlow(reader, "}", count); count++) {
    const { number } = reader;
    const key = flowScalar(reader);
    skipGap(reader);
    if (key === null || !take(reader, ":")) throw new PlainYamlError(number, "has a key without a value");
    if (Object.hasOwn(mapping, key)) throw new PlainYamlError(number, `repeats the key ${shown(key)}`);
    skipGap(reader);
    const isEmpty = /[,}]/.test(reader.text.charAt(reader.at));
    mapping[key] = isEmpty ? null : parseFlowValue(reader, depth + 1);
  }
  return mapping;
}

function flowScalar(reader: FlowReader): string | null {
  const { at, number, text, cursor } = reader;
  const quoted = matchAt(QUOTED, text, at);
  const found = quoted ?? matchAt(FLOW_PLAIN, text, at);
  if (found === undefined) throw unexpected(reader, "a value");
  reader.at += found.length;
  return quoted === undefined ? parsePlain(found.trimEnd(), number, cursor.options) : unquote(quoted, number);
}

/** True behind the closing bracket; otherwise in front of the next entry. */
function endsFlow(reader: FlowReader, bracket: string, entries: number): boolean {
  skipGap(reader);
  if (take(reader, bracket)) return true;
  if (entries === 0) return false;
  if (!take(reader, ",")) throw unexpected(reader, `, or ${bracket}`);
  skipGap(reader);
  return take(reader, bracket);
}

function unexpected(reader: FlowReader, wanted: string): PlainYamlError {
  const found = reader.text.charAt(reader.at);
  if (found === "") return new PlainYamlError(reader.number, "is the last and leaves a bracket open");
  const detail = /["']/.test(found) ? "a quoted text without its end" : `${shown(found)} where ${wanted} is expected`;
  return new PlainYamlError(reader.number, `has ${detail}`);
}

/** Of the text, for a message. */
function shown(text: string): string {
  return printable(cutText(text, 80));
}

function take(reader: FlowReader, character: string): boolean {
  if (reader.text.charAt(reader.at) !== character) return false;
  reader.at += 1;
  return true;
}

/** Skips blanks and comments, going on to the next line where this one ends. */
function skipGap(reader: FlowReader): void {
  const { cursor } = reader;
  for (;;) {
    reader.at += matchAt(FLOW_GAP, reader.text, reader.at)?.length ?? 0;
    const next = cursor.lines[cursor.at + 1];
    if (reader.at < reader.text.length || next === undefined) return;
    cursor.at += 1;
    reader.text = next.text;
    reader.at = 0;
    reader.number = next.number;
  }
}

const FLOW_GAP = /\s+(?:#.*)?/y;

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

/** Nothing or a comment. */
function isOver(rest: string): boolean {
  return /^\s*$|^\s+#/.test(rest);
}

function checkDepth({ number }: { readonly number: number }, depth: number): void {
  if (depth > MAX_DEPTH) throw new PlainYamlError(number, `is nested deeper than ${MAX_DEPTH}`);
}

function checkIndent({ isTabbed, number }: Line): void {
  if (isTabbed) throw new PlainYamlError(number, "is indented by a tab");
}
