// 5. The time added to ADD in sidecar mode, by calls of the plugin alone: one by one and many at once, for each way to write
// rules. Ambient mode's is ambient-add-section.ts.
import { type AddKind, prepareSides } from "./add-contest.ts";
import { measureMode } from "./add-modes.ts";
import type { BenchBackend } from "./backends.ts";
import type { Bench } from "./bench-node.ts";
import { addBudget, BASELINE, pluginBudget } from "./budget.ts";
import type { Figure } from "./figure.ts";
import { startMeasuredAgent } from "./measured-agent.ts";
import { largestOf } from "./plan.ts";

export async function measureSidecarAdd(bench: Bench): Promise<Figure[]> {
  const size = largestOf(bench.plan.bursts);
  const pods = { plain: size, sidecar: size };
  return measureMode(bench, bench.plan.bursts, async (backend, owned) => {
    const api = owned.use(await bench.startStandIn(pods, { starting: true }));
    const upstreamApi =
      bench.upstream === undefined ? undefined : owned.use(await bench.startStandIn(pods, { starting: true }));
    const agent = owned.use(await startMeasuredAgent(bench, "ours", api, { env: backend.env }));
    const sides = prepareSides(bench, backend, api, upstreamApi);
    return { title: backend.name, agent, sides, kinds: [PLAIN, sidecarKind(backend)] };
  });
}

const PLAIN: AddKind = {
  pods: "plain",
  text: "pod outside the mesh",
  row: "plugin",
  isCaptured: false,
  budget: pluginBudget,
  baseline: { wallMs: BASELINE.pluginMs.plainAdd, cpuMs: BASELINE.plainAddCpuMs, executions: 0 },
  mostExecutions: 0,
};

export function sidecarKind({ share, baseline, mostExecutions }: BenchBackend): AddKind {
  return {
    pods: "sidecar",
    text: "sidecar pod",
    row: "sidecarAdd",
    isCaptured: true,
    budget: (_, upstreamMs) => (share === undefined ? undefined : addBudget("sidecarAdd", share, upstreamMs)),
    ...(baseline === undefined ? {} : { baseline }),
    ...(mostExecutions === undefined ? {} : { mostExecutions }),
  };
}
