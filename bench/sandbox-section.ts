// 2. A whole pod start as a kubelet sees it: RunPodSandbox through CRI, with us in the chain and without, right after
// each other, and many at once, for each way to write rules. One node, one runtime, one agent at a time; only the conflist
// differs. Pods outside the mesh never reach the agent, so they are measured once.
import { setTimeout as sleep } from "node:timers/promises";
import { CriError } from "../testbed/node/cri-error.ts";
import type { PodSpec, TestPod } from "../testbed/node/pod.ts";
import { BACKENDS, type BenchBackend } from "./backends.ts";
import type { Bench, Chain } from "./bench-node.ts";
import { BASELINE, LIMITS, requestsBudget } from "./budget.ts";
import { createDifferenceFigure, createFigure, type Figure } from "./figure.ts";
import { startMeasuredAgent } from "./measured-agent.ts";
import { type AtOnce, largestOf, rotate } from "./plan.ts";
import { createSeries } from "./series.ts";
import { isForAdd, type StandIn } from "./stand-in.ts";
import { summarize } from "./statistics.ts";
import { writeUpstreamKubeconfig } from "./upstream.ts";

const SECTION = "2. Pod start: RunPodSandbox through CRI";
const WARM_UP_ROUNDS = 2;
/** What the runtime does after it has read a conflist is over by then. */
const QUIET_MS = 20;
const SANDBOX_TIMEOUT_MS = 60_000;
/** A crowd above this is measured without a warm-up, and not where programs are executed for each pod. */
const LARGE = 50;
/** As often as this a start that the runtime refuses is tried again, as a kubelet would. */
const MOST_TRIES = 4;

interface Variant {
  readonly name: string;
  readonly chain: Chain;
  readonly kind: "plain" | "sidecar";
  /** The most that a start may take longer than a bare one. */
  readonly limitMs?: number;
}

const VARIANTS: readonly Variant[] = [
  { name: "without us", chain: "bare", kind: "plain" },
  { name: "with us, pod outside the mesh", chain: "ours", kind: "plain", limitMs: LIMITS.sandboxPlainMs },
  { name: "with us, sidecar pod", chain: "ours", kind: "sidecar", limitMs: LIMITS.sandboxSidecarMs },
];
const UPSTREAM_VARIANTS: readonly Variant[] = [
  { name: "with upstream, pod outside the mesh", chain: "upstream", kind: "plain" },
  { name: "with upstream, sidecar pod", chain: "upstream", kind: "sidecar" },
];
const BARE = "without us";
const PHASES = [
  { phase: "run", text: "RunPodSandbox" },
  { phase: "stop", text: "StopPodSandbox" },
  { phase: "remove", text: "RemovePodSandbox" },
] as const;

/** A backend's part of the section. */
interface Scene {
  readonly bench: Bench;
  readonly backend: BenchBackend;
  readonly api: StandIn;
  /** Its own stand-in, so that upstream's requests are not counted as ours. */
  readonly upstreamApi: StandIn | undefined;
  readonly variants: readonly Variant[];
}

export async function measureSandbox(bench: Bench): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const backend of BACKENDS) {
    bench.say(`  ${backend.name}`);
    figures.push(...(await measureBackend(bench, backend)));
  }
  return figures;
}

async function measureBackend(bench: Bench, backend: BenchBackend): Promise<Figure[]> {
  const { plan, upstream } = bench;
  const size = largestOf(plan.atOnce);
  const pods = { plain: size, sidecar: size };
  await using api = await bench.startStandIn(pods, { starting: true });
  await using upstreamApi = upstream === undefined ? undefined : await bench.startStandIn(pods, { starting: true });
  if (upstream !== undefined && upstreamApi !== undefined) writeUpstreamKubeconfig(upstream, upstreamApi.kubeconfig);
  await using _agent = await startMeasuredAgent(bench, "ours", api, { env: backend.env });
  const all = upstream === undefined ? VARIANTS : [...VARIANTS, ...UPSTREAM_VARIANTS];
  const isFirst = backend === BACKENDS[0];
  // Upstream has one of two: which iptables it uses it finds out by itself.
  const isUpstreamKnown = backend.nativeNftables || isFirst;
  const variants = all.filter(
    ({ chain, kind }) => chain === "bare" || ((kind === "sidecar" || isFirst) && (chain === "ours" || isUpstreamKnown)),
  );
  const scene: Scene = { bench, backend, api, upstreamApi, variants };
  const figures = await oneByOne(scene);
  for (const crowd of plan.atOnce)
    if (crowd.size <= LARGE || backend.mostExecutions !== undefined) figures.push(...(await atOnce(scene, crowd)));
  await bench.useChain("bare");
  return figures;
}

