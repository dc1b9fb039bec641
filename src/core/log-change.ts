/**
 * A change of log levels while the agent runs, as `install-cni log-level` asks for it over the admin socket: how it is written
 * in a request, and how it is read there. Pure; who carries it out is agent/status/log-levels.ts.
 */

import { duration } from "./config/value-type.ts";
import { parseScopeLevel, SCOPE_LEVEL_ACCEPTED, type ScopeLevels } from "./log-levels.ts";
import { quoteText } from "./short-text.ts";

export interface LogLevelChange {
  /** In the order given. */
  readonly levels: ScopeLevels;
  /** Forget every change before this one: what the configuration says holds again. */
  readonly isReset: boolean;
  /** undefined: until the agent ends. */
  readonly forMs: number | undefined;
}

/** How long a change may hold that ends by itself. */
export const LOG_CHANGE_SPAN = duration(1000, 24 * 3_600_000);

/** One change has no more levels than this. */
export const LOG_CHANGE_LEVELS_MAX = 64;

/** "level=cni-agent%3Ddebug&for=10m": what stands behind the "?" of `PUT /log-levels`. */
export function renderLogChange({ levels, isReset, forMs }: LogLevelChange): string {
  const parts = levels.map(({ scope, level }) => `level=${encodeURIComponent(`${scope}=${level}`)}`);
  if (isReset) parts.push("reset=true");
  if (forMs !== undefined) parts.push(`for=${LOG_CHANGE_SPAN.render(forMs)}`);
  return parts.join("&");
}

/** The change, or a sentence that says why it is none. Somebody may have typed the request by hand. */
export function parseLogChange(query: Iterable<readonly [string, string]>): LogLevelChange | string {
  const levels: ScopeLevels[number][] = [];
  let isReset = false;
  let forMs: number | undefined;
  for (const [name, text] of query) {
    const quoted = quoteText(text);
    if (name === "level") {
      const level = parseScopeLevel(text);
      if (level === undefined) return `Cannot set log level ${quoted}; accepted: ${SCOPE_LEVEL_ACCEPTED}`;
      levels.push(level);
    } else if (name === "for") {
      forMs = LOG_CHANGE_SPAN.parse(text);
      if (forMs === undefined) return `Cannot change log levels for ${quoted}; accepted: ${LOG_CHANGE_SPAN.accepts}`;
    } else if (name === "reset" && text === "true") {
      isReset = true;
    } else {
      return `Cannot change log levels: ${quoteText(name)} is not known; accepted: level=SCOPE=LEVEL, for=DURATION, reset=true`;
    }
  }
  if (levels.length > LOG_CHANGE_LEVELS_MAX) {
    return `Cannot change ${levels.length} log levels at once; accepted: at most ${LOG_CHANGE_LEVELS_MAX}`;
  }
  if (levels.length === 0 && !isReset) {
    return "Cannot change log levels: none is named; accepted: level=SCOPE=LEVEL, reset=true";
  }
  if (levels.length === 0 && forMs !== undefined) {
    return "Cannot change log levels for a time: none is named that could hold for it; accepted: level=SCOPE=LEVEL besides";
  }
  return { levels, isReset, forMs };
}
