/**
 * `install-cni status`: how the node and each of its pods are, as the agent that runs tells it.
 */

import { renderStatus } from "../../core/status/render-status.ts";
import { STATUS_DOCUMENT } from "../../core/status/status-document.ts";
import { renderJson } from "../../core/text-columns.ts";
import { askAgent, QUERY_EXIT_CODES, type QueryInput, type QueryOutcome } from "./ask-agent.ts";

/** @throws {ConfigError} for a run directory that is none. */
export async function showStatus(input: QueryInput): Promise<QueryOutcome> {
  const answer = await askAgent("/status", STATUS_DOCUMENT, input);
  if ("outcome" in answer) return answer.outcome;
  const { document } = answer;
  return {
    stdout: input.output === "json" ? renderJson(document) : renderStatus(document, input),
    stderr: "",
    exitCode: document.isAllGood ? QUERY_EXIT_CODES.allGood : QUERY_EXIT_CODES.needsAttention,
  };
}
