// 5. The time added to ADD in ambient mode, by calls of the plugin alone, with a ztunnel that acknowledges: one by one and
// many at once, for each way to write rules. Upstream's plugin is not called here: it does nothing without its own agent,
// which wants the same ports and sockets of the node as ours; its baseline stands beside ours.
import { setTimeout as sleep } from "node:timers/promises";
import { measureBurst } from "./add-burst.ts";
import { type AddContest, type AddKind, prepareSides } from "./add-contest.ts";
import { measureSingles } from "./add-singles.ts";
import { startAmbientAgent } from "./ambient-agent.ts";
import { BACKENDS, type BenchBackend } from "./backends.ts";
import type { Bench } from "./bench-node.ts";
import { addBudget, BASELINE, pluginBudget } from "./budget.ts";
import type { Figure } from "./figure.ts";
import { largestOf } from "./plan.ts";

/** The kernel takes a finished contest's namespaces down in the background. */
const QUIET_MS = 3000;
/** The annotation follows the answer, and the API's answer to that. */
const AFTERWARDS_MS = 60;

/** Upstream's share and figures by the way to write rules; none where nothing was measured. */
const AMBIENT: Readonly<Partial<Record<BenchBackend["name"], Pick<BenchBackend, "share" | "baseline">>>> = {
  "iptables-nft": {
    share: { of: 20, baselineMs: BASELINE.ambientAdd.iptables.wallMs },
    baseline: BASELINE.ambientAdd.iptables,
  },
  nftables: {
    share: { of: 25, baselineMs: BASELINE.ambientAdd.nftables.wallMs },
    baseline: BASELINE.ambientAdd.nftables,
  },
};

export async function measureAmbientAdd(bench: Bench): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const backend of BACKENDS) {
    bench.say(`  ${backend.name}`);
    figures.push(...(await measureBackend(bench, backend)));
    await sleep(QUIET_MS);
  }
  return figures;
}

async function measureBackend(bench: Bench, backend: BenchBackend): Promise<Figure[]> {
  const size = largestOf(bench.plan.ambientBursts);
  await using api = await bench.startStandIn({ plain: size, ambient: size }, { starting: true });
  await using agent = await startAmbientAgent(bench, api, backend.env);
  using netnses = new DisposableStack();
  const contest: AddContest = {
    bench,
    title: `${backend.name}, ambient mode`,
    agent: agent.measured,
    sides: prepareSides(bench, backend, api, undefined),
    kinds: [PLAIN, ambientKind(backend)],
    netnses,
    afterwards: ["patch pods"],
    baselineRequests: BASELINE.apiRequestsPerAmbientAdd,
  };
  const figures = await measureSingles(contest);
  for (const burst of bench.plan.ambientBursts) {
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
  mostExecutions: 0,
};

/** The most programs are the way to write rules' business, as for sidecars. */
export function ambientKind({ name, mostExecutions }: BenchBackend): AddKind {
  const { share, baseline } = AMBIENT[name] ?? {};
  return {
    pods: "ambient",
    text: "ambient pod",
    isCaptured: true,
    livesOnce: true,
    afterwardsMs: AFTERWARDS_MS,
    budget: (_, upstreamMs) => (share === undefined ? undefined : addBudget(share, upstreamMs)),
    ...(baseline === undefined ? {} : { baseline }),
    ...(mostExecutions === undefined ? {} : { mostExecutions }),
  };
}
