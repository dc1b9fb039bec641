// What ambient mode wants made of a pod's network namespace, in one word for whoever looks after the rules there. The other
// side of enrolment-steps.ts: a step "capture" or "release" is done when this wish is fulfilled.
import type { AmbientDecision, AmbientPlan, AmbientReason } from "./ambient-decision.ts";
import type { EnrolmentFacts } from "./enrolment-steps.ts";

export type RulesWish =
  /** These rules; `whyNotYet`: look whether they stand, and leave it as it is for now. */
  | {
      readonly kind: "capture";
      readonly reason: AmbientReason;
      readonly plan: AmbientPlan;
      readonly whyNotYet: string | undefined;
    }
  /** The pod was in: no rules of ambient mode any more. */
  | { readonly kind: "release"; readonly reason: AmbientReason }
  /** Nothing is concluded: leave what is there. */
  | { readonly kind: "hold"; readonly reason: AmbientReason }
  /** No business of ambient mode. */
  | { readonly kind: "none"; readonly reason: AmbientReason };

/** A pod that was never in is redirected when ztunnel listens in its namespace, and not before: its connections would go to
 * nobody. One that was in stays in. */
export function decideRulesWish(
  decision: AmbientDecision,
  facts: Pick<EnrolmentFacts, "wasIn" | "annotation" | "ztunnel">,
): RulesWish {
  const { reason } = decision;
  if (decision.kind === "unknown") return { kind: "hold", reason };
  const wasIn = facts.wasIn || facts.annotation !== "none";
  if (decision.kind === "out") {
    return { kind: wasIn && reason !== "finished" ? "release" : "none", reason };
  }
  const whyNotYet = wasIn || facts.ztunnel === "acknowledged" ? undefined : "ztunnel has not taken the pod yet";
  return { kind: "capture", reason, plan: decision.plan, whyNotYet };
}
