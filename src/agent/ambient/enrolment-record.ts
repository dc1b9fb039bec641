// What is known of one pod in ambient mode: what is wanted and why, how far it has come, and what it waits for.
import type { Pod } from "../../core/kube/pod.ts";
import type { EnrolmentFacts, EnrolmentPlan, EnrolmentStep, EnrolmentWait } from "../../core/policy/enrolment-steps.ts";

/**
 * - `enrolled`: captured, verified, acknowledged by ztunnel and said so in the annotation.
 * - `enrolling`: on its way in. `leaving`: on its way out. `out`: not in the mesh, and nothing of ours is left.
 * - `waiting`: nothing can be done now; `waits` says for what. `failed`: a step failed and is tried again.
 */
export type EnrolmentState = "enrolled" | "enrolling" | "leaving" | "out" | "waiting" | "failed";

/** One pod, as status and `explain` show it. Plain data. */
export interface EnrolmentRecord {
  readonly podUid: string;
  readonly podNamespace: string;
  readonly podName: string;
  readonly state: EnrolmentState;
  /** The rule of policy that puts the pod in or out. */
  readonly reason: string;
  readonly facts: EnrolmentFacts | undefined;
  readonly waits: EnrolmentWait | undefined;
  /** The step that failed last, and how, until a look finds nothing wrong. */
  readonly failedStep: EnrolmentStep | undefined;
  readonly message: string | undefined;
  /** When the pod came to be in this state; milliseconds since 1970. */
  readonly sinceMs: number;
}

/** Of a pod that nobody has looked at. */
export function newRecord({ uid, namespace, name }: Pod, wallMs: number): EnrolmentRecord {
  return {
    podUid: uid,
    podNamespace: namespace,
    podName: name,
    state: "out",
    reason: "",
    facts: undefined,
    waits: undefined,
    failedStep: undefined,
    message: undefined,
    sinceMs: wallMs,
  };
}

/** After a look. What failed before stays told until nothing is left to do. */
export function noteLook(
  record: EnrolmentRecord,
  { facts, reason, plan }: { readonly facts: EnrolmentFacts; readonly reason: string; readonly plan: EnrolmentPlan },
  wallMs: number,
): EnrolmentRecord {
  const isFailing = record.failedStep !== undefined && plan.steps.includes(record.failedStep);
  const state = isFailing ? "failed" : stateOf(facts, plan);
  return {
    ...record,
    state,
    sinceMs: state === record.state ? record.sinceMs : wallMs,
    reason,
    facts,
    waits: plan.waits,
    ...(!isFailing && { failedStep: undefined, message: undefined }),
  };
}

/** After a step that failed. */
export function noteFailure(
  record: EnrolmentRecord,
  step: EnrolmentStep,
  message: string,
  wallMs: number,
): EnrolmentRecord {
  const sinceMs = record.state === "failed" ? record.sinceMs : wallMs;
  return { ...record, state: "failed", sinceMs, failedStep: step, message };
}

function stateOf({ wanted }: EnrolmentFacts, { steps, waits }: EnrolmentPlan): EnrolmentState {
  if (wanted === "unknown") return "waiting";
  if (wanted !== "in") return steps.length > 0 ? "leaving" : "out";
  if (steps.length > 0) return "enrolling";
  return waits === undefined ? "enrolled" : "waiting";
}
