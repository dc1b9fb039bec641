/**
 * A strict reader for the YAML that kubeconfig files are written in: block mappings and sequences of
 * one-line scalars, `{}` and `[]`. Whatever else YAML has (anchors, tags, flow collections with content,
 * block and folded scalars, several documents) is an error that says so, never a guess.
 */

/** Scalars stay text: who reads a field knows its type. Mappings have no prototype. */
export type BlockYaml = string | null | readonly BlockYaml[] | { readonly [key: string]: BlockYaml };

/** Text outside the subset; `line` counts from 1. */
export class BlockYamlError extends Error {
  readonly code = "BLOCK_YAML_UNSUPPORTED";
  readonly line: number;

  constructor(line: number, detail: string) {
    super(`Cannot read YAML: line ${line} ${detail}; accepted are block mappings and sequences of one-line scalars`);
    this.name = "BlockYamlError";
    this.line = line;
  }
}

const MAX_DEPTH = 32;

type Line = { readonly indent: number; readonly text: string; readonly number: number };
type Cursor = { readonly lines: Line[]; at: number };

/**
 * The document; an empty one is null.
 * @throws BlockYamlError for everything outside the subset.
 */
export function parseBlockYaml(text: string): BlockYaml {
  const cursor: Cursor = { lines: splitLines(text), at: 0 };
  if (cursor.lines.length === 0) return null;
  const value = parseBlock(cursor, 0);
  const rest = cursor.lines[cursor.at];
  if (rest !== undefined) throw new BlockYamlError(rest.number, "is indented unlike the lines around it");
  return value;
}

function splitLines(text: string): Line[] {
  const lines: Line[] = [];
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const number = index + 1;
    const content = raw.trimStart();
    if (content === "" || content.startsWith("#")) continue;
    const indent = raw.length - content.length;
    if (raw.slice(0, indent).includes("\t")) throw new BlockYamlError(number, "is indented by a tab");
    if (indent === 0 && /^---(\s|$)/.test(content)) {
      if (lines.length > 0) throw new BlockYamlError(number, "begins another document");
      if (content.trimEnd() !== "---") throw new BlockYamlError(number, "has text after ---");
      continue;
    }
    lines.push({ indent, text: content.trimEnd(), number });
  }
  return lines;
}

function parseBlock(cursor: Cursor, depth: number): BlockYaml {
  const first = cursor.lines[cursor.at];
  if (first === undefined) return null;
  if (depth > MAX_DEPTH) throw new BlockYamlError(first.number, `is nested deeper than ${MAX_DEPTH}`);
  if (isSequenceItem(first.text)) return parseSequence(cursor, first.indent, depth);
  if (splitKey(first) !== undefined) return parseMapping(cursor, first.indent, depth);
  cursor.at += 1;
  return parseScalar(first, first.text);
}

function parseSequence(cursor: Cursor, indent: number, depth: number): BlockYaml[] {
  const items: BlockYaml[] = [];
  for (;;) {
    const line = cursor.lines[cursor.at];
    if (line === undefined || line.indent !== indent || !isSequenceItem(line.text)) return items;
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

function parseMapping(cursor: Cursor, indent: number, depth: number): { [key: string]: BlockYaml } {
  const mapping: { [key: string]: BlockYaml } = Object.create(null);
  for (;;) {
    const line = cursor.lines[cursor.at];
    if (line === undefined || line.indent !== indent || isSequenceItem(line.text)) return mapping;
    const entry = splitKey(line);
    if (entry === undefined) throw new BlockYamlError(line.number, "is neither a key nor a sequence item");
    if (Object.hasOwn(mapping, entry.key)) throw new BlockYamlError(line.number, `repeats the key ${entry.key}`);
    cursor.at += 1;
    if (entry.rest !== "") {
      mapping[entry.key] = parseScalar(line, entry.rest);
      continue;
    }
    const next = cursor.lines[cursor.at];
    // kubectl writes the items of a sequence at the indent of its key.
    const isFlush = next !== undefined && next.indent === indent && isSequenceItem(next.text);
    mapping[entry.key] = parseNested(cursor, isFlush ? indent : indent + 1, depth);
  }
}

function parseNested(cursor: Cursor, minIndent: number, depth: number): BlockYaml {
  const next = cursor.lines[cursor.at];
  return next === undefined || next.indent < minIndent ? null : parseBlock(cursor, depth + 1);
}

function isSequenceItem(text: string): boolean {
  return text === "-" || text.startsWith("- ");
}

const QUOTED = /^(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')/;

function splitKey(line: Line): { key: string; rest: string } | undefined {
  const quoted = QUOTED.exec(line.text)?.[0];
  const rawKey = quoted ?? /^[^\s:#"'{}[\],&*!|>%@`?-][^:#]*?(?=\s*:(?:\s|$))/.exec(line.text)?.[0];
  if (rawKey === undefined) return undefined;
  const after = line.text.slice(rawKey.length).trimStart();
  if (!/^:(?:\s|$)/.test(after)) return undefined;
  const rest = after.slice(1).trimStart();
  return { key: quoted === undefined ? rawKey : unquote(line, quoted), rest: rest.startsWith("#") ? "" : rest };
}

function parseScalar(line: Line, text: string): BlockYaml {
  const quoted = QUOTED.exec(text)?.[0];
  if (quoted !== undefined) {
    if (!/^\s*(?:$|\s#)/.test(text.slice(quoted.length)))
      throw new BlockYamlError(line.number, "has text after a quote");
    return unquote(line, quoted);
  }
  const plain = text.replace(/\s+#.*$/, "").trimEnd();
  if (plain === "{}") return Object.create(null);
  if (plain === "[]") return [];
  if (plain === "null" || plain === "~") return null;
  if (/^[&*!|>%@`"'{}[\],?]/.test(plain))
    throw new BlockYamlError(line.number, `has a value that begins with ${plain[0]}`);
  if (/:(\s|$)/.test(plain)) throw new BlockYamlError(line.number, "has a colon within a value that is not quoted");
  return plain;
}

function unquote(line: Line, quoted: string): string {
  if (quoted.startsWith("'")) return quoted.slice(1, -1).replaceAll("''", "'");
  try {
    // Double-quoted YAML and JSON agree on the escapes that occur in practice; the others fail here.
    const value: unknown = JSON.parse(quoted);
    if (typeof value === "string") return value;
  } catch {
    // The error below says it.
  }
  throw new BlockYamlError(line.number, "has a quoted text with an escape that is not JSON's");
}
