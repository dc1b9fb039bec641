/**
 * Reads the flags of `install-cni render`: where the manifest is, and what of a node and a cluster is to be assumed.
 */

import type { CommandLine } from "../core/config/command-line.ts";
import { ConfigError, malformedValue } from "../core/config/config-error.ts";
import { NAMESPACE } from "../core/config/domain-value-type.ts";
import { isLabelKey, isLabelValue, LABEL_KEY_ACCEPTED, LABEL_VALUE_ACCEPTED } from "../core/kube/label-selector.ts";

export const RENDER_OUTPUTS = ["text", "json", "iptables-save", "ip6tables-save", "nft"] as const;
export const RENDER_BACKENDS = ["iptables", "nftables", "legacy"] as const;
export const RENDER_FAMILIES = ["ipv4", "ipv6", "dual"] as const;
export const RENDER_MODES = ["sidecar", "ambient"] as const;

/** Undefined: not told. */
export interface RenderRequest {
  /** Undefined: standard input. */
  readonly file: string | undefined;
  readonly output: (typeof RENDER_OUTPUTS)[number];
  readonly namespace: string | undefined;
  readonly namespaceLabels: Readonly<Record<string, string>> | undefined;
  readonly backend: (typeof RENDER_BACKENDS)[number] | undefined;
  readonly family: (typeof RENDER_FAMILIES)[number] | undefined;
  readonly mode: (typeof RENDER_MODES)[number] | undefined;
}

/** @throws {ConfigError} */
export function readRender(line: CommandLine): RenderRequest {
  const file = lastOf(line, "filename");
  const namespace = lastOf(line, "namespace");
  if (namespace !== undefined && NAMESPACE.parse(namespace) === undefined) {
    throw new ConfigError([malformedValue("--namespace", namespace, NAMESPACE.accepts)]);
  }
  return {
    file: file === "-" ? undefined : file,
    output: readWord(line, "output", RENDER_OUTPUTS) ?? "text",
    namespace,
    namespaceLabels: readLabels(line.flags.get("namespace-label")),
    backend: readWord(line, "backend", RENDER_BACKENDS),
    family: readWord(line, "family", RENDER_FAMILIES),
    mode: readWord(line, "mode", RENDER_MODES),
  };
}

function lastOf(line: CommandLine, name: string): string | undefined {
  return line.flags.get(name)?.at(-1);
}

function readWord<const W extends string>(line: CommandLine, name: string, words: readonly W[]): W | undefined {
  const text = lastOf(line, name);
  const word = words.find((known) => known === text);
  if (text === undefined || word !== undefined) return word;
  throw new ConfigError([malformedValue(`--${name}`, text, words.join(", "))]);
}

/** KEY=VALUE, each a flag of its own or several with commas between them. */
function readLabels(texts: readonly string[] | undefined): Readonly<Record<string, string>> | undefined {
  if (texts === undefined) return undefined;
  const labels: Record<string, string> = Object.create(null);
  for (const text of texts.flatMap((one) => one.split(","))) {
    const [, key = "", value = ""] = /^([^=]*)=(.*)$/.exec(text) ?? [];
    if (!isLabelKey(key) || !isLabelValue(value)) {
      const accepted = `KEY=VALUE, with ${LABEL_KEY_ACCEPTED} and ${LABEL_VALUE_ACCEPTED}`;
      throw new ConfigError([malformedValue("--namespace-label", text, accepted)]);
    }
    labels[key] = value;
  }
  return labels;
}
