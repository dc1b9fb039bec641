/**
 * `install-cni explain NAMESPACE/POD`: why this pod is in the mesh or not, what should be captured, what was found, and what
 * the kernel holds now.
 */

import { renderExplanation } from "../../core/status/render-explanation.ts";
import { POD_EXPLANATION } from "../../core/status/status-document.ts";
import { renderJson } from "../../core/text-columns.ts";
import { askAgent, QUERY_EXIT_CODES, type QueryInput, type QueryOutcome } from "./ask-agent.ts";

export interface ExplainInput extends QueryInput {
  readonly pod: { readonly namespace: string; readonly name: string };
  /** Show the rules one by one. */
  readonly withRules: boolean;
}

/** @throws {ConfigError} for a run directory that is none. */
export async function explainPod(input: ExplainInput): Promise<QueryOutcome> {
  const { namespace, name } = input.pod;
  const target = `/pods/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
  const answer = await askAgent(target, POD_EXPLANATION, input);
  if ("outcome" in answer) return answer.outcome;
  const { document } = answer;
  const isInOrder = !document.pod.needsAttention && document.live.state !== "differs";
  return {
    stdout: input.output === "json" ? renderJson(document) : renderExplanation(document, input),
    stderr: "",
    exitCode: isInOrder ? QUERY_EXIT_CODES.allGood : QUERY_EXIT_CODES.needsAttention,
  };
}
