/**
 * The kinds of value that belong to this domain: Kubernetes names and labels, addresses, owner groups, directories of
 * plugins, log targets. General kinds are in value-type.ts.
 */

import { type Cidr, formatCidr, parseCidr } from "../address.ts";
import { parseScopeLevels, renderScopeLevels, SCOPE_LEVELS_ACCEPTED, type ScopeLevels } from "../log-levels.ts";
import { isLabelKey, isLabelValue, LABEL_KEY_ACCEPTED, LABEL_VALUE_ACCEPTED } from "../policy/label-selector.ts";
import { absolutePath, listOf, type ValueType } from "./value-type.ts";

const DNS_LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

/** A namespace's name (RFC 1123 label); "" means unknown. */
export const NAMESPACE: ValueType<string> = {
  name: "namespace",
  accepts: "a namespace name (lower-case letters, digits and '-', at most 63 characters)",
  parse: (text) => (text === "" || DNS_LABEL.test(text) ? text : undefined),
  render: (value) => value,
};

/** Names of namespaces, separated by commas. */
export const NAMESPACE_LIST: ValueType<readonly string[]> = listOf(NAMESPACE, 1000);

/** The name of a node or a pod (RFC 1123 subdomain); "" means unknown. */
export const OBJECT_NAME: ValueType<string> = {
  name: "name",
  accepts: "an object name (lower-case letters, digits, '-' and '.', at most 253 characters)",
  parse: (text) => (text === "" || isDnsSubdomain(text) ? text : undefined),
  render: (value) => value,
};

/** The key of a label or an annotation (`prefix/name`); "" where the option gives it a meaning. */
export function labelKey(options: { readonly orNone: boolean }): ValueType<string> {
  return {
    name: "label key",
    accepts: LABEL_KEY_ACCEPTED,
    parse: (text) => ((text === "" && options.orNone) || isLabelKey(text) ? text : undefined),
    render: (value) => value,
  };
}

export const LABEL_VALUE: ValueType<string> = {
  name: "label value",
  accepts: LABEL_VALUE_ACCEPTED,
  parse: (text) => (isLabelValue(text) ? text : undefined),
  render: (value) => value,
};

export const IPV4_CIDR: ValueType<Cidr> = {
  name: "IPv4 CIDR",
  accepts: "an IPv4 prefix such as 127.0.0.1/32",
  parse: (text) => {
    const cidr = parseCidr(text);
    return cidr?.family === 4 ? cidr : undefined;
  },
  render: formatCidr,
};

const OWNER_GROUP: ValueType<string> = {
  name: "group",
  accepts: "a group id or a group name",
  parse: (text) => (/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/.test(text) ? text : undefined),
  render: (value) => value,
};

/** Owner groups: "*" for all, otherwise at most 64 ids or names (the limit of upstream's own validation). */
export const OWNER_GROUPS: ValueType<"*" | readonly string[]> = {
  name: "groups",
  accepts: `"*" or ${listOf(OWNER_GROUP, 64).accepts}`,
  parse: (text) => (text === "*" ? "*" : listOf(OWNER_GROUP, 64).parse(text)),
  render: (value) => (value === "*" ? "*" : value.join(",")),
};

/** Owner groups without the wildcard. */
export const OWNER_GROUP_LIST: ValueType<readonly string[]> = listOf(OWNER_GROUP, 64);

const DIRECTORY = absolutePath();

/** Directories that get the plugin, with commas or colons between them; doubles are dropped, the order is kept. */
export const DIRECTORY_LIST: ValueType<readonly string[]> = {
  name: "directories",
  accepts: "1 to 8 absolute paths with ':' or ',' between them",
  parse: (text) => {
    const parts = text.split(/[:,]/).map((part) => part.trim());
    const paths = parts.filter((part) => part !== "").map((part) => DIRECTORY.parse(part));
    const good = paths.filter((path) => path !== undefined);
    if (good.length === 0 || good.length !== paths.length || good.length > 8) return undefined;
    return [...new Set(good)];
  },
  render: (value) => value.join(":"),
};

/** Where log lines go; the flag may be given several times. */
export const LOG_TARGETS: ValueType<readonly string[]> = {
  name: "target",
  accepts: "stdout, stderr or an absolute path",
  parse: (text) => {
    const path = DIRECTORY.parse(text);
    const target = text === "stdout" || text === "stderr" ? text : path;
    return target === undefined ? undefined : [target];
  },
  render: (value) => value.join(","),
};

/** The grammar of `--log_output_level`. */
export const SCOPE_LEVELS: ValueType<ScopeLevels> = {
  name: "levels",
  accepts: SCOPE_LEVELS_ACCEPTED,
  parse: parseScopeLevels,
  render: renderScopeLevels,
};

function isDnsSubdomain(text: string): boolean {
  return text.length <= 253 && text.split(".").every((label) => DNS_LABEL.test(label));
}
