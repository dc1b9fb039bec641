/**
 * The grammar of the command line, as pflag has it: `--name=value`, `--name value`, `--switch`, `-x value`, `-sx value`,
 * `--` ends the flags. What the values mean is the options' business.
 */

import { ConfigError, type ConfigProblem, quoteValue } from "./config-error.ts";
import { findNearMiss } from "./near-miss.ts";

export interface FlagSpec {
  /** Without dashes. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** True when the flag may stand alone; it then reads "true", and never takes the next argument. */
  readonly isSwitch: boolean;
}

export interface CommandLine {
  /** Texts given per flag name, in order; a flag that was not given is absent. */
  readonly flags: ReadonlyMap<string, readonly string[]>;
  readonly positionals: readonly string[];
}

/** More arguments than anybody types; the kernel allows millions. */
const ARGUMENTS_MAX = 1000;
const LISTED_PROBLEMS_MAX = 20;

/** What a reader of a refused command line is sent to. */
export interface CommandHelp {
  /** "install-cni", or with a command behind it. */
  readonly path: string;
  /** Words that may follow it, which somebody may have typed as flags. */
  readonly commands: readonly string[];
}

/** @throws ConfigError for unknown flags and missing values, all of them at once */
export function parseCommandLine(
  argv: readonly string[],
  specs: readonly FlagSpec[],
  help: CommandHelp = { path: "install-cni", commands: [] },
): CommandLine {
  const flags = new Map<string, string[]>();
  const positionals: string[] = [];
  const problems: ConfigProblem[] = [];
  const args = argv.slice(0, ARGUMENTS_MAX);
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? "";
    if (arg === "--") {
      positionals.push(...args.slice(index + 1));
      break;
    }
    if (!arg.startsWith("-") || arg === "-") {
      positionals.push(arg);
      continue;
    }
    const { name, value, spec, others } = readFlag(arg, specs);
    if (others !== undefined) args.splice(index + 1, 0, others);
    if (spec === undefined) {
      problems.push(unknownFlag(name, specs, help));
      continue;
    }
    let text = value ?? (spec.isSwitch ? "true" : undefined);
    if (text === undefined) {
      index++;
      text = args[index];
    }
    if (text === undefined) {
      problems.push({ code: "missing-value", option: name, message: `Cannot use ${name}: it needs a value` });
      continue;
    }
    flags.set(spec.name, [...(flags.get(spec.name) ?? []), text]);
  }
  const [first, ...others] = problems.slice(0, LISTED_PROBLEMS_MAX);
  if (first !== undefined) throw new ConfigError([first, ...others]);
  return { flags, positionals };
}

function readFlag(arg: string, specs: readonly FlagSpec[]) {
  const isLong = arg.startsWith("--");
  const equals = arg.indexOf("=");
  const nameEnd = isLong ? (equals > 0 ? equals : arg.length) : 2;
  const name = arg.slice(0, nameEnd);
  const rest = arg.slice(nameEnd);
  const spec = specs.find((known) => (isLong ? `--${known.name}` : `-${known.short ?? ""}`) === name);
  if (rest === "") return { name, spec };
  if (rest.startsWith("=")) return { name, spec, value: rest.slice(1) };
  // "-oyaml" is "-o yaml", and "-so yaml" is "-s -o yaml".
  return spec?.isSwitch ? { name, spec, others: `-${rest}` } : { name, spec, value: rest };
}

function unknownFlag(name: string, specs: readonly FlagSpec[], { path, commands }: CommandHelp): ConfigProblem {
  const bare = name.replace(/^-+/, "");
  const isNameable = bare.length <= 40;
  const near = isNameable
    ? findNearMiss(
        bare,
        specs.map((spec) => spec.name),
      )
    : undefined;
  const command = isNameable && near === undefined ? findNearMiss(bare, commands) : undefined;
  const meant = near === undefined ? command && `${path} ${command}` : `--${near}`;
  const hint = meant === undefined ? `see ${path} --help` : `did you mean ${meant}?`;
  return {
    code: "unknown-flag",
    option: name,
    message: `Cannot use flag ${quoteValue(name)}: it is not known; ${hint}`,
  };
}
