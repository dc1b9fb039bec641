/**
 * The help texts of install-cni and of its commands, in the order in which cobra's users look for things, made from the tables
 * of options and commands; and the two forms of `install-cni config`.
 */

import { renderColumns, renderJson } from "../text-columns.ts";
import { AGENT_COMMAND, COMMANDS, type CommandFlag, type CommandSpec } from "./commands.ts";
import type { OptionEntry } from "./options.ts";
import { ALL_OPTIONS, GROUP_TITLES, type OptionGroupName } from "./options.ts";
import type { EffectiveOption } from "./resolve-config.ts";

const WIDTH = 100;

const HEAD = `install-cni puts the pods of this node into the Istio mesh: it installs the CNI plugin istio-cni on
the node and programs the traffic redirection that the plugin asks for. It runs as a DaemonSet, one
per node, and cannot do its work outside a cluster.
`;

const TAIL = `
A flag wins over its environment variable, the variable over the default. A variable that is set but
empty counts as unset. A malformed value is an error.

Use "install-cni [command] --help" for more information about a command.
`;

/** Wrapped at 100 columns, ends with a line break. */
export function renderHelp(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  const commands = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}\n`);
  const sections = (Object.keys(GROUP_TITLES) as OptionGroupName[]).map((group) => {
    const entries = ALL_OPTIONS.filter((entry) => entry.group === group);
    return `\n${GROUP_TITLES[group]}:\n${entries.map(renderOption).join("")}`;
  });
  return [
    HEAD,
    "\nUsage:\n  install-cni [flags]    run the agent\n  install-cni [command]\n",
    `\nAvailable Commands:\n${commands.join("")}`,
    `\nFlags:\n${renderFlags(AGENT_COMMAND.flags)}`,
    "\nFlags and environment variables of the agent:\n",
    ...sections,
    TAIL,
  ].join("");
}

/** The text of one command; wrapped at 100 columns, ends with a line break. */
export function renderCommandHelp(spec: CommandSpec): string {
  const { name, argumentText, summary, doc, flags, optionFlags, exitStatus } = spec;
  const usage = ["install-cni", name, argumentText, "[flags]"].filter((part) => part !== "").join(" ");
  const takesAll = optionFlags.length === AGENT_COMMAND.optionFlags.length;
  const parts = [
    `${wrap(`install-cni ${name}: ${summary}.`, "")}\n`,
    ...doc.map((text) => `${wrap(text, "")}\n`),
    `Usage:\n  ${usage}\n`,
    `Flags:\n${renderFlags(flags)}`,
    ...(optionFlags.length === 0 || takesAll ? [] : [`Flags of the agent:\n${renderFlags(optionFlags)}`]),
    ...(takesAll ? [`${wrap("It takes every flag of the agent besides: install-cni --help lists them.", "")}\n`] : []),
    ...(exitStatus === undefined ? [] : [`Exit status:\n${renderStatuses(exitStatus)}`]),
  ];
  return parts.join("\n");
}

/** Aligned columns: name, value, source. */
export function renderConfigText(options: readonly EffectiveOption[]): string {
  const rows = options.map(({ name, flag, env, value, standsFor, source, hasEffect }) => {
    const shown = value === "" && standsFor !== undefined ? `(${standsFor})` : oneLine(value) || '""';
    const named = source === "flag" || env === undefined ? `--${flag ?? name}` : env;
    return [named, hasEffect ? source : `${source}, no effect`, shown] as const;
  });
  return renderColumns([["NAME", "SOURCE", "VALUE"], ...rows], false);
}

/** `{"options": [{flag, env, value, standsFor, source, hasEffect}]}`; values as text, the way they would be given. */
export function renderConfigJson(options: readonly EffectiveOption[]): string {
  return renderJson({ options: options.map(({ name: _, ...rest }) => rest) });
}

/** What holds where an option is not given, in words; `""` for nothing. */
export function renderFallback({ option }: Pick<OptionEntry, "option">): string {
  return option.fallbackText ?? (option.type.render(option.fallback) || '""');
}

function renderOption(entry: OptionEntry): string {
  const { option } = entry;
  const flag = option.flag === undefined ? [] : [`--${option.flag}`];
  const env = option.env === undefined ? [] : [option.env];
  const isObvious = option.inert !== undefined && option.flag === undefined;
  const text = isObvious ? option.doc : `${option.doc} Default: ${renderFallback(entry)}.`;
  return `  ${[...flag, ...env].join(", ")} (${option.type.name})\n${wrap(text, "      ")}\n`;
}

function renderFlags(flags: readonly CommandFlag[]): string {
  return flags
    .map(({ name, short, value, doc }) => {
      const names = [...(short === undefined ? [] : [`-${short}`]), `--${name}`].join(", ");
      return `  ${names}${value === undefined ? "" : ` ${value}`}\n${wrap(doc, "      ")}\n`;
    })
    .join("");
}

function renderStatuses(statuses: Readonly<Record<number, string>>): string {
  return Object.entries(statuses)
    .map(([status, meaning]) => `  ${status}  ${meaning}\n`)
    .join("");
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
