/**
 * `install-cni trace NAMESPACE/POD`: where a packet of the pod ends, by the rules that the kernel holds.
 */

import { renderJson } from "../../core/text-columns.ts";
import { renderTrace } from "../../core/trace/render-trace.ts";
import { TRACE_DOCUMENT, type TraceDocument } from "../../core/trace/trace-document.ts";
import { renderTraceTexts, type TraceTexts } from "../../core/trace/trace-query.ts";
import { askAgent, type QueryInput, type QueryOutcome } from "./ask-agent.ts";

export interface TraceInput extends QueryInput {
  readonly pod: { readonly namespace: string; readonly name: string };
  readonly texts: TraceTexts;
}

/** Documented in `install-cni trace --help`; what cannot be asked, and unknown pods, end as with the other commands. */
export const TRACE_EXIT_CODES = { redirected: 0, passed: 1, dropped: 4, unknown: 5 } as const satisfies Record<
  TraceDocument["verdict"],
  number
>;

/** @throws {ConfigError} for a run directory that is none. */
export async function traceInPod(
  input: TraceInput,
): Promise<Omit<QueryOutcome, "exitCode"> & { readonly exitCode: number }> {
  const { namespace, name } = input.pod;
  const path = `/pods/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}/trace`;
  const answer = await askAgent(`${path}?${renderTraceTexts(input.texts)}`, TRACE_DOCUMENT, input);
  if ("outcome" in answer) return answer.outcome;
  const { document } = answer;
  return {
    stdout: input.output === "json" ? renderJson(document) : renderTrace(document, input.hasColours),
    stderr: "",
    exitCode: TRACE_EXIT_CODES[document.verdict],
  };
}
