/**
 * Finds the value of every option: flag before environment variable before default. A variable that is set but empty
 * counts as unset, a malformed value of a known option is an error, unknown variables are ignored (at most a hint).
 * What the values mean together is agent-config.ts.
 */

import { type AgentConfig, assembleConfig } from "./agent-config.ts";
import { ConfigError, type ConfigProblem, malformedValue } from "./config-error.ts";
import { findNearMiss } from "./near-miss.ts";
import type { Option, ValueSource } from "./option.ts";
import { ALL_OPTIONS, type OptionEntry, type OptionValues, optionName } from "./options.ts";

export interface ConfigInput {
  /** Texts per flag name, from parseCommandLine(). */
  readonly flags: ReadonlyMap<string, readonly string[]>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface ResolvedConfig {
  readonly config: AgentConfig;
  readonly values: OptionValues;
  /** Where each value comes from, by option id ("install.cniConfName"). */
  readonly sources: Readonly<Record<string, ValueSource>>;
  /** Things that are probably not meant, one sentence each. */
  readonly warnings: readonly string[];
  /** Things worth saying once: options without effect, empty variables, overridden values. */
  readonly notes: readonly string[];
}

/** Hints about unknown variables; a pod has hundreds of them. */
const HINTS_MAX = 5;
const ENV_NAME_MAX = 64;
/** So many texts of one option are named where they are refused; a flag can be given a thousand times. */
const REFUSED_TEXTS_MAX = 5;

/** @throws ConfigError naming every option whose value is refused, what it was and what is accepted */
export function resolveConfig(input: ConfigInput): ResolvedConfig {
  const problems: ConfigProblem[] = [];
  const warnings: string[] = [];
  const notes: string[] = [];
  const sources: Record<string, ValueSource> = {};
  const groups: Record<string, Record<string, unknown>> = {};
  const inert: string[] = [];
  for (const entry of ALL_OPTIONS) {
    const given = findGiven(entry.option, input, notes);
    const value = given === undefined ? entry.option.fallback : parseGiven(entry, given, problems, warnings);
    sources[entry.id] = given?.source ?? "default";
    if (given !== undefined && entry.option.inert !== undefined) inert.push(`${given.name} (${entry.option.inert})`);
    const [group = "", key = ""] = entry.id.split(".");
    groups[group] = { ...groups[group], [key]: value };
  }
  if (inert.length > 0) notes.push(`Accepted without effect: ${inert.join(", ")}`);
  warnings.push(...hintAtNearMisses(input.env));
  throwIfAny(problems);
  // The table's keys and types are what OptionValues is derived from.
  const values = groups as unknown as OptionValues;
  const assembled = assembleConfig(values, sources);
  throwIfAny(assembled.problems);
  return {
    config: assembled.config,
    values,
    sources,
    warnings: [...warnings, ...assembled.warnings],
    notes: [...notes, ...assembled.notes],
  };
}

interface GivenValue {
  readonly source: "flag" | "environment";
  readonly name: string;
  readonly texts: readonly string[];
}

function findGiven(option: Option<unknown>, input: ConfigInput, notes: string[]): GivenValue | undefined {
  const texts = option.flag === undefined ? undefined : input.flags.get(option.flag);
  if (texts !== undefined) return { source: "flag", name: `--${option.flag}`, texts };
  const text = option.env === undefined ? undefined : input.env[option.env];
  if (option.env === undefined || text === undefined) return undefined;
  if (text !== "") return { source: "environment", name: option.env, texts: [text] };
  const fallback = option.type.render(option.fallback);
  // Upstream reads an empty variable as "", false or 0; said only where that was another value than ours.
  if (option.inert === undefined && !["", "false", "0"].includes(fallback)) {
    notes.push(`${option.env} is set but empty, which counts as unset: ${fallback} holds`);
  }
  return undefined;
}

function parseGiven(entry: OptionEntry, given: GivenValue, problems: ConfigProblem[], warnings: string[]): unknown {
  const { type, repeatable } = entry.option;
  const values: unknown[] = [];
  let refused = 0;
  for (const text of given.texts) {
    const value = type.parse(text);
    if (value === undefined && ++refused <= REFUSED_TEXTS_MAX) {
      problems.push(malformedValue(given.name, text, type.accepts, type.fault?.(text)));
    }
    const caution = type.caution?.(text);
    if (caution !== undefined) warnings.push(`${given.name}: ${caution}`);
    values.push(value);
  }
  return repeatable === true ? values.flat() : values.at(-1);
}

function hintAtNearMisses(env: ConfigInput["env"]): readonly string[] {
  const known = new Set(ALL_OPTIONS.flatMap(({ option }) => option.env ?? []));
  const hints: string[] = [];
  for (const name of Object.keys(env)) {
    if (known.has(name) || name.length > ENV_NAME_MAX || name.length < 6 || !/^[A-Z0-9_]+$/.test(name)) continue;
    const near = findNearMiss(name, known);
    if (near === undefined) continue;
    hints.push(`Environment variable ${name} is not known and ignored; did you mean ${near}?`);
    if (hints.length === HINTS_MAX) break;
  }
  return hints;
}

function throwIfAny(problems: readonly ConfigProblem[]): void {
  const [first, ...others] = problems;
  if (first !== undefined) throw new ConfigError([first, ...others]);
}

/** Options of a listing: the name to show, the value's text and where it comes from. */
export function listValues(resolved: ResolvedConfig): readonly EffectiveOption[] {
  const groups: Readonly<Record<string, Readonly<Record<string, unknown>>>> = resolved.values;
  return ALL_OPTIONS.map(({ id, option }) => {
    const [group = "", key = ""] = id.split(".");
    const source = resolved.sources[id] ?? "default";
    return {
      name: optionName(option),
      ...(option.flag === undefined ? {} : { flag: option.flag }),
      ...(option.env === undefined ? {} : { env: option.env }),
      value: option.type.render(groups[group]?.[key]),
      ...(source === "default" && option.fallbackText !== undefined ? { standsFor: option.fallbackText } : {}),
      source,
      hasEffect: option.inert === undefined,
    };
  });
}

export interface EffectiveOption {
  readonly name: string;
  readonly flag?: string;
  readonly env?: string;
  readonly value: string;
  /** What an empty default stands for. */
  readonly standsFor?: string;
  readonly source: ValueSource;
  readonly hasEffect: boolean;
}
