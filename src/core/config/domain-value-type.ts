/**
 * The kinds of value that belong to this domain: Kubernetes names and labels, addresses, owner groups, directories of
 * plugins, log targets. General kinds are in value-type.ts.
 */

import { type Cidr, formatCidr, parseCidr, parseIpAddress } from "../address.ts";
import {
  isLabelKey,
  isLabelValue,
  LABEL_KEY_ACCEPTED,
  LABEL_VALUE_ACCEPTED,
  SelectorError,
} from "../kube/label-selector.ts";
import { NAMESPACE_NAME, OBJECT_NAME as OBJECT_NAME_FORM } from "../kube/object-name.ts";
import { parseScopeLevels, renderScopeLevels, SCOPE_LEVELS_ACCEPTED, type ScopeLevels } from "../log-levels.ts";
import { parsePodSelectors } from "../policy/repair-selectors.ts";
import { absolutePath, FILE_NAME, listOf, TEXT, type ValueType } from "./value-type.ts";

/** A namespace's name (RFC 1123 label); "" means unknown. */
export const NAMESPACE: ValueType<string> = {
  name: "namespace",
  accepts: "a namespace name (lower-case letters, digits and '-', at most 63 characters)",
  parse: (text) => (text === "" || NAMESPACE_NAME.test(text) ? text : undefined),
  render: (value) => value,
};

/** Names of namespaces, separated by commas. */
export const NAMESPACE_LIST: ValueType<readonly string[]> = listOf(NAMESPACE, 1000);

/** The name of a node or a pod (RFC 1123 subdomain); "" means unknown. */
export const OBJECT_NAME: ValueType<string> = {
  name: "name",
  accepts: "an object name (lower-case letters, digits, '-' and '.', at most 253 characters)",
  parse: (text) => (text === "" || OBJECT_NAME_FORM.test(text) ? text : undefined),
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

/** The name of a plugin list; runtimes read no list from a file of another extension. "" means none. */
export const CONFLIST_NAME: ValueType<string> = {
  name: "file name",
  accepts: `${FILE_NAME.accepts} that ends in .conflist`,
  parse: (text) => (text === "" || /.\.conflist$/.test(text) ? FILE_NAME.parse(text) : undefined),
  render: (value) => value,
};

/** A server's name or address, IPv6 with or without brackets; "" means unknown. */
export const HOST: ValueType<string> = {
  name: "host",
  accepts: "a host name or an IP address",
  parse: (text) => {
    const bare = text.replace(/^\[(.*)\]$/, "$1");
    if (text === "" || parseIpAddress(bare) !== undefined) return text;
    return text.length <= 253 && /^[A-Za-z0-9](?:[-_.A-Za-z0-9]*[A-Za-z0-9])?\.?$/.test(text) ? text : undefined;
  },
  render: (value) => value,
};

/** Path of one kubeconfig; client-go's list of paths is refused. "" means none. */
export const KUBECONFIG_PATH: ValueType<string> = {
  name: "path",
  accepts: "the path of one file",
  parse: (text) => (text.split(":").filter((path) => path !== "").length > 1 ? undefined : TEXT.parse(text)),
  render: (value) => value,
  completes: "file",
};

/** Selectors of the repair, as text: what they mean is core/policy/repair-selectors.ts. */
export function repairSelector(kind: "labels" | "fields"): ValueType<string> {
  const refusalOf = (text: string): SelectorError | undefined => {
    try {
      parsePodSelectors({ labels: "", fields: "", [kind]: text });
      return undefined;
    } catch (error) {
      if (error instanceof SelectorError) return error;
      throw error;
    }
  };
  return {
    name: "selector",
    accepts: TEXT.accepts,
    parse: (text) => (refusalOf(text) === undefined ? TEXT.parse(text) : undefined),
    render: (value) => value,
    fault: (text) => (TEXT.parse(text) === undefined ? undefined : refusalOf(text)),
  };
}

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
