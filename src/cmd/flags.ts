/**
 * Reads the command line of install-cni: which command it is and what its flags say. Values of the agent's options stay
 * text here; core/config knows what they mean.
 */

import { type CommandLine, type FlagSpec, parseCommandLine } from "../core/config/command-line.ts";
import { ConfigError, type ConfigProblem, malformedValue, quoteValue } from "../core/config/config-error.ts";
import { NAMESPACE, OBJECT_NAME } from "../core/config/domain-value-type.ts";
import { findNearMiss } from "../core/config/near-miss.ts";
import { ALL_OPTIONS } from "../core/config/options.ts";
import { INSTALL_OPTIONS } from "../core/config/options-install.ts";
import { BOOL } from "../core/config/value-type.ts";

/** Texts per flag name, for resolveConfig(). */
export type OptionFlags = CommandLine["flags"];

export type Invocation =
  | { readonly command: "run"; readonly flags: OptionFlags }
  | { readonly command: "config"; readonly flags: OptionFlags; readonly output: "text" | "json" }
  | { readonly command: "version"; readonly short: boolean; readonly output: "text" | "json" | "yaml" }
  | {
      readonly command: "status";
      /** For the option that says where the agent's socket is. */
      readonly flags: OptionFlags;
      readonly output: "text" | "json";
    }
  | {
      readonly command: "explain";
      readonly flags: OptionFlags;
      readonly output: "text" | "json";
      readonly pod: { readonly namespace: string; readonly name: string };
      readonly withRules: boolean;
    }
  | {
      readonly command: "uninstall";
      /** For the options that say where things are. */
      readonly flags: OptionFlags;
      readonly output: "text" | "json";
      readonly isForced: boolean;
    }
  | { readonly command: "help" };

const HELP: FlagSpec = { name: "help", short: "h", isSwitch: true };
const OUTPUT: FlagSpec = { name: "output", short: "o", isSwitch: false };
const FORCE: FlagSpec = { name: "force", isSwitch: true };
const RULES: FlagSpec = { name: "rules", isSwitch: true };
const SHORT: FlagSpec = { name: "short", short: "s", isSwitch: true };

const OPTION_FLAGS: readonly FlagSpec[] = ALL_OPTIONS.flatMap(({ option }) =>
  option.flag === undefined ? [] : [{ name: option.flag, isSwitch: option.type === BOOL }],
);

/** What a command needs that asks the agent which runs. */
const QUERY_FLAGS: readonly FlagSpec[] = [
  HELP,
  OUTPUT,
  ...OPTION_FLAGS.filter(({ name }) => name === INSTALL_OPTIONS.cniAgentRunDir.flag),
];

/** What a command needs that works on the host's folders. */
const FOLDER_FLAGS: ReadonlySet<string | undefined> = new Set(
  [
    INSTALL_OPTIONS.cniAgentRunDir,
    INSTALL_OPTIONS.mountedCniNetDir,
    INSTALL_OPTIONS.cniConfName,
    INSTALL_OPTIONS.istioOwnedCniConfigFilename,
  ].map(({ flag }) => flag),
);

/** Flags per command; upstream's logging flags hold for every command (contract 1.4). */
const COMMANDS = {
  run: [HELP, ...OPTION_FLAGS],
  config: [HELP, OUTPUT, ...OPTION_FLAGS],
  version: [HELP, OUTPUT, SHORT, ...OPTION_FLAGS.filter(({ name }) => /^(?:log|ctrlz)_/.test(name))],
  status: QUERY_FLAGS,
  explain: [...QUERY_FLAGS, RULES],
  uninstall: [HELP, OUTPUT, FORCE, ...OPTION_FLAGS.filter(({ name }) => FOLDER_FLAGS.has(name))],
  help: [HELP],
} as const;

type CommandName = keyof typeof COMMANDS;

const COMMAND_NAMES = Object.keys(COMMANDS).filter((name) => name !== "run");

/**
 * @param argv arguments behind the executable's name
 * @throws ConfigError for unknown commands and flags, missing values and malformed values of a command's own flags
 */
