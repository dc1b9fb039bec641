/**
 * What of a plugin's configuration libcni reads into typed fields (pkg/types, PluginConf): with a value of another kind in one
 * of them it refuses the whole file, whatever the plugin would make of it. The same in v0.8.1, v1.1.2 and v1.3.0.
 */
import { quoteText } from "../short-text.ts";
import { findMember, type JsonNode } from "./json-scan.ts";

/** null fits each, as Go's encoding/json has it. "any" is never looked into. */
type Shape =
  | "any"
  | "string"
  | "boolean"
  | { readonly arrayOf: Shape }
  | { readonly mapOf: Shape }
  | { readonly members: Readonly<Record<string, Shape>> };

const PLUGIN: Shape = {
  members: {
    cniVersion: "string",
    name: "string",
    capabilities: { mapOf: "boolean" },
    ipam: { members: { type: "string" } },
    dns: {
      members: {
        nameservers: { arrayOf: "string" },
        domain: "string",
        search: { arrayOf: "string" },
        options: { arrayOf: "string" },
      },
    },
    prevResult: { mapOf: "any" },
  },
};

/** The first value that does not fit, named shortly, as `"dns.domain" is no string`; undefined: the plugin's object can be read. */
export function findMisfit(plugin: JsonNode): string | undefined {
  return misfitOf(plugin, PLUGIN, "");
}

function misfitOf(node: JsonNode, shape: Shape, path: string): string | undefined {
  if (shape === "any" || node.kind === "null") return undefined;
  if (shape === "string") return node.kind === "string" ? undefined : `${quoteText(path)} is no string`;
  if (shape === "boolean") return node.kind === "boolean" ? undefined : `${quoteText(path)} is neither true nor false`;
  if ("arrayOf" in shape) {
    if (node.kind !== "array") return `${quoteText(path)} is no array`;
    return first(node.items, (item, index) => misfitOf(item, shape.arrayOf, `${path}[${index}]`));
  }
  if (node.kind !== "object") return `${quoteText(path)} is no object`;
  const below = (key: string): string => (path === "" ? key : `${path}.${key}`);
  if ("mapOf" in shape) return first(node.members, ({ key, value }) => misfitOf(value, shape.mapOf, below(key)));
  return first(Object.entries(shape.members), ([key, member]) => {
    const value = findMember(node, key);
    return value === undefined ? undefined : misfitOf(value, member, below(key));
  });
}

function first<T>(items: readonly T[], look: (item: T, index: number) => string | undefined): string | undefined {
  for (const [index, item] of items.entries()) {
    const found = look(item, index);
    if (found !== undefined) return found;
  }
  return undefined;
}
