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

/** @throws ConfigError for unknown flags and missing values, all of them at once */
export function parseCommandLine(argv: readonly string[], specs: readonly FlagSpec[]): CommandLine {
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
      problems.push(unknownFlag(name, specs));
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

function unknownFlag(name: string, specs: readonly FlagSpec[]): ConfigProblem {
  const bare = name.replace(/^-+/, "");
  const near =
    bare.length > 40
      ? undefined
      : findNearMiss(
          bare,
          specs.map((spec) => spec.name),
        );
  const hint = near === undefined ? "see install-cni --help" : `did you mean --${near}?`;
  return {
    code: "unknown-flag",
    option: name,
    message: `Cannot use flag ${quoteValue(name)}: it is not known; ${hint}`,
  };
}
