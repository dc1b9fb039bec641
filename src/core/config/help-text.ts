/**
 * The text of `install-cni --help`, made from the options table, and the two forms of `install-cni config`.
 */

import type { OptionEntry } from "./options.ts";
import { ALL_OPTIONS, GROUP_TITLES, type OptionGroupName } from "./options.ts";
import type { EffectiveOption } from "./resolve-config.ts";

const WIDTH = 100;

const HEAD = `install-cni puts the pods of this node into the Istio mesh: it installs the CNI plugin istio-cni on
the node and programs the traffic redirection that the plugin asks for. It runs as a DaemonSet, one
per node, and cannot do its work outside a cluster.

Usage:
  install-cni [flags]                        run the agent
  install-cni version [-s] [-o yaml|json]    print the version
  install-cni config [-o text|json] [flags]  print every option's value and where it comes from
  install-cni status [-o text|json]          tell how the node and each of its pods are
  install-cni explain NAMESPACE/POD [--rules] [-o text|json]
                                             tell why a pod is in the mesh or not, and how it is
  install-cni uninstall [--force] [-o text|json]
                                             take plugin and configuration off this node
  install-cni help                           print this text

status and explain ask the agent that runs, over admin.sock in CNI_AGENT_RUN_DIR. They end with 0 if
all is as it should be, 1 if something needs attention, 2 if the agent cannot be asked or the
command line is wrong, 3 if the agent knows no such pod.

uninstall needs neither agent nor API server. An agent that runs puts nothing back until it is
started anew. It ends with 0 if no pod that starts now meets istio-cni, 1 if something could not be
removed (it may be run again), 2 if the command line is wrong.

A flag wins over its environment variable, the variable over the default. A variable that is set but
empty counts as unset. A malformed value is an error.
`;

/** Wrapped at 100 columns, ends with a line break. */
export function renderHelp(): string {
  const sections = (Object.keys(GROUP_TITLES) as OptionGroupName[]).map((group) => {
    const entries = ALL_OPTIONS.filter((entry) => entry.group === group);
    return `\n${GROUP_TITLES[group]}:\n${entries.map(renderOption).join("")}`;
  });
  return HEAD + sections.join("");
}

/** Aligned columns: name, value, source. */
export function renderConfigText(options: readonly EffectiveOption[]): string {
  const rows = options.map(({ name, flag, env, value, standsFor, source, hasEffect }) => {
    const shown = value === "" && standsFor !== undefined ? `(${standsFor})` : oneLine(value) || '""';
    const named = source === "flag" || env === undefined ? `--${flag ?? name}` : env;
    return [named, hasEffect ? source : `${source}, no effect`, shown] as const;
  });
  const nameWidth = Math.max(...rows.map(([name]) => name.length));
  const sourceWidth = Math.max(...rows.map(([, source]) => source.length));
  const lines = [["NAME", "SOURCE", "VALUE"] as const, ...rows].map(
    ([name, source, value]) => `${name.padEnd(nameWidth)}  ${source.padEnd(sourceWidth)}  ${value}`,
  );
  return `${lines.join("\n")}\n`;
}

/** `{"options": [{flag, env, value, standsFor, source, hasEffect}]}`; values as text, the way they would be given. */
export function renderConfigJson(options: readonly EffectiveOption[]): string {
  return `${JSON.stringify({ options: options.map(({ name: _, ...rest }) => rest) }, null, 2)}\n`;
}

function renderOption({ option }: OptionEntry): string {
  const flag = option.flag === undefined ? [] : [`--${option.flag}`];
  const env = option.env === undefined ? [] : [option.env];
  const fallback = option.fallbackText ?? (option.type.render(option.fallback) || '""');
  const isObvious = option.inert !== undefined && option.flag === undefined;
  const text = isObvious ? option.doc : `${option.doc} Default: ${fallback}.`;
  return `  ${[...flag, ...env].join(", ")} (${option.type.name})\n${wrap(text, "      ")}\n`;
}

function wrap(text: string, indent: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && indent.length + line.length + 1 + word.length > WIDTH) {
      lines.push(indent + line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, indent + line].join("\n");
}

function oneLine(value: string): string {
  return /\p{Cc}/u.test(value) ? JSON.stringify(value) : value;
}
