/**
 * What `GET /log-levels` answers and `install-cni log-level` shows. Within one schemaVersion keys are only added.
 */

import { LOG_LEVELS } from "../log.ts";
import { renderScopeLevels } from "../log-levels.ts";
import { renderColumns, renderSpan } from "../text-columns.ts";
import { exactly, listOf, NUMBER, object, oneOf, orNull, TEXT, type TypeOf } from "./shape.ts";

export const LOG_LEVELS_SCHEMA_VERSION = 1;

const LEVELS = listOf(object({ scope: TEXT, level: oneOf(LOG_LEVELS) }));

export const LOG_LEVELS_DOCUMENT = object({
  schemaVersion: exactly(LOG_LEVELS_SCHEMA_VERSION),
  /** What holds; a scope that is not named has the level of the part before its last dot, else that of `default`. */
  levels: LEVELS,
  /** What the configuration says, which holds again at the next start. */
  configured: LEVELS,
  /** A change that ends by itself. */
  temporary: orNull(object({ levels: LEVELS, secondsLeft: NUMBER })),
});

export type LogLevelsDocument = TypeOf<typeof LOG_LEVELS_DOCUMENT>;

/** For people; ends with a line break. */
export function renderLogLevels({ levels, configured, temporary }: LogLevelsDocument): string {
  const rows = levels.map(({ scope, level }) => {
    const until = temporary?.levels.some((change) => change.scope === scope || change.scope === "all")
      ? `for ${renderSpan(temporary.secondsLeft)} more`
      : "";
    return [scope, level, configured.find((entry) => entry.scope === scope)?.level ?? "-", until];
  });
  const text = renderColumns([["SCOPE", "LEVEL", "CONFIGURED", ""], ...rows], false);
  return temporary === null ? text : `${text}\nEnds by itself: ${renderScopeLevels(temporary.levels)}\n`;
}
