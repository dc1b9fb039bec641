/**
 * A Logger made of its parts: levels decide, the format renders, `write` takes the line. Time and sink are given, so this
 * stays free of both.
 */

import type { Logger, LogLabels, LogSeverity } from "./log.ts";
import { type LogRecord, renderConsoleLine, renderJsonLine } from "./log-format.ts";
import type { LogLevelTable } from "./log-levels.ts";

export interface LoggerDeps {
  /** Wall time since 1970 in microseconds. */
  epochMicros(): number;
  /** Takes one line without its line break. Must not throw. */
  write(line: string): void;
}

export interface LoggerOptions {
  readonly levels: LogLevelTable;
  readonly asJson: boolean;
  readonly scope: string;
}

/** Level changes in `levels` hold from the next line on, for every logger made from it. */
export function createLogger(deps: LoggerDeps, { levels, asJson, scope }: LoggerOptions): Logger {
  const render: (record: LogRecord) => string = asJson ? renderJsonLine : renderConsoleLine;
  const writerOf = (level: LogSeverity) => (message: string, labels?: LogLabels) => {
    if (!levels.passes(scope, level)) return;
    deps.write(render({ epochMicros: deps.epochMicros(), level, scope, message, ...(labels && { labels }) }));
  };
  return {
    debug: writerOf("debug"),
    info: writerOf("info"),
    warn: writerOf("warn"),
    error: writerOf("error"),
    scope: (name) => createLogger(deps, { levels, asJson, scope: name }),
  };
}
