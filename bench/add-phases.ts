// What an agent itself measured of its ADDs, by its metrics: what lies between two readings belongs to the ADDs between them.
import type { TestAgent } from "../testbed/node/agent.ts";
import { metricTotal } from "./metric-total.ts";

/** The pod's rules; and from their end on the node's probe set and ztunnel's word, in ambient mode. */
export const ADD_PHASES = {
  program: "  of it the pod's rules, by the agent's histogram: the mean",
  ztunnel: "  of it the probe set and ztunnel, by the agent's histogram: the mean",
} as const;
export type AddPhase = keyof typeof ADD_PHASES;

export type PhaseTotals = Readonly<Record<AddPhase, { readonly sumMs: number; readonly count: number }>>;

export async function readPhaseTotals(agent: Pick<TestAgent, "get">): Promise<PhaseTotals> {
  const { text } = await agent.get(15014, "/metrics");
  const phase = (name: AddPhase): PhaseTotals[AddPhase] => ({
    sumMs: metricTotal(text, `istio_cni_agent_${name}_duration_seconds_sum`) * 1000,
    count: metricTotal(text, `istio_cni_agent_${name}_duration_seconds_count`),
  });
  return { program: phase("program"), ztunnel: phase("ztunnel") };
}

/** Milliseconds an ADD; phases that no ADD had between the readings are left out. */
export function meanPhases(before: PhaseTotals, after: PhaseTotals): readonly (readonly [AddPhase, number])[] {
  return (["program", "ztunnel"] as const).flatMap((phase) => {
    const adds = after[phase].count - before[phase].count;
    return adds > 0 ? [[phase, (after[phase].sumMs - before[phase].sumMs) / adds] as const] : [];
  });
}
