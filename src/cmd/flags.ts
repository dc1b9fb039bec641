/**
 * Reads the command line of install-cni: which command it is and what its flags say. Commands and flags are the table of
 * core/config/commands.ts. Values of the agent's options stay text here; core/config knows what they mean.
 */

import { type CommandLine, parseCommandLine } from "../core/config/command-line.ts";
import {
  AGENT_COMMAND,
  COMMANDS,
  type CommandName,
  type CommandSpec,
  findCommand,
  parseShell,
  type Shell,
} from "../core/config/commands.ts";
import { ConfigError, type ConfigProblem, malformedValue, quoteValue } from "../core/config/config-error.ts";
import { NAMESPACE, OBJECT_NAME } from "../core/config/domain-value-type.ts";
import { findNearMiss } from "../core/config/near-miss.ts";
import { BOOL } from "../core/config/value-type.ts";
import { LOG_CHANGE_SPAN, type LogLevelChange } from "../core/log-change.ts";
import { parseScopeLevel, SCOPE_LEVEL_ACCEPTED, type ScopeLevels } from "../core/log-levels.ts";
import type { TraceTexts } from "../core/trace/trace-query.ts";
import { type RenderRequest, readRender } from "./render-flags.ts";
import { readTrace } from "./trace-flags.ts";

/** Texts per flag name, for resolveConfig(). */
export type OptionFlags = CommandLine["flags"];

export type Invocation =
  | { readonly command: "run"; readonly flags: OptionFlags }
  | {
      readonly command: "config";
      readonly flags: OptionFlags;
      readonly output: "text" | "json";
      /** Ask the agent that runs. */
      readonly isRunning: boolean;
    }
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
  | { readonly command: "render"; readonly flags: OptionFlags; readonly request: RenderRequest }
  | {
      readonly command: "trace";
      readonly flags: OptionFlags;
      readonly output: "text" | "json";
      readonly pod: { readonly namespace: string; readonly name: string };
      readonly texts: TraceTexts;
    }
  /** Without levels and reset: show what holds. */
  | ({ readonly command: "log-level"; readonly flags: OptionFlags; readonly output: "text" | "json" } & LogLevelChange)
  | {
      readonly command: "doctor";
      readonly flags: OptionFlags;
      readonly output: "text" | "json";
      readonly mayLoadModules: boolean;
    }
  | {
      readonly command: "uninstall";
      /** For the options that say where things are. */
      readonly flags: OptionFlags;
      readonly output: "text" | "json";
      readonly isForced: boolean;
      readonly isForAllNodes: boolean;
    }
  | { readonly command: "completion"; readonly shell: Shell; readonly withDescriptions: boolean }
  /** `topic`: the command whose text is wanted; undefined: that of install-cni. */
  | { readonly command: "help"; readonly topic: CommandName | undefined };

const COMMAND_NAMES: readonly string[] = COMMANDS.map(({ name }) => name);

/** What a command makes of its own flags and arguments. @throws {ConfigError} */
const READERS: Readonly<
  Record<Exclude<CommandName, "help">, (line: CommandLine, words: readonly string[]) => Invocation>
> = {
  config: (line) => ({
    command: "config",
    flags: line.flags,
    output: readOutput(line, ["text", "json"]),
    isRunning: isGiven(line, "running"),
  }),
  status: (line) => ({ command: "status", flags: line.flags, output: readOutput(line, ["text", "json"]) }),
  explain: (line, [pod]) => {
    const output = readOutput(line, ["text", "json"]);
    return {
      command: "explain",
      flags: line.flags,
      output,
      pod: readPod("explain", pod),
      withRules: isGiven(line, "rules"),
    };
  },
  render: (line) => ({ command: "render", flags: line.flags, request: readRender(line) }),
  trace: (line, [pod]) => {
    const output = readOutput(line, ["text", "json"]);
    return { command: "trace", flags: line.flags, output, pod: readPod("trace", pod), texts: readTrace(line, isGiven) };
  },
  "log-level": (line, words) => {
    const output = readOutput(line, ["text", "json"]);
    const levels = words.map(readScopeLevel);
    const isReset = isGiven(line, "reset");
    const forMs = readSpan(line);
    if (forMs !== undefined && levels.length === 0) {
      const message =
        "Cannot use --for: no level is named that it could hold for; accepted: SCOPE=LEVEL before or after it";
      throw new ConfigError([{ code: "contradiction", option: "--for", message }]);
    }
    return { command: "log-level", flags: line.flags, output, levels, isReset, forMs };
  },
  doctor: (line) => {
    const output = readOutput(line, ["text", "json"]);
    return { command: "doctor", flags: line.flags, output, mayLoadModules: isGiven(line, "load-modules") };
  },
  uninstall: (line) => {
    const output = readOutput(line, ["text", "json"]);
    const [isForced, isForAllNodes] = [isGiven(line, "force"), isGiven(line, "all-nodes")];
    return { command: "uninstall", flags: line.flags, output, isForced, isForAllNodes };
  },
  version: (line) => ({
    command: "version",
    short: isGiven(line, "short"),
    output: readOutput(line, ["yaml", "json"]),
  }),
  completion: (line, [shell]) => ({
    command: "completion",
    shell: readShell(shell),
    withDescriptions: !isGiven(line, "no-descriptions"),
  }),
};

/**
 * @param argv arguments behind the executable's name
 * @throws ConfigError for unknown commands and flags, missing values and malformed values of a command's own flags
 */
