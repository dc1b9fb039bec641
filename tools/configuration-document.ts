// docs/configuration.md as a text, from the tables that parse the command line: options, commands, and what upstream makes of
// each. Pure; render-configuration.ts writes it, its test compares it.
import { COMMANDS, type CommandSpec } from "../src/core/config/commands.ts";
import { renderFallback } from "../src/core/config/help-text.ts";
import {
  ALL_OPTIONS,
  GROUP_TITLES,
  type OptionEntry,
  type OptionGroupName,
  type OptionId,
} from "../src/core/config/options.ts";
import { UPSTREAM_OPTIONS, type UpstreamReader } from "../src/core/config/upstream-options.ts";

const HEAD = `# Configuration

<!-- Made by \`tools/node tools/render-configuration.ts\` from src/core/config; edit that. A test fails when this is stale. -->

Everything that \`install-cni\` reads from its environment and its command line; of other variables, only the commands for people
look at \`NO_COLOR\` and \`TERM\`. No option is required.

- **Which value holds.** A flag wins over its variable, the variable over the default. \`install-cni config\` shows the value and
  the source of each, for the environment it is run in; \`install-cni config --running\` those of the agent that runs.
- **An empty variable counts as unset.** Upstream takes it for \`""\`, \`false\` or \`0\`. The log says so where that matters.
- **A malformed value is an error**, before anything on the node is touched: the message has the option, its value and what is
  accepted, for all of them at once. Upstream reads a malformed variable as \`false\` or \`0\`. So is a flag that nobody knows.
- **Unknown variables are ignored**; one that is nearly an option is warned of.
- Booleans: \`1 t T TRUE true True 0 f F FALSE false False\`. Whole numbers: decimal, or with \`0x\`, \`0o\`, \`0\`, \`0b\` in front.
  Durations: \`500ms\`, \`15s\`, \`1m30s\`, \`2h\`.

In the column *upstream*: which releases from 1.28 to 1.31 read the option, its default there if it is another one, and what
is different here. *Accepted* means that upstream's name is taken and changes nothing, which the log says once.
`;

const READERS: Readonly<Record<UpstreamReader, string>> = {
  all: "1.28 to 1.31",
  "1.30 and 1.31": "1.30, 1.31",
  "later patches": "1.28.7, 1.29.3, 1.30.0 and later",
  dead: "registered, never read",
  nobody: "read by nobody",
  runtime: "read by the Go runtime",
  ours: "not upstream's",
};

/** Ends with a line break. */
export function renderConfigurationDocument(): string {
  const groups = (Object.keys(GROUP_TITLES) as OptionGroupName[]).map((group) => {
    const rows = ALL_OPTIONS.filter((entry) => entry.group === group).map(renderRow);
    return [
      `## ${GROUP_TITLES[group]}`,
      "",
      "| variable | flag | type | default | what it does here | upstream |",
      "| --- | --- | --- | --- | --- | --- |",
      ...rows,
      "",
    ].join("\n");
  });
  return `${[HEAD, ...groups, renderCommands()].join("\n")}`;
}

function renderRow({ id, option }: OptionEntry): string {
  const { reader, fallback, difference } = UPSTREAM_OPTIONS[id as OptionId];
  const upstream = [READERS[reader], ...(fallback === undefined ? [] : [`default ${fallback}`]), difference ?? ""];
  const effect = option.inert === undefined ? option.doc : `Accepted: ${option.inert}.`;
  const cells = [
    option.env === undefined ? "" : `\`${option.env}\``,
    option.flag === undefined ? "" : `\`--${option.flag}\`${option.repeatable === true ? " …" : ""}`,
    option.type.name,
    option.fallbackText ?? `\`${renderFallback({ option })}\``,
    effect,
    upstream.filter((text) => text !== "").join("; "),
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function renderCommands(): string {
  const rows = COMMANDS.map((command: CommandSpec) => {
    const usage = ["install-cni", command.name, command.argumentText].filter((part) => part !== "").join(" ");
    const statuses = Object.entries(command.exitStatus ?? { 0: "printed", 1: "the command line is wrong" });
    const ends = statuses.map(([status, meaning]) => `${status}: ${meaning}`).join("; ");
    const flags = command.flags.filter(({ name }) => name !== "help").map(({ name }) => `\`--${name}\``);
    return `| ${[`\`${usage}\``, command.summary, flags.join(" "), ends].map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  });
  return [
    "## Commands",
    "",
    "`install-cni` alone runs the agent, and ends with 0 when it is told to end, with 1 when it cannot go on. `-h`, `--help` and",
    "`help COMMAND` print how a command is used. Upstream has `version`, `completion` and `help`; its `collateral`, which writes",
    "manual pages, is not here: this page is what it would write.",
    "",
    "| command | what it does | flags of its own | ends with |",
    "| --- | --- | --- | --- |",
    ...rows,
    "",
  ].join("\n");
}
