// Whether a pod was ever outside of its mesh, or one that has nothing to do with it inside, judged by nothing but the connections
// that were made: who answered. Pure. No rule, record or decision of the product is looked at.
import { FAMILIES } from "../../src/core/address.ts";
import { type Expectation, expectationOf, type PodPlan } from "./plan.ts";

/** One connection that was tried, in or out, by one family. Times in milliseconds of CLOCK_MONOTONIC. */
export interface Observation {
  readonly way: string;
  readonly beganMs: number;
  readonly endedMs: number;
  /** `captured`: a proxy's stand-in answered; `direct`: the application that it went to; all else did not get through. */
  readonly outcome: string;
}

/** Something that is nobody's fault but the soak's own: it took the rules away, or the entry of the plugin out of the chain that
 * the runtime went by. Holds from `fromMs` until the first connection that began after `doneMs` is captured again. */
export interface Excuse {
  readonly why: "rules flushed" | "runtime did not ask";
  readonly fromMs: number;
  readonly doneMs: number;
}

export interface Judgement {
  /** What must not have happened, a sentence each. */
  readonly breaches: readonly string[];
  /** Connections that passed by the proxy within an excuse: how long, from the first to the first that was captured again. */
  readonly exposures: readonly { readonly why: Excuse["why"]; readonly ms: number }[];
}

/** @param observations of one pod, those of each way in the order of their end. */
export function judgePod(plan: PodPlan, observations: readonly Observation[], excuses: readonly Excuse[]): Judgement {
  const judgements = FAMILIES.map((family) => {
    const ofFamily = observations.filter(({ way }) => way.endsWith(String(family)));
    return judgeConnections(expectationOf(plan, family), ofFamily, excuses);
  });
  return {
    breaches: judgements.flatMap(({ breaches }) => breaches),
    exposures: judgements.flatMap(({ exposures }) => exposures),
  };
}

/** The same for connections of which one thing is expected. */
export function judgeConnections(
  expectation: Expectation,
  observations: readonly Observation[],
  excuses: readonly Excuse[] = [],
): Judgement {
  if (expectation === "none" || expectation === "either") return { breaches: [], exposures: [] };
  if (expectation === "free") return { breaches: observations.flatMap(refuteFreedom).slice(0, 1), exposures: [] };
  const breaches: string[] = [];
  const exposures = new Map<Excuse, number>();
  for (const way of new Set(observations.map((observation) => observation.way))) {
    const open = new Set(excuses);
    const firstDirectMs = new Map<Excuse, number>();
    for (const observation of observations) {
      if (observation.way !== way) continue;
      if (observation.outcome === "direct") {
        const excuse = [...open].find(({ fromMs }) => fromMs <= observation.endedMs);
        if (excuse === undefined) breaches.push(`${describe(observation)}, past the proxy`);
        else if (!firstDirectMs.has(excuse)) firstDirectMs.set(excuse, observation.endedMs);
      }
      if (observation.outcome !== "captured") continue;
      for (const excuse of open) {
        if (observation.beganMs < excuse.doneMs) continue;
        open.delete(excuse);
        const sinceMs = firstDirectMs.get(excuse);
        if (sinceMs === undefined) continue;
        exposures.set(excuse, Math.max(exposures.get(excuse) ?? 0, observation.endedMs - sinceMs));
      }
    }
    for (const [excuse, sinceMs] of firstDirectMs)
      if (open.has(excuse) && !exposures.has(excuse))
        exposures.set(excuse, Math.max(0, ...observations.map(({ endedMs }) => endedMs - sinceMs)));
  }
  return { breaches: breaches.slice(0, 3), exposures: [...exposures].map(([{ why }, ms]) => ({ why, ms })) };
}

/** The peer and the application always listen, so only a rule to a port without a proxy refuses. */
function refuteFreedom(observation: Observation): string[] {
  const { outcome } = observation;
  return outcome === "captured" || outcome === "refused"
    ? [`${describe(observation)}, though it is not in the mesh`]
    : [];
}

function describe({ way, outcome, beganMs, endedMs }: Observation): string {
  return `${way}: ${outcome} (${beganMs.toFixed(0)} to ${endedMs.toFixed(0)})`;
}