export function parseInvocation(argv: readonly string[]): Invocation {
  const name = nameCommand(argv);
  const spec = name === undefined ? AGENT_COMMAND : (findCommand(name) ?? unknownCommand(name));
  const help =
    name === undefined
      ? { path: "install-cni", commands: COMMAND_NAMES }
      : { path: `install-cni ${name}`, commands: [] };
  const line = parseCommandLine(argv, [...spec.flags, ...spec.optionFlags], help);
  const words = name === undefined ? line.positionals : line.positionals.slice(1);
  const surplus = words[spec.maxArguments];
  if (surplus !== undefined) unknownCommand(surplus, spec);
  if (name === undefined) {
    return isGiven(line, "help") ? { command: "help", topic: undefined } : { command: "run", flags: line.flags };
  }
  if (name === "help") {
    const [topic] = words;
    return {
      command: "help",
      topic: topic === undefined ? undefined : (findCommand(topic) ?? unknownCommand(topic)).name,
    };
  }
  return isGiven(line, "help") ? { command: "help", topic: name } : READERS[name](line, words);
}

/** The status for a command line that parseInvocation() refuses: a script must not take it for an answer. */
export function usageStatusOf(argv: readonly string[]): number {
  const name = argv.find((arg) => findCommand(arg) !== undefined);
  return name === undefined ? AGENT_COMMAND.usageStatus : (findCommand(name)?.usageStatus ?? 1);
}

/** The first word that is neither a flag nor a flag's value names the command, wherever it stands. */
function nameCommand(argv: readonly string[]): CommandName | undefined {
  const every = new Map(
    [AGENT_COMMAND, ...COMMANDS].flatMap((spec: CommandSpec) =>
      [...spec.flags, ...spec.optionFlags].map((flag) => [flag.name, flag] as const),
    ),
  );
  let first: string | undefined;
  try {
    [first] = parseCommandLine(argv, [...every.values()]).positionals;
  } catch {
    // What is wrong with the flags is said with the command known, so that the flags offered are its own.
    first = argv.find((arg) => findCommand(arg) !== undefined);
  }
  return first === undefined ? undefined : (findCommand(first) ?? unknownCommand(first)).name;
}

/** @throws {ConfigError} always; behind a command the word is one argument too many. */
function unknownCommand(name: string, { name: command, argumentText }: CommandSpec = AGENT_COMMAND): never {
  const near = name.length > 40 ? undefined : findNearMiss(name, COMMAND_NAMES);
  const known = near === undefined ? `known: ${COMMAND_NAMES.join(", ")}` : `did you mean ${near}?`;
  const [path, hint] =
    command === "" ? ["install-cni", known] : [`install-cni ${command}`, `accepted: ${argumentText || "no argument"}`];
  const message = `Cannot run: unknown command ${quoteValue(name)} for "${path}"; ${hint}`;
  throw new ConfigError([{ code: "unknown-command", option: name, message }]);
}

function isGiven(line: CommandLine, name: string): boolean {
  const text = line.flags.get(name)?.at(-1);
  if (text === undefined) return false;
  const value = BOOL.parse(text);
  if (value === undefined) throw new ConfigError([malformedValue(`--${name}`, text, BOOL.accepts)]);
  return value;
}

function readSpan(line: CommandLine): number | undefined {
  const text = line.flags.get("for")?.at(-1);
  if (text === undefined) return undefined;
  const spanMs = LOG_CHANGE_SPAN.parse(text);
  if (spanMs === undefined) throw new ConfigError([malformedValue("--for", text, LOG_CHANGE_SPAN.accepts)]);
  return spanMs;
}

function readScopeLevel(text: string): ScopeLevels[number] {
  const level = parseScopeLevel(text);
  if (level !== undefined) return level;
  const message = `Cannot set log level ${quoteValue(text)}; accepted: ${SCOPE_LEVEL_ACCEPTED}`;
  throw new ConfigError([
    { code: "malformed-value", option: "log-level", value: text, accepted: SCOPE_LEVEL_ACCEPTED, message },
  ]);
}

function readShell(text: string | undefined): Shell {
  const shell = text === undefined ? undefined : parseShell(text);
  if (shell !== undefined) return shell;
  throw argumentError("completion", text, {
    missing: "Cannot print a completion script: no shell is named",
    wrong: (quoted) => `Cannot print a completion script for ${quoted}: it is no shell that is known here`,
    accepted: "bash, zsh, fish or powershell",
  });
}

/** NAMESPACE/POD, as kubectl and our own log write it. */
function readPod(
  command: "explain" | "trace",
  text: string | undefined,
): { readonly namespace: string; readonly name: string } {
  const [namespace = "", name = "", ...others] = (text ?? "").split("/");
  const isPod = NAMESPACE.parse(namespace) !== undefined && OBJECT_NAME.parse(name) !== undefined;
  if (text !== undefined && isPod && namespace !== "" && name !== "" && others.length === 0) return { namespace, name };
  throw argumentError(command, text, {
    missing: `Cannot ${command}: no pod is named`,
    wrong: (quoted) => `Cannot ${command} ${quoted}: it is no pod`,
    accepted: "NAMESPACE/POD, such as default/web-0",
  });
}

function argumentError(
  command: CommandName,
  value: string | undefined,
  say: { readonly missing: string; wrong(quoted: string): string; readonly accepted: string },
): ConfigError {
  const { accepted } = say;
  const problem: ConfigProblem =
    value === undefined
      ? { code: "missing-value", option: command, message: `${say.missing}; accepted: ${accepted}` }
      : {
          code: "malformed-value",
          option: command,
          value,
          accepted,
          message: `${say.wrong(quoteValue(value))}; accepted: ${accepted}`,
        };
  return new ConfigError([problem]);
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