async function oneByOne(scene: Scene): Promise<Figure[]> {
  const { bench, backend, api, upstreamApi, variants } = scene;
  const section = `${SECTION}: ${backend.name}`;
  const series = createSeries();
  for (let round = -WARM_UP_ROUNDS; round < bench.plan.sandboxRounds; round++) {
    if (round === 0) await api.clearRequests();
    if (round === 0) await upstreamApi?.clearRequests();
    for (const variant of rotate(variants, round + WARM_UP_ROUNDS)) {
      await bench.useChain(variant.chain, backend);
      await sleep(QUIET_MS);
      const one = await runOnce(bench, specOf(scene, variant, 0));
      if (round < 0) continue;
      for (const { phase } of PHASES) series.keep(`${variant.name} ${phase}`, one[phase]);
    }
  }
  // Legacy iptables has none: it is executed programs by its nature.
  const hasLimit = backend.share !== undefined;
  return [
    ...PHASES.flatMap(({ phase, text }) => [
      ...variants.map(({ name }) =>
        createFigure(section, `${text} ${name}`, "ms", series.of(`${name} ${phase}`), {
          floor: series.median(`${BARE} ${phase}`),
        }),
      ),
      ...variants
        .filter(({ name }) => name !== BARE)
        .map(({ name, kind, limitMs }) =>
          createDifferenceFigure(
            section,
            `${text}: ${name}, difference`,
            "ms",
            series.of(`${BARE} ${phase}`),
            series.of(`${name} ${phase}`),
            phase === "run" && limitMs !== undefined && (kind === "plain" || hasLimit)
              ? { budget: { limit: limitMs, because: `+${limitMs} ms`, row: "podStart" } }
              : {},
          ),
        ),
    ]),
    await countRequests(scene, section),
  ];
}

/** Of both, where upstream is in the run; Events are written later. */
async function countRequests({ bench, api, upstreamApi, variants }: Scene, section: string): Promise<Figure> {
  const perStart = async (source: StandIn, who: Chain): Promise<number> => {
    const starts = variants.filter(({ chain }) => chain === who).length * bench.plan.sandboxRounds;
    return (await source.requests()).filter((request) => isForAdd(request)).length / starts;
  };
  const theirs = upstreamApi === undefined ? undefined : await perStart(upstreamApi, "upstream");
  return createFigure(section, "API requests per pod start", "count", [await perStart(api, "ours")], {
    budget: requestsBudget(),
    baseline: BASELINE.apiRequestsPerAdd,
    ...(theirs === undefined || Number.isNaN(theirs) ? {} : { upstream: summarize([theirs]) }),
  });
}

async function runOnce(bench: Bench, spec: PodSpec): Promise<{ run: number; stop: number; remove: number }> {
  const pod = await bench.node.runPod(spec);
  const stop = await pod.stop();
  const start = performance.now();
  await bench.node.runtime.cri.removePodSandbox(pod.id);
  return { run: pod.addMs, stop, remove: performance.now() - start };
}

async function atOnce(scene: Scene, { size, rounds }: AtOnce): Promise<Figure[]> {
  const { bench, backend, variants } = scene;
  const section = `2. ${size} pod starts at once: ${backend.name}`;
  const series = createSeries();
  // The starts before have warmed everything; of a hundred, each round is dear.
  const warmUps = size > LARGE ? 0 : 1;
  for (let round = -warmUps; round < rounds; round++) {
    for (const variant of rotate(variants, round + warmUps)) {
      await bench.useChain(variant.chain, backend);
      await sleep(QUIET_MS);
      const start = performance.now();
      const specs = Array.from({ length: size }, (_, index) => specOf(scene, variant, index));
      const starts = await Promise.all(specs.map((spec) => startAsKubelet(bench, spec)));
      const allMs = performance.now() - start;
      await Promise.all(starts.map(({ pod }) => pod.remove(SANDBOX_TIMEOUT_MS)));
      if (round < 0) continue;
      series.keep(`${variant.name} all`, allMs);
      series.keep(`${variant.name} each`, ...starts.map(({ ms }) => ms));
      series.keep(
        `${variant.name} refused`,
        starts.reduce((sum, { refusals }) => sum + refusals, 0),
      );
    }
  }
  const render = (what: "all" | "each", text: string): Figure[] =>
    variants.map(({ name }) =>
      createFigure(section, `${text} ${name}`, "ms", series.of(`${name} ${what}`), {
        floor: series.median(`${BARE} ${what}`),
      }),
    );
  const refused = variants.flatMap(({ name }) => {
    const values = series.of(`${name} refused`);
    return values.some((count) => count > 0)
      ? [createFigure(section, `refused by the runtime and tried again, ${name}`, "count", values)]
      : [];
  });
  return [...render("all", `all ${size}`), ...render("each", "each"), ...refused];
}

/** A crowded node may refuse one: its loopback plugin meets the address of the capture where it comes last (docs/troubleshooting.md). */
async function startAsKubelet(
  bench: Bench,
  spec: PodSpec,
): Promise<{ readonly pod: TestPod; readonly ms: number; readonly refusals: number }> {
  const start = performance.now();
  for (let refusals = 0; ; refusals++) {
    try {
      const pod = await bench.node.runPod({ ...spec, attempt: refusals });
      return { pod, ms: refusals === 0 ? pod.addMs : performance.now() - start, refusals };
    } catch (error) {
      if (!(error instanceof CriError) || refusals + 1 >= MOST_TRIES) throw error;
      bench.say(`  tried again: ${error.message}`);
    }
  }
}

function specOf({ api, upstreamApi }: Scene, { chain, kind }: Variant, index: number): PodSpec {
  const source = chain === "upstream" ? (upstreamApi ?? api) : api;
  return { ...source.pod(`${kind}-${index}`), timeoutMs: SANDBOX_TIMEOUT_MS };
}
