/**
 * The log levels of the running agent: which hold, and changing them without a restart, for good or for a time. A change for a
 * time lies over the others and ends by itself, so that nobody has to remember a scope left at debug.
 */

import type { Logger } from "../../core/log.ts";
import type { LogLevelChange } from "../../core/log-change.ts";
import { createLogLevelTable, type LogLevelTable, renderScopeLevels, type ScopeLevels } from "../../core/log-levels.ts";
import { LOG_LEVELS_SCHEMA_VERSION, type LogLevelsDocument } from "../../core/status/log-levels-document.ts";
import type { Clock } from "../../platform/clock.ts";

export interface LogLevelsDeps {
  /** That of the agent's loggers; nobody else changes it. */
  readonly table: LogLevelTable;
  readonly clock: Clock;
  /** Says what was changed, whatever the levels are. */
  readonly audit: Pick<Logger, "info">;
}

export interface LogLevels {
  document(): LogLevelsDocument;
  /** Holds from the next log line on. */
  change(change: LogLevelChange): void;
  /** Ends changes that were for a time, until the signal aborts. Rejects for nothing. */
  run(signal: AbortSignal): Promise<void>;
}

/** @param configured what the agent was started with */
export function createLogLevels({ table, clock, audit }: LogLevelsDeps, configured: ScopeLevels): LogLevels {
  let standing = createLogLevelTable(configured);
  let passing: { readonly levels: ScopeLevels; readonly untilMs: number } | undefined;
  let changed = Promise.withResolvers<void>();

  const apply = (): void => {
    table.set([
      { scope: "all", level: standing.levelOf("default") },
      ...standing.entries(),
      ...(passing?.levels ?? []),
    ]);
  };

  return {
    document: () => ({
      schemaVersion: LOG_LEVELS_SCHEMA_VERSION,
      levels: table.entries(),
      configured: createLogLevelTable(configured).entries(),
      temporary:
        passing === undefined
          ? null
          : {
              levels: passing.levels,
              secondsLeft: Math.max(0, Math.ceil((passing.untilMs - clock.nowMs()) / 1000)),
            },
    }),
    change({ levels, isReset, forMs }) {
      if (isReset) {
        standing = createLogLevelTable(configured);
        passing = undefined;
      }
      if (forMs === undefined) {
        standing.set(levels);
        // Who sets a level for good does not expect another one to stay over it.
        passing = passing && { ...passing, levels: withoutScopes(passing.levels, levels) };
        if (passing?.levels.length === 0) passing = undefined;
      } else {
        const before = withoutScopes(passing?.levels ?? [], levels);
        passing = { levels: [...before, ...levels], untilMs: clock.nowMs() + forMs };
      }
      apply();
      audit.info("Log levels were changed over the admin socket", {
        ...(levels.length > 0 && { levels: renderScopeLevels(levels) }),
        ...(isReset && { reset: true }),
        ...(forMs !== undefined && { forSeconds: forMs / 1000 }),
        now: renderScopeLevels(table.entries()),
      });
      changed.resolve();
    },
    async run(signal) {
      while (!signal.aborted) {
        const woken = new AbortController();
        changed = Promise.withResolvers();
        void changed.promise.then(() => woken.abort());
        const waitMs = passing === undefined ? Number.POSITIVE_INFINITY : passing.untilMs - clock.nowMs();
        if (waitMs > 0) await clock.sleep(waitMs, AbortSignal.any([signal, woken.signal])).catch(() => undefined);
        if (passing === undefined || clock.nowMs() < passing.untilMs) continue;
        passing = undefined;
        apply();
        audit.info("Log levels are back to what they were", { now: renderScopeLevels(table.entries()) });
      }
    },
  };
}

/** "all" in the later ones stands for every scope. */
function withoutScopes(levels: ScopeLevels, later: ScopeLevels): ScopeLevels {
  const scopes = new Set(later.map(({ scope }) => scope));
  return scopes.has("all") ? [] : levels.filter(({ scope }) => !scopes.has(scope));
}
