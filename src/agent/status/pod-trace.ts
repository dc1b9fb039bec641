// Traces one packet through the rules that the kernel holds for a pod at the moment somebody asks. Reads, and decides nothing:
// where the packet ends is core/trace.
import type { Pod } from "../../core/kube/pod.ts";
import type { PodCapture } from "../../core/rules/pod-capture.ts";
import { TRACE_SCHEMA_VERSION, type TraceDocument } from "../../core/trace/trace-document.ts";
import { type TracedNetns, tracePod } from "../../core/trace/trace-pod.ts";
import type { TraceQuery } from "../../core/trace/trace-query.ts";
import { lookIntoPod, type PodNetnsDeps } from "./pod-netns.ts";

export interface PodTraceDeps extends PodNetnsDeps {
  take(netnsFd: number): Promise<Omit<TracedNetns, "route">>;
  route(netnsFd: number, question: Parameters<TracedNetns["route"]>[0]): ReturnType<TracedNetns["route"]>;
  /** Milliseconds since 1970, and on the monotonic clock. */
  wallMs(): number;
  nowMs(): number;
}

export interface TracedPod {
  readonly node: string;
  readonly pod: Pod;
  /** What this pod should have; undefined: nothing. */
  readonly capture: PodCapture | undefined;
}

/** `unavailable`: the namespace cannot be looked into. `impossible`: the namespace cannot send or get such a packet. */
export type PodTraceOutcome =
  | { readonly kind: "traced"; readonly document: TraceDocument }
  | { readonly kind: "unavailable" | "impossible"; readonly message: string };

/** Rejects for nothing, and answers soon after the signal aborts. */
export async function tracePacket(
  deps: PodTraceDeps,
  { node, pod, capture }: TracedPod,
  query: TraceQuery,
  signal: AbortSignal,
): Promise<PodTraceOutcome> {
  const startedMs = deps.nowMs();
  const seen = await lookIntoPod(
    deps,
    pod,
    async (netnsFd) => {
      const picture = await deps.take(netnsFd);
      return tracePod(query, { ...picture, route: (question) => deps.route(netnsFd, question) }, capture);
    },
    signal,
  );
  if (seen.kind === "unavailable") return seen;
  const { netns, value } = seen;
  if ("problem" in value) return { kind: "impossible", message: `Cannot trace: ${value.problem}` };
  const { namespace, name, uid } = pod;
  return {
    kind: "traced",
    document: {
      schemaVersion: TRACE_SCHEMA_VERSION,
      at: new Date(deps.wallMs()).toISOString(),
      node,
      pod: { namespace, name, uid },
      netns,
      ...value,
      tookMs: Math.round((deps.nowMs() - startedMs) * 1000) / 1000,
    },
  };
}
