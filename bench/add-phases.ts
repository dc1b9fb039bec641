// What an agent itself measured of its ADDs, by its metrics: what lies between two readings belongs to the ADDs between them.
import type { TestAgent } from "../testbed/node/agent.ts";
import { metricTotal } from "./metric-total.ts";

/** All of it in the agent, from the request to the answer; the pod's rules; and from their end on the node's probe set and
 * ztunnel's word, in ambient mode. */
export const ADD_PHASES = {
  plugin_command: "  of it in the agent, by its histograms: the mean",
  program: "  of it the pod's rules, by the agent's histogram: the mean",
  ztunnel: "  of it the probe set and ztunnel, by the agent's histogram: the mean",
} as const;
export type AddPhase = keyof typeof ADD_PHASES;
const PHASES = Object.keys(ADD_PHASES) as AddPhase[];
/** What the plugin asks besides. */
const LABELS: Readonly<Partial<Record<AddPhase, string>>> = { plugin_command: 'command="ADD"' };

export type PhaseTotals = Readonly<Record<AddPhase, { readonly sumMs: number; readonly count: number }>>;

export async function readPhaseTotals(agent: Pick<TestAgent, "get">): Promise<PhaseTotals> {
  const { text } = await agent.get(15014, "/metrics");
  const phase = (name: AddPhase, what: "sum" | "count"): number =>
    metricTotal(text, `istio_cni_agent_${name}_duration_seconds_${what}`, LABELS[name]);
  const totals = (name: AddPhase): PhaseTotals[AddPhase] => ({
    sumMs: phase(name, "sum") * 1000,
    count: phase(name, "count"),
  });
  return { plugin_command: totals("plugin_command"), program: totals("program"), ztunnel: totals("ztunnel") };
}

/** Milliseconds an ADD; phases that no ADD had between the readings are left out. */
export function meanPhases(before: PhaseTotals, after: PhaseTotals): readonly (readonly [AddPhase, number])[] {
  return PHASES.flatMap((phase) => {
    const adds = after[phase].count - before[phase].count;
    return adds > 0 ? [[phase, (after[phase].sumMs - before[phase].sumMs) / adds] as const] : [];
  });
}
