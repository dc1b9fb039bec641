// 5. The time added to ADD in sidecar mode, by calls of the plugin alone: one by one and many at once, for each way to write
// rules. Ambient mode's is ambient-add-section.ts.
import { setTimeout as sleep } from "node:timers/promises";
import { measureBurst } from "./add-burst.ts";
import { type AddContest, type AddKind, prepareSides } from "./add-contest.ts";
import { measureSingles } from "./add-singles.ts";
import { BACKENDS, type BenchBackend } from "./backends.ts";
import type { Bench } from "./bench-node.ts";
import { addBudget, BASELINE, pluginBudget } from "./budget.ts";
import type { Figure } from "./figure.ts";
import { startMeasuredAgent } from "./measured-agent.ts";
import { largestOf } from "./plan.ts";

/** The kernel takes a finished contest's namespaces down, some hundred of them, in the background. */
const QUIET_MS = 3000;

export async function measureSidecarAdd(bench: Bench): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const backend of BACKENDS) {
    bench.say(`  ${backend.name}`);
    figures.push(...(await measureBackend(bench, backend)));
    await sleep(QUIET_MS);
  }
  return figures;
}

async function measureBackend(bench: Bench, backend: BenchBackend): Promise<Figure[]> {
  const size = largestOf(bench.plan.bursts);
  const pods = { plain: size, sidecar: size };
  await using api = await bench.startStandIn(pods, { starting: true });
  await using upstreamApi =
    bench.upstream === undefined ? undefined : await bench.startStandIn(pods, { starting: true });
  await using agent = await startMeasuredAgent(bench, "ours", api, { env: backend.env });
  using netnses = new DisposableStack();
  const contest: AddContest = {
    bench,
    title: backend.name,
    agent,
    sides: prepareSides(bench, backend, api, upstreamApi),
    kinds: [PLAIN, sidecarKind(backend)],
    netnses,
  };
  const figures = await measureSingles(contest);
  for (const burst of bench.plan.bursts) {
    bench.say(`    ${burst.size} at once`);
    figures.push(...(await measureBurst(contest, burst)));
  }
  return figures;
}

const PLAIN: AddKind = {
  pods: "plain",
  text: "pod outside the mesh",
  isCaptured: false,
  budget: pluginBudget,
  baseline: { wallMs: BASELINE.pluginMs.plainAdd, cpuMs: BASELINE.plainAddCpuMs, executions: 0 },
  mostExecutions: 0,
};

function sidecarKind({ share, baseline, mostExecutions }: BenchBackend): AddKind {
  return {
    pods: "sidecar",
    text: "sidecar pod",
    isCaptured: true,
    budget: (_, upstreamMs) => (share === undefined ? undefined : addBudget(share, upstreamMs)),
    ...(baseline === undefined ? {} : { baseline }),
    ...(mostExecutions === undefined ? {} : { mostExecutions }),
  };
}
