// 7. What becomes of pods that start while one agent follows another: at a steady rate, through the runtime, with the agent
// away for a second in between, as long as a kubelet takes. A start that fails or ends outside the mesh is one too many. The
// agent works in the runtime's own configuration folder here: a conflist that its end or its start tears would show.
import { setTimeout as sleep } from "node:timers/promises";
import type { TestAgent } from "../testbed/node/agent.ts";
import { startZtunnel } from "../testbed/ztunnel/ztunnel-process.ts";
import { ZTUNNEL_SOCKET } from "./ambient-agent.ts";
import { BACKENDS } from "./backends.ts";
import { type Bench, OURS } from "./bench-node.ts";
import { type Budget, LIMITS } from "./budget.ts";
import { createFigure, type Figure } from "./figure.ts";
import { createSeries } from "./series.ts";
import type { StandIn } from "./stand-in.ts";

const PODS_PER_SECOND = 4;
/** Starts under way at most: where the machine cannot keep up, turns are left out. */
const UNDER_WAY_MAX = 12;
const PODS = 3 * UNDER_WAY_MAX;
/** From the end of one agent to the start of the next. */
const AWAY_MS = 1000;
/** From one agent's readiness to its end. */
const THERE_MS = 1000;
const READY_TIMEOUT_MS = 60_000;
const SANDBOX_TIMEOUT_MS = 60_000;

type Mode = "sidecar" | "ambient";

/** One pod's start: when, and what became of it. */
interface Start {
  readonly beganMs: number;
  readonly tookMs: number;
  readonly outcome: "inside" | "outside" | "failed";
}

/** The agent's absence: from SIGTERM until the next one is ready. */
interface Absence {
  readonly beganMs: number;
  readonly endedMs: number;
}

export async function measureUpgrade(bench: Bench): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const mode of ["sidecar", "ambient"] as const) {
    bench.say(`  ${mode} mode`);
    figures.push(...(await measureMode(bench, mode)));
  }
  return figures;
}

async function measureMode(bench: Bench, mode: Mode): Promise<Figure[]> {
  bench.resetHost();
  await bench.useChain("bare");
  await using undo = new AsyncDisposableStack();
  undo.defer(() => bench.useChain("bare"));
  const api = undo.use(await bench.startStandIn({ [mode]: PODS }, { starting: true }));
  const ztunnel =
    mode === "ambient" ? undo.use(await startZtunnel({ socketPath: ZTUNNEL_SOCKET, proxies: false })) : undefined;
  const launch = (): Promise<TestAgent> =>
    bench.node.startAgent({
      installCni: OURS.installCni,
      env: BACKENDS[0]?.env ?? {},
      apiServer: api,
      ambient: mode === "ambient",
    });
  let agent = await launch();
  undo.defer(async () => void (await agent.kill()));
  await agent.waitReady(READY_TIMEOUT_MS);
  await bench.node.waitForChained();

  const ending = new AbortController();
  const starting = startPods(bench, api, mode, ending.signal);
  const absences: Absence[] = [];
  try {
    for (let exchange = 0; exchange < bench.plan.exchanges; exchange++) {
      await sleep(THERE_MS);
      const beganMs = performance.now();
      await agent.stop();
      await sleep(AWAY_MS);
      agent = await launch();
      await agent.waitReady(READY_TIMEOUT_MS);
      absences.push({ beganMs, endedMs: performance.now() });
    }
    await sleep(THERE_MS);
  } finally {
    ending.abort();
  }
  const starts = await starting;
  await agent.stop();
  await ztunnel?.stop();
  return renderUpgrade(mode, starts, absences);
}

/** Begins one pod in each turn of the clock, whatever became of the ones before; each is looked at and removed. */
async function startPods(bench: Bench, api: StandIn, mode: Mode, signal: AbortSignal): Promise<readonly Start[]> {
  const starts: Start[] = [];
  const underWay = new Map<number, Promise<void>>();
  // The stand-in is asked one thing at a time.
  let renewing = Promise.resolve();
  const one = async (index: number): Promise<void> => {
    const name = `${mode}-${index}`;
    const beganMs = performance.now();
    try {
      const pod = await bench.node.runPod({ ...api.pod(name), timeoutMs: SANDBOX_TIMEOUT_MS });
      const tookMs = performance.now() - beganMs;
      const { stdout } = await pod.exec(["iptables-nft-save", "-t", "nat"]);
      starts.push({ beganMs, tookMs, outcome: stdout.includes("-j ISTIO_") ? "inside" : "outside" });
      await pod.remove(SANDBOX_TIMEOUT_MS);
    } catch (error) {
      bench.say(`    ${name}: ${String(error)}`);
      starts.push({ beganMs, tookMs: performance.now() - beganMs, outcome: "failed" });
    }
    renewing = renewing.then(() => api.renew([name]));
    await renewing;
  };
  const firstMs = performance.now();
  for (let turn = 0; !signal.aborted; turn++) {
    await sleep(Math.max(0, firstMs + (turn * 1000) / PODS_PER_SECOND - performance.now()));
    const index = turn % PODS;
    if (underWay.size >= UNDER_WAY_MAX || underWay.has(index)) continue;
    underWay.set(
      index,
      one(index).finally(() => underWay.delete(index)),
    );
  }
  await Promise.all(underWay.values());
  return starts;
}

function renderUpgrade(mode: Mode, starts: readonly Start[], absences: readonly Absence[]): Figure[] {
  const section = `7. Agent away during an upgrade: ${mode} mode`;
  const series = createSeries();
  for (const { beganMs, tookMs, outcome } of starts) {
    if (outcome === "failed") continue;
    const isDuring = absences.some((absence) => beganMs >= absence.beganMs && beganMs < absence.endedMs);
    series.keep(isDuring ? "during" : "there", tookMs);
  }
  const count = (outcome: Start["outcome"]): number => starts.filter((start) => start.outcome === outcome).length;
  const none: Budget = { limit: LIMITS.upgradeFailures, because: "nothing fails", row: "upgrade" };
  const of = `of ${starts.length} pod starts during ${absences.length} upgrades`;
  const figures = [
    createFigure(section, `${of}: failed`, "count", [count("failed")], { budget: none }),
    createFigure(section, `${of}: outside the mesh`, "count", [count("outside")], { budget: none }),
    createFigure(
      section,
      "agent away: SIGTERM until the next one is ready",
      "ms",
      absences.map(({ beganMs, endedMs }) => endedMs - beganMs),
    ),
  ];
  const floor = series.summary("there")?.median;
  for (const [key, text] of [
    ["there", "RunPodSandbox, begun while an agent is there"],
    ["during", "RunPodSandbox, begun while none is there"],
  ] as const) {
    const values = series.find(key);
    if (values !== undefined)
      figures.push(createFigure(section, text, "ms", values, floor === undefined ? {} : { floor }));
  }
  return figures;
}
