/**
 * Puts our object into somebody's conflist and takes it out again, by cutting and pasting bytes: everything we did not
 * write stays as it was, to the last digit and blank. Taking out what was put in gives the file's own bytes back.
 */

import { joinBytes } from "../join-bytes.ts";
import { isSameBytes } from "../same-bytes.ts";
import { type Conflist, type ConflistPlugin, parseConf, type SingleConf } from "./conflist.ts";
import { isEntryText, PLUGIN_TYPE, type PluginEntry } from "./plugin-entry.ts";

const CR = 0x0d;
const WHITE_SPACE = new Set([0x20, 0x09, 0x0a, CR]);

/** True when one of the plugins is ours. */
export function hasOurEntry(conf: Conflist | SingleConf): boolean {
  return conf.kind === "list" ? conf.plugins.some(isOurs) : isOurs(conf.plugin);
}

/** True when a plugin of somebody else is there to be chained behind. */
export function hasForeignPlugin(conf: Conflist | SingleConf): boolean {
  return conf.kind === "list" ? conf.plugins.some((plugin) => !isOurs(plugin)) : !isOurs(conf.plugin);
}

/**
 * The list with our object in it exactly once and as `entry` says: the same bytes when that is so already, replaced
 * where it stands, else appended at the end (contract 10.3). One that no other plugin precedes is moved to the end,
 * because it would run before the pod has an address; one that others follow stays, so that two writers who both want
 * to be last do not fight.
 */
export function withOurEntry(conf: Conflist, entry: PluginEntry): Uint8Array {
  const { plugins, bytes } = conf;
  const ours = ourIndexes(conf);
  const firstForeign = plugins.findIndex((plugin) => !isOurs(plugin));
  const kept = ours.find((index) => index > firstForeign);
  const keptPlugin = kept === undefined ? undefined : plugins[kept];
  if (kept === undefined || keptPlugin === undefined) return append(reparse(withoutOurEntry(conf)), entry);
  const edits = cuts(plugins.map(spanOf), new Set(ours.filter((index) => index !== kept)));
  const { start, end } = keptPlugin.node;
  const text = new TextDecoder().decode(bytes.subarray(start, end));
  if (!isEntryText(text, entry)) edits.push({ start, end, text: render(entry, layoutOf(conf, kept)) });
  return applyEdits(bytes, edits);
}

/** The list without our object, the same bytes where there is none. A list that has nothing else keeps an empty array. */
export function withoutOurEntry(conf: Conflist): Uint8Array {
  return applyEdits(conf.bytes, cuts(conf.plugins.map(spanOf), new Set(ourIndexes(conf))));
}

/**
 * A list made of a single configuration and our object, as upstream makes it (contract 3.3): name k8s-pod-network,
 * version 0.3.1, the old object verbatim but for its `cniVersion`, which belongs to the list.
 */
export function toConflist(conf: SingleConf, entry: PluginEntry): Uint8Array {
  const { bytes } = conf;
  const { members, start, end } = conf.plugin.node;
  const versions = new Set(members.flatMap(({ key }, index) => (key === "cniVersion" ? [index] : [])));
  const spans = members.map(({ keyStart, value }) => ({ start: keyStart, end: value.end }));
  const newline = bytes.includes(CR) ? "\r\n" : "\n";
  const before = ["{", '  "name": "k8s-pod-network",', '  "cniVersion": "0.3.1",', '  "plugins": [', "    "].join(
    newline,
  );
  const ours = render(entry, { separator: "", base: "    ", unit: "  ", newline });
  const after = [",", `    ${ours}`, "  ]", "}", ""].join(newline);
  return applyEdits(bytes, [
    { start: 0, end: start, text: before },
    ...cuts(spans, versions),
    { start: end, end: bytes.length, text: after },
  ]);
}

/** True when `list` is what toConflist makes of the single configuration `original`, whatever our object is like. */
export function isMadeOf(list: Conflist, original: Uint8Array): boolean {
  const conf = parseConf("original.conf", original);
  if (conf.kind !== "single") return false;
  const made = parseConf("made.conflist", toConflist(conf, { type: PLUGIN_TYPE }));
  return made.kind === "list" && isSameBytes(withoutOurEntry(made), withoutOurEntry(list));
}

