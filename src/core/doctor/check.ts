/**
 * One check of the node's preflight: what it is called, why it matters, and how facts become a result. The checks are tables
 * of these, one per part of the node; diagnosis.ts runs them. Pure: what could not be found out is a fact as well.
 */

import type { NodeFacts } from "./node-facts.ts";

/** `unknown`: it could not be found out, and the finding says why. `not-applicable`: this node does not need it. */
export const CHECK_RESULTS = ["ok", "warn", "fail", "unknown", "not-applicable"] as const;
export type CheckResult = (typeof CHECK_RESULTS)[number];

export interface CheckOutcome {
  readonly result: CheckResult;
  /** What is so on this node, one sentence without a full stop. */
  readonly finding: string;
  /** What a person can do; always there for `warn` and `fail`. */
  readonly nextStep?: string;
}

export interface CheckRow {
  /** "part.name"; scripts go by it, so it never changes its meaning. */
  readonly id: string;
  /** Why it matters, one sentence with a full stop. */
  readonly meaning: string;
  /** Complaints of upstream's users that this check would have named: threads of istio/istio unless written out. */
  readonly complaints: readonly string[];
  /** Total: any facts have an outcome. */
  decide(facts: NodeFacts): CheckOutcome;
}

export function ok(finding: string): CheckOutcome {
  return { result: "ok", finding };
}

export function warn(finding: string, nextStep: string): CheckOutcome {
  return { result: "warn", finding, nextStep };
}

export function fail(finding: string, nextStep: string): CheckOutcome {
  return { result: "fail", finding, nextStep };
}

export function unknown(finding: string, nextStep?: string): CheckOutcome {
  return nextStep === undefined ? { result: "unknown", finding } : { result: "unknown", finding, nextStep };
}

export function notApplicable(finding: string): CheckOutcome {
  return { result: "not-applicable", finding };
}
