/**
 * `install-cni log-level`: which levels the log of the running agent has, and changing them without a restart.
 */

import { type LogLevelChange, renderLogChange } from "../../core/log-change.ts";
import { LOG_LEVELS_DOCUMENT, renderLogLevels } from "../../core/status/log-levels-document.ts";
import { renderJson } from "../../core/text-columns.ts";
import { askAgent, QUERY_EXIT_CODES, type QueryInput, type QueryOutcome } from "./ask-agent.ts";

/** @throws {ConfigError} for a run directory that is none. */
export async function logLevel(input: Omit<QueryInput, "hasColours"> & LogLevelChange): Promise<QueryOutcome> {
  const isChange = input.levels.length > 0 || input.isReset;
  const target = isChange ? `/log-levels?${renderLogChange(input)}` : "/log-levels";
  const answer = await askAgent(target, LOG_LEVELS_DOCUMENT, input, isChange ? "PUT" : "GET");
  if ("outcome" in answer) return answer.outcome;
  const { document } = answer;
  return {
    stdout: input.output === "json" ? renderJson(document) : renderLogLevels(document),
    stderr: "",
    exitCode: QUERY_EXIT_CODES.allGood,
  };
}