function isOurs(plugin: ConflistPlugin): boolean {
  return plugin.type === PLUGIN_TYPE;
}

function ourIndexes(conf: Conflist): number[] {
  return conf.plugins.flatMap((plugin, index) => (isOurs(plugin) ? [index] : []));
}

function append(conf: Conflist, entry: PluginEntry): Uint8Array {
  const layout = layoutOf(conf, conf.plugins.length - 1);
  const end = conf.plugins.at(-1)?.node.end ?? conf.list.start + 1;
  return applyEdits(conf.bytes, [{ start: end, end, text: `,${layout.separator}${render(entry, layout)}` }]);
}

function reparse(bytes: Uint8Array): Conflist {
  const conf = parseConf("edited.conflist", bytes);
  if (conf.kind === "list") return conf;
  throw new Error(
    `Cannot edit a conflist: without our plugin it is ${conf.kind === "invalid" ? conf.reason : conf.kind}`,
  );
}

/** How a plugin is laid out. `base` indents its last line, `unit` is one level more; an empty unit means one line. */
type Layout = { readonly separator: string; readonly base: string; readonly unit: string; readonly newline: string };

function layoutOf(conf: Conflist, index: number): Layout {
  const node = conf.plugins[index]?.node;
  const firstKey = node?.members[0]?.keyStart;
  if (node === undefined || firstKey === undefined) return { separator: "", base: "", unit: "", newline: "\n" };
  const blank = blankBefore(conf.bytes, node.start);
  const inner = blankBefore(conf.bytes, firstKey);
  const newline = `${blank}${inner}`.includes("\r\n") ? "\r\n" : "\n";
  if (!inner.includes("\n")) return { separator: blank, base: "", unit: "", newline };
  const base = indentOfLine(conf.bytes, node.end - 1);
  const indent = inner.slice(inner.lastIndexOf("\n") + 1);
  const unit = indent.startsWith(base) ? indent.slice(base.length) : "";
  return { separator: blank === "" ? " " : blank, base, unit: unit === "" ? "  " : unit, newline };
}

function render(entry: PluginEntry, layout: Layout): string {
  if (layout.unit === "") return JSON.stringify(entry);
  return JSON.stringify(entry, undefined, layout.unit).replaceAll("\n", `${layout.newline}${layout.base}`);
}

/** The white space that ends at `end`. */
function blankBefore(bytes: Uint8Array, end: number): string {
  let start = end;
  while (WHITE_SPACE.has(bytes[start - 1] ?? -1)) start--;
  return new TextDecoder().decode(bytes.subarray(start, end));
}

/** The blanks at the start of the line that `offset` is on. */
function indentOfLine(bytes: Uint8Array, offset: number): string {
  const start = bytes.lastIndexOf(0x0a, offset) + 1;
  let end = start;
  while (WHITE_SPACE.has(bytes[end] ?? -1)) end++;
  return new TextDecoder().decode(bytes.subarray(start, end));
}

type Span = { readonly start: number; readonly end: number };
type Edit = Span & { readonly text: string };

function spanOf(plugin: ConflistPlugin): Span {
  return plugin.node;
}

/** Cuts out elements of a comma-separated sequence, each with one comma: the one before it where an element stays there. */
function cuts(elements: readonly Span[], dropped: ReadonlySet<number>): Edit[] {
  const firstKept = elements.findIndex((_, index) => !dropped.has(index));
  const edits: Edit[] = [];
  for (const [index, { start, end }] of elements.entries()) {
    if (!dropped.has(index)) continue;
    const before = elements[index - 1];
    const after = elements[index + 1];
    const isBehindKept = firstKept >= 0 && firstKept < index;
    if (isBehindKept && before !== undefined) edits.push({ start: before.end, end, text: "" });
    else edits.push({ start, end: after?.start ?? end, text: "" });
  }
  return edits;
}

/** The bytes with each span replaced. Spans do not overlap. */
function applyEdits(bytes: Uint8Array, edits: readonly Edit[]): Uint8Array {
  if (edits.length === 0) return bytes;
  const encoder = new TextEncoder();
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const edit of edits.toSorted((left, right) => left.start - right.start)) {
    parts.push(bytes.subarray(at, edit.start), encoder.encode(edit.text));
    at = edit.end;
  }
  parts.push(bytes.subarray(at));
  return joinBytes(parts);
}
