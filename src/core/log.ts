/**
 * What a log line is made of: levels, scopes, labels, and the `Logger` that every service is given.
 * Types and names. How a line looks is log-format.ts, which lines pass is log-levels.ts, how the two
 * become a Logger is log-writer.ts; where bytes go is platform/log.ts.
 */

/** Severities from most to least talkative, spelled as istio's pkg/log/options.go@1.30.3 spells them; "none" mutes a scope. */
export const LOG_LEVELS = ["debug", "info", "warn", "error", "fatal", "none"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Severities a line can have. */
export type LogSeverity = Exclude<LogLevel, "fatal" | "none">;

/**
 * Scopes this agent writes to. `cni-agent` is everything the agent says of itself, `cni-plugin` is what plugins
 * relay, `default` is the scope of the process around them. A sub-scope (`cni-agent.repair`) has its parent's level.
 */
export const LOG_SCOPES = ["default", "cni-agent", "cni-plugin"] as const;

export type LogLabels = Readonly<Record<string, string | number | boolean>>;

/** Never throws and never blocks for long; a line that cannot be written is counted and dropped. */
export interface Logger {
  debug(message: string, labels?: LogLabels): void;
  info(message: string, labels?: LogLabels): void;
  warn(message: string, labels?: LogLabels): void;
  error(message: string, labels?: LogLabels): void;
  /** A logger of another scope, e.g. `log.scope("cni-plugin")`; it shares levels and sink with this one. */
  scope(name: string): Logger;
}

/** For whoever tells in another way what was done. */
export const SILENT: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  scope: () => SILENT,
};
