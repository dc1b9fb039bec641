/**
 * Which lines pass: the grammar of `--log_output_level`, how it meets LOG_LEVEL, and the table of levels that can be
 * changed while the agent runs. How lines look is log-format.ts.
 */

import { LOG_LEVELS, LOG_SCOPES, type LogLevel, type LogSeverity } from "./log.ts";

/** Entries in the order written; scope "all" stands for every scope. */
export type ScopeLevels = readonly { readonly scope: string; readonly level: LogLevel }[];

export const SCOPE_LEVELS_ACCEPTED = `<scope>:<level>,… or <level> alone for scope default; levels are ${LOG_LEVELS.join(", ")}; scope all means every one`;

/** Scope names of upstream's binary: accepted without a word, there is nothing here that writes to them. */
const FOREIGN_SCOPES = ["grpc", "klog", "controllers", "krt", "monitoring", "validation", "spiffe", "ads", "model"];
const OWN_SCOPES: readonly string[] = [...LOG_SCOPES, "all"];

/** Scopes that mean something here, for messages. */
export const SCOPES_KNOWN = OWN_SCOPES.join(", ");

const MAX_ENTRIES = 64;
const SCOPE_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

export function parseLogLevel(text: string): LogLevel | undefined {
  return LOG_LEVELS.find((level) => level === text);
}

/**
 * Reads `default:debug,cni-agent:info`. undefined when a level is unknown, a scope is no name or an entry has two colons
 * (upstream logs that and goes on with defaults: pkg/log/config.go:239-309@1.30.3).
 */
export function parseScopeLevels(text: string): ScopeLevels | undefined {
  if (text === "") return [];
  const entries = text.split(",", MAX_ENTRIES + 1);
  if (entries.length > MAX_ENTRIES) return undefined;
  const levels: { scope: string; level: LogLevel }[] = [];
  for (const entry of entries) {
    const parts = entry.trim().split(":");
    if (parts.length > 2) return undefined;
    const scope = parts.length === 2 ? (parts[0] ?? "") : "default";
    const level = parseLogLevel(parts[parts.length - 1] ?? "");
    if (level === undefined || !SCOPE_NAME.test(scope)) return undefined;
    levels.push({ scope, level });
  }
  return levels;
}

export const SCOPE_LEVEL_ACCEPTED =
  "SCOPE=LEVEL or LEVEL alone; scopes are default, cni-agent, cni-plugin and all, levels are debug, info, warn, error, fatal and none";

/**
 * Reads one change that somebody makes by hand: `cni-agent=debug`, `cni-agent:debug` or `debug`. A scope to which nothing
 * here writes is refused: it would seem to have worked.
 */
export function parseScopeLevel(text: string): ScopeLevels[number] | undefined {
  const [entry, ...others] = text.includes(",") ? [] : (parseScopeLevels(text.replace("=", ":")) ?? []);
  return entry === undefined || others.length > 0 || !isOwnScope(entry.scope) ? undefined : entry;
}

function isOwnScope(scope: string): boolean {
  return OWN_SCOPES.includes(scope.split(".")[0] ?? scope);
}

export function renderScopeLevels(levels: ScopeLevels): string {
  return levels.map(({ scope, level }) => `${scope}:${level}`).join(",");
}

/** Scopes of a list that neither this agent nor upstream's has. Upstream ignores them in silence. */
export function unknownScopes(levels: ScopeLevels): readonly string[] {
  const names = levels.map(({ scope }) => scope.split(".")[0] ?? scope);
  return [...new Set(names.filter((name) => !OWN_SCOPES.includes(name) && !FOREIGN_SCOPES.includes(name)))];
}

/**
 * What holds at start. A flag that speaks for all lines (a bare level, `default:` or `all:`) replaces `base`
 * (LOG_LEVEL); one that names other scopes only is laid over it.
 */
export function mergeScopeLevels(base: LogLevel, flag: ScopeLevels): ScopeLevels {
  if (speaksForAll(flag)) return flag;
  return [{ scope: "all", level: base }, ...flag];
}

/** True when a list of levels leaves nothing for LOG_LEVEL to say. */
export function speaksForAll(levels: ScopeLevels): boolean {
  return levels.some(({ scope }) => scope === "default" || scope === "all");
}

export interface LogLevelTable {
  /** The level of a scope: its own, else its parent's ("a.b" → "a"), else that of `default`. */
  levelOf(scope: string): LogLevel;
  /** True when a line of this severity passes. */
  passes(scope: string, severity: LogSeverity): boolean;
  /** Changes levels from now on; scope "all" forgets every other entry. */
  set(levels: ScopeLevels): void;
  /** Every entry that holds, `default` first. */
  entries(): ScopeLevels;
}

/**
 * `cni-plugin` starts at info whatever `default` is, as upstream's does (contract 1.4: a bare `debug` does not reach the
 * plugins); `cni-agent` follows `default`, unlike upstream's, where a bare `debug` changes nothing that anybody sees.
 */
export function createLogLevelTable(initial: ScopeLevels): LogLevelTable {
  const levels = new Map<string, LogLevel>([
    ["default", "info"],
    ["cni-plugin", "info"],
  ]);
  const levelOf = (scope: string): LogLevel => {
    for (let name = scope; ; ) {
      const level = levels.get(name);
      if (level !== undefined) return level;
      const dot = name.lastIndexOf(".");
      if (dot < 0) return levels.get("default") ?? "info";
      name = name.slice(0, dot);
    }
  };
  const set = (changes: ScopeLevels): void => {
    for (const { scope, level } of changes) {
      if (scope === "all") {
        levels.clear();
        levels.set("default", level);
      } else if (levels.has(scope) || levels.size < MAX_ENTRIES) {
        levels.set(scope, level);
      }
    }
  };
  set(initial);
  return {
    levelOf,
    passes: (scope, severity) => LOG_LEVELS.indexOf(severity) >= LOG_LEVELS.indexOf(levelOf(scope)),
    set,
    entries: () => [...levels].map(([scope, level]) => ({ scope, level })),
  };
}
