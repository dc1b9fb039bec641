// 2. A whole pod start as a kubelet sees it: RunPodSandbox through CRI, with us in the chain and without, right after
// each other, and many at once, for each way to write rules. One node, one runtime, one agent at a time; only the conflist
// differs. Pods outside the mesh never reach the agent, so they are measured once.
import { setTimeout as sleep } from "node:timers/promises";
import type { PodSpec } from "../testbed/node/pod.ts";
import { BACKENDS, type BenchBackend } from "./backends.ts";
import type { Bench, Chain } from "./bench-node.ts";
import { LIMITS } from "./budget.ts";
import { createDifferenceFigure, createFigure, type Figure } from "./figure.ts";
import { startMeasuredAgent } from "./measured-agent.ts";
import { type AtOnce, largestOf, rotate } from "./plan.ts";
import type { StandIn } from "./stand-in.ts";
import { summarize } from "./statistics.ts";
import { writeUpstreamKubeconfig } from "./upstream.ts";

const SECTION = "2. Pod start: RunPodSandbox through CRI";
const WARM_UP_ROUNDS = 2;
/** What the runtime does after it has read a conflist is over by then. */
const QUIET_MS = 20;
const SANDBOX_TIMEOUT_MS = 60_000;

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

interface Timings {
  readonly run: number[];
  readonly stop: number[];
  readonly remove: number[];
}

/** A backend's part of the section. */
interface Scene {
  readonly bench: Bench;
  readonly backend: BenchBackend;
  readonly api: StandIn;
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
  await using api = await bench.startStandIn({ plain: size, sidecar: size }, { starting: true });
  if (upstream !== undefined) writeUpstreamKubeconfig(upstream, api.kubeconfig);
  await using _agent = await startMeasuredAgent(bench, "ours", api, { env: backend.env });
  const all = upstream === undefined ? VARIANTS : [...VARIANTS, ...UPSTREAM_VARIANTS];
  const isFirst = backend === BACKENDS[0];
  // Upstream has one of two: which iptables it uses it finds out by itself.
  const isUpstreamKnown = backend.nativeNftables || isFirst;
  const variants = all.filter(
    ({ chain, kind }) => chain === "bare" || ((kind === "sidecar" || isFirst) && (chain === "ours" || isUpstreamKnown)),
  );
  const scene: Scene = { bench, backend, api, variants };
  const figures = await oneByOne(scene);
  for (const crowd of plan.atOnce) figures.push(...(await atOnce(scene, crowd)));
  await bench.useChain("bare");
  return figures;
}

async function oneByOne({ bench, backend, api, variants }: Scene): Promise<Figure[]> {
  const section = `${SECTION}: ${backend.name}`;
  const timings = new Map(variants.map(({ name }) => [name, { run: [], stop: [], remove: [] } satisfies Timings]));
  for (let round = -WARM_UP_ROUNDS; round < bench.plan.sandboxRounds; round++) {
    for (const { name, chain, kind } of rotate(variants, round + WARM_UP_ROUNDS)) {
      await bench.useChain(chain, backend);
      await sleep(QUIET_MS);
      const one = await runOnce(bench, specOf(api, kind, 0));
      if (round < 0) continue;
      const kept: Timings = timingsOf(timings, name);
      kept.run.push(one.run);
      kept.stop.push(one.stop);
      kept.remove.push(one.remove);
    }
  }
  const bare = timingsOf(timings, BARE);
  // Legacy iptables has none: it is executed programs by its nature.
  const hasLimit = backend.share !== undefined;
  const phases = [
    { phase: "run", text: "RunPodSandbox" },
    { phase: "stop", text: "StopPodSandbox" },
    { phase: "remove", text: "RemovePodSandbox" },
  ] as const;
  return phases.flatMap(({ phase, text }) => [
    ...variants.map(({ name }) =>
      createFigure(section, `${text} ${name}`, "ms", timingsOf(timings, name)[phase], {
        floor: summarize(bare[phase]).median,
      }),
    ),
    ...variants
      .filter(({ name }) => name !== BARE)
      .map(({ name, kind, limitMs }) =>
        createDifferenceFigure(
          section,
          `${text}: ${name}, difference`,
          "ms",
          bare[phase],
          timingsOf(timings, name)[phase],
          phase === "run" && limitMs !== undefined && (kind === "plain" || hasLimit)
            ? { budget: { limit: limitMs, because: `+${limitMs} ms` } }
            : {},
        ),
      ),
  ]);
}

async function runOnce(bench: Bench, spec: PodSpec): Promise<{ run: number; stop: number; remove: number }> {
  const pod = await bench.node.runPod(spec);
  const stop = await pod.stop();
  const start = performance.now();
  await bench.node.runtime.cri.removePodSandbox(pod.id);
  return { run: pod.addMs, stop, remove: performance.now() - start };
}

async function atOnce({ bench, backend, api, variants }: Scene, { size, rounds }: AtOnce): Promise<Figure[]> {
  const section = `2. ${size} pod starts at once: ${backend.name}`;
  const all = new Map(variants.map(({ name }) => [name, [] as number[]]));
  const single = new Map(variants.map(({ name }) => [name, [] as number[]]));
  for (let round = -1; round < rounds; round++) {
    for (const { name, chain, kind } of rotate(variants, round + 1)) {
      await bench.useChain(chain, backend);
      await sleep(QUIET_MS);
      const start = performance.now();
      const specs = Array.from({ length: size }, (_, index) => specOf(api, kind, index));
      const pods = await Promise.all(specs.map((spec) => bench.node.runPod(spec)));
      const allMs = performance.now() - start;
      await Promise.all(pods.map((pod) => pod.remove(SANDBOX_TIMEOUT_MS)));
      if (round < 0) continue;
      all.get(name)?.push(allMs);
      single.get(name)?.push(...pods.map(({ addMs }) => addMs));
    }
  }
  const render = (series: ReadonlyMap<string, readonly number[]>, text: string): Figure[] => {
    const floor = summarize(series.get(BARE) ?? []).median;
    return variants.map(({ name }) =>
      createFigure(section, `${text} ${name}`, "ms", series.get(name) ?? [], { floor }),
    );
  };
  return [...render(all, `all ${size}`), ...render(single, "each")];
}

function specOf(api: StandIn, kind: Variant["kind"], index: number): PodSpec {
  return { ...api.pod(`${kind}-${index}`), timeoutMs: SANDBOX_TIMEOUT_MS };
}

function timingsOf(timings: ReadonlyMap<string, Timings>, name: string): Timings {
  const found = timings.get(name);
  if (found === undefined) throw new Error(`Cannot report ${name}: it was not measured`);
  return found;
}
