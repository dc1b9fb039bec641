/**
 * A file of the runtime's CNI folder as the runtime understands it: valid or not by libcni's rules, and where its
 * plugins stand in the text. Which file counts is choose-conflist.ts, changing one is edit-conflist.ts.
 */
import { findMisfit } from "./find-misfit.ts";
import {
  findMember,
  type JsonArrayNode,
  type JsonNode,
  type JsonObjectNode,
  JsonScanError,
  scanJson,
} from "./json-scan.ts";

/** Largest file read; real ones have a few KB. */
export const MAX_CONFLIST_BYTES = 1 << 20;

export type ConflistPlugin = { readonly type: string; readonly node: JsonObjectNode };

/** A list of plugins (`.conflist`). */
export type Conflist = {
  readonly kind: "list";
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly list: JsonArrayNode;
  /** At least one. */
  readonly plugins: readonly ConflistPlugin[];
};

/** One plugin's configuration (`.conf`, `.json`). */
export type SingleConf = { readonly kind: "single"; readonly bytes: Uint8Array; readonly plugin: ConflistPlugin };

/** No runtime uses this file; `reason` completes "<file>: ". */
export type InvalidConf = { readonly kind: "invalid"; readonly reason: string };

const EXTENSIONS = [".conf", ".conflist", ".json"] as const;

/** True for names containerd (go-cni) and CRI-O (ocicni) load: extension `.conf`, `.conflist` or `.json`. */
export function isConfFileName(name: string): boolean {
  return EXTENSIONS.some((extension) => extension === extensionOf(name));
}

/** The last dot and what follows, "" without one: Go's filepath.Ext. */
export function extensionOf(name: string): string {
  const dot = name.lastIndexOf(".");
  return dot < 0 ? "" : name.slice(dot);
}

/**
 * Reads a file by the rules for its extension: libcni v1.3.0 `NetworkConfFromBytes` for `.conflist`, and for the others
 * a plugin object with a `type` (contract 3.2). A list whose plugins are only in a folder beside it is called invalid:
 * we could not stand behind those plugins. Never throws for any content.
 */
export function parseConf(fileName: string, bytes: Uint8Array): Conflist | SingleConf | InvalidConf {
  if (bytes.length === 0) return invalid("it is empty");
  if (bytes.length > MAX_CONFLIST_BYTES)
    return invalid(`it has ${bytes.length} bytes, accepted are ${MAX_CONFLIST_BYTES}`);
  const root = scan(bytes);
  if (typeof root === "string") return invalid(root);
  if (root.kind !== "object") return invalid("it is no JSON object");
  return extensionOf(fileName) === ".conflist" ? parseList(root, bytes) : parseSingle(root, bytes);
}

function scan(bytes: Uint8Array): JsonNode | string {
  try {
    return scanJson(bytes);
  } catch (error) {
    if (error instanceof JsonScanError) return error.message;
    throw error;
  }
}

function parseList(root: JsonObjectNode, bytes: Uint8Array): Conflist | InvalidConf {
  const name = findMember(root, "name");
  if (name?.kind !== "string") return invalid('it has no string "name"');
  const cniVersion = findMember(root, "cniVersion");
  if (cniVersion !== undefined && cniVersion.kind !== "string") return invalid('its "cniVersion" is no string');
  const disableCheck = findMember(root, "disableCheck");
  if (disableCheck !== undefined && !isSwitch(disableCheck)) {
    return invalid('its "disableCheck" is neither true nor false');
  }
  const list = findMember(root, "plugins");
  if (list?.kind !== "array") return invalid('it has no array "plugins"');
  if (list.items.length === 0) return invalid('its "plugins" are empty');
  const plugins: ConflistPlugin[] = [];
  for (const [index, item] of list.items.entries()) {
    const plugin = parsePlugin(item);
    if (plugin === undefined) return invalid(`its plugin ${index} has no "type"`);
    const misfit = findMisfit(item);
    if (misfit !== undefined) return invalid(`its plugin ${index}: ${misfit}`);
    plugins.push(plugin);
  }
  return { kind: "list", name: name.value, bytes, list, plugins };
}

function parseSingle(root: JsonObjectNode, bytes: Uint8Array): SingleConf | InvalidConf {
  const plugin = parsePlugin(root);
  if (plugin === undefined) return invalid('it has no "type"');
  const misfit = findMisfit(root);
  return misfit === undefined ? { kind: "single", bytes, plugin } : invalid(`its ${misfit}`);
}

function parsePlugin(node: JsonNode): ConflistPlugin | undefined {
  if (node.kind !== "object") return undefined;
  const type = findMember(node, "type");
  return type?.kind === "string" && type.value !== "" ? { type: type.value, node } : undefined;
}

/** As text since libcni v1.2: older ones refuse that. null is none to any of them. */
function isSwitch(node: JsonNode): boolean {
  return node.kind === "boolean" || (node.kind === "string" && /^(?:true|false)$/i.test(node.value));
}

function invalid(reason: string): InvalidConf {
  return { kind: "invalid", reason };
}