export function parseInvocation(argv: readonly string[]): Invocation {
  const command = findCommand(argv);
  const line = parseCommandLine(argv, COMMANDS[command]);
  const words = command === "run" ? ["", ...line.positionals] : line.positionals;
  const surplus = words[command === "explain" ? 2 : 1];
  // `help <command>` is one text for all of them.
  if (surplus !== undefined && command !== "help") throw unknownCommand(surplus);
  if (command === "help" || isGiven(line, "help")) return { command: "help" };
  if (command === "run") return { command, flags: line.flags };
  if (command === "config") return { command, flags: line.flags, output: readOutput(line, ["text", "json"]) };
  if (command === "status") return { command, flags: line.flags, output: readOutput(line, ["text", "json"]) };
  if (command === "explain") {
    const output = readOutput(line, ["text", "json"]);
    return { command, flags: line.flags, output, pod: readPod(words[1]), withRules: isGiven(line, "rules") };
  }
  if (command === "uninstall") {
    return { command, flags: line.flags, output: readOutput(line, ["text", "json"]), isForced: isGiven(line, "force") };
  }
  return { command, short: isGiven(line, "short"), output: readOutput(line, ["yaml", "json"]) };
}

/** The first word that is neither a flag nor a flag's value names the command, wherever it stands. */
function findCommand(argv: readonly string[]): CommandName {
  const every = new Map(
    [...COMMANDS.config, ...COMMANDS.version, ...COMMANDS.explain, ...COMMANDS.uninstall].map((spec) => [
      spec.name,
      spec,
    ]),
  );
  let first: string | undefined;
  try {
    [first] = parseCommandLine(argv, [...every.values()]).positionals;
  } catch {
    // What is wrong with the flags is said with the command known, so that the flags offered are its own.
    first = argv.find((arg) => !arg.startsWith("-") && COMMAND_NAMES.includes(arg));
  }
  if (first === undefined) return "run";
  const known = COMMAND_NAMES.find((name) => name === first);
  if (known === undefined) throw unknownCommand(first);
  return known as CommandName;
}

function unknownCommand(name: string): ConfigError {
  const near = name.length > 40 ? undefined : findNearMiss(name, COMMAND_NAMES);
  const hint = near === undefined ? `known: ${COMMAND_NAMES.join(", ")}` : `did you mean ${near}?`;
  const message = `Cannot run: unknown command ${quoteValue(name)} for "install-cni"; ${hint}`;
  return new ConfigError([{ code: "unknown-command", option: name, message }]);
}

function isGiven(line: CommandLine, name: string): boolean {
  const text = line.flags.get(name)?.at(-1);
  if (text === undefined) return false;
  const value = BOOL.parse(text);
  if (value === undefined) throw new ConfigError([malformedValue(`--${name}`, text, BOOL.accepts)]);
  return value;
}

/** NAMESPACE/POD, as kubectl and our own log write it. */
function readPod(text: string | undefined): { readonly namespace: string; readonly name: string } {
  const accepted = "NAMESPACE/POD, such as default/web-0";
  const [namespace = "", name = "", ...others] = (text ?? "").split("/");
  const isPod = NAMESPACE.parse(namespace) !== undefined && OBJECT_NAME.parse(name) !== undefined;
  if (text !== undefined && isPod && namespace !== "" && name !== "" && others.length === 0) return { namespace, name };
  const problem: ConfigProblem =
    text === undefined
      ? { code: "missing-value", option: "explain", message: `Cannot explain: no pod is named; accepted: ${accepted}` }
      : {
          code: "malformed-value",
          option: "explain",
          value: text,
          accepted,
          message: `Cannot explain ${quoteValue(text)}: it is no pod; accepted: ${accepted}`,
        };
  throw new ConfigError([problem]);
}

function readOutput<const W extends string>(line: CommandLine, words: readonly W[]): W | "text" {
  const text = line.flags.get("output")?.at(-1);
  if (text === undefined) return "text";
  const word = words.find((known) => known === text);
  if (word !== undefined) return word;
  // Upstream's own sentence for `version` (pkg/version/cobra.go@1.30.3), which scripts may look for.
  const accepted = words.map((known) => `'${known}'`).join(" or ");
  const message = `--output must be ${accepted}; it is ${quoteValue(text)}`;
  throw new ConfigError([{ code: "malformed-value", option: "--output", value: text, accepted, message }]);
}
