// 3. The agent: how long until it is ready, what it holds in memory, what it does when nothing happens. The API
// stand-ins are other processes. Starts are interleaved with those of a bare Node server; memory is read one by one.
import { setTimeout as sleep } from "node:timers/promises";
import { startAmbientAgent } from "./ambient-agent.ts";
import { type Bench, PLUGIN_PATH } from "./bench-node.ts";
import { type Budget, LIMITS, sameAsUpstream } from "./budget.ts";
import { createFigure, type Figure, type FigureExtras, type Unit } from "./figure.ts";
import { type AgentKind, type MeasuredAgent, startMeasuredAgent } from "./measured-agent.ts";
import { rotate } from "./plan.ts";
import { createPodNetns, renderPluginCall } from "./plugin-call.ts";
import { countDescriptors, countThreads, readCpuMs, readMemory, readWorkingSetMib } from "./process-figures.ts";
import { createSeries, type Series } from "./series.ts";
import type { StandIn } from "./stand-in.ts";
import type { Summary } from "./statistics.ts";

const START_SECTION = "3. Agent: start to ready";
const MEMORY_SECTION = "3b. Agent: memory and idling";
/** Pods on the node where agents start, and where they are looked at for long. */
const START_LEVELS = [0, 100] as const;
const MEMORY_LEVELS = [0, 250] as const;
const FIRST_ADDS = ["first", "second", "third"] as const;
const ADDS_BEFORE_LAST_LOOK = 20;

export async function measureAgent(bench: Bench): Promise<Figure[]> {
  await using apis = new AsyncDisposableStack();
  const byLevel = new Map<number, StandIn>();
  for (const level of new Set([...START_LEVELS, ...MEMORY_LEVELS]))
    byLevel.set(level, apis.use(await bench.startStandIn({ sidecar: level })));
  const apiOf = (level: number): StandIn => {
    const api = byLevel.get(level);
    if (api === undefined)
      throw new Error(`Cannot measure with ${level} pods: known are ${[...byLevel.keys()].join(", ")}`);
    return api;
  };
  const kinds: readonly AgentKind[] = bench.upstream?.agent === undefined ? ["ours"] : ["ours", "upstream"];
  return [...(await measureStarts(bench, kinds, apiOf)), ...(await measureMemory(bench, kinds, apiOf))];
}

async function measureStarts(
  bench: Bench,
  kinds: readonly AgentKind[],
  apiOf: (level: number) => StandIn,
): Promise<Figure[]> {
  const series = createSeries();
  const starts = [
    { kind: "floor" as const, level: 0 },
    { kind: "ambient" as const, level: 0 },
    ...kinds.flatMap((kind) => START_LEVELS.map((level) => ({ kind, level }))),
  ];
  using netnses = new DisposableStack();
  for (let round = -1; round < bench.plan.startRounds; round++) {
    for (const { kind, level } of rotate(starts, round + 1)) {
      await using started = await startKind(bench, kind, apiOf(level));
      const { measured } = started;
      const adds = kind === "ours" && level > 0 ? await addFirstPods(bench, apiOf(level), netnses) : [];
      const stopMs = await measured.stop();
      if (round < 0) continue;
      series.keep(`${kind} ready ${level}`, measured.readyMs);
      series.keep(`${kind} cpu ${level}`, measured.cpuMs);
      series.keep(`${kind} stop ${level}`, stopMs);
      for (const [index, ms] of adds.entries()) series.keep(`add ${FIRST_ADDS[index]}`, ms);
    }
  }
  return renderStarts(series);
}

function renderStarts(series: Series): Figure[] {
  const floor = series.median("floor ready 0");
  const figures: Figure[] = [];
  const add = (name: string, key: string, budget?: Budget): void => {
    const upstream = peerOf(series, key);
    const cpuKey = key.replace("ready", "cpu");
    const isStart = cpuKey !== key;
    figures.push(
      createFigure(START_SECTION, name, "ms", series.of(key), {
        ...(isStart ? { floor, cpuMs: series.median(cpuKey) } : {}),
        ...(budget === undefined ? {} : { budget }),
        ...(upstream === undefined ? {} : { upstream }),
      }),
    );
  };
  const ready = (mode: "sidecar" | "ambient", key: string): Budget =>
    sameAsUpstream("ready", LIMITS.readyMs[mode], peerOf(series, key)?.median);
  add("a Node server that answers 200 (floor)", "floor ready 0");
  add("exec to /readyz 200, 0 pods", "ours ready 0", ready("sidecar", "ours ready 0"));
  add("exec to /readyz 200, 100 pods", "ours ready 100");
  add("exec to /readyz 200, ambient mode, 0 pods", "ambient ready 0", ready("ambient", "ambient ready 0"));
  for (const which of FIRST_ADDS) add(`${which} sidecar ADD after ready`, `add ${which}`);
  add("SIGTERM to the end of the container", "ours stop 0");
  return figures;
}

/** One that is ready; `ambient`: ours, in ambient mode, with a ztunnel that was there before. */
async function startKind(
  bench: Bench,
  kind: AgentKind | "ambient",
  api: StandIn,
): Promise<AsyncDisposable & { readonly measured: MeasuredAgent }> {
  if (kind === "ambient") return startAmbientAgent(bench, api, {});
  const measured = await startMeasuredAgent(bench, kind, api);
  return { measured, [Symbol.asyncDispose]: () => measured[Symbol.asyncDispose]() };
}

/** The ADDs of the first sidecar pods after the start, each in a fresh namespace. */
async function addFirstPods(bench: Bench, api: StandIn, netnses: DisposableStack): Promise<number[]> {
  const entry = bench.readOurEntry();
  const times: number[] = [];
  for (const index of FIRST_ADDS.keys()) {
    const pod = api.pod(`sidecar-${index}`);
    const netns = netnses.use(createPodNetns("dual"));
    const request = renderPluginCall(bench, { command: "ADD", program: PLUGIN_PATH, entry, pod, netns });
    times.push((await bench.meter.measure(request)).wallMs);
  }
  return times;
}

async function measureMemory(
  bench: Bench,
  kinds: readonly AgentKind[],
  apiOf: (level: number) => StandIn,
): Promise<Figure[]> {
  const series = createSeries();
  let asked: readonly string[] = [];
  for (let round = 0; round < bench.plan.memoryRounds; round++) {
    for (const level of MEMORY_LEVELS) {
      for (const kind of rotate(kinds, round)) {
        bench.say(`  memory with ${level} pods${kinds.length > 1 ? `, ${kind}` : ""}`);
        const api = apiOf(level);
        await api.clearRequests();
        await using measured = await startMeasuredAgent(bench, kind, api);
        await sleep(bench.plan.settleMs);
        await look(bench, series, `${kind} ${level}`, measured);
        if (kind === "ours" && level === 250) {
          asked = await api.requests();
          using netnses = new DisposableStack();
          for (let index = 0; index < ADDS_BEFORE_LAST_LOOK; index += FIRST_ADDS.length)
            await addFirstPods(bench, api, netnses);
          const after = readMemory(measured.pid);
          series.keep("ours 250 rss after", after.rssMib);
          series.keep("ours 250 anon after", after.anonMib);
        }
        series.keep(`${kind} ${level} files`, bench.readHostFilesKib());
        await measured.stop();
      }
    }
  }
  return renderMemory(bench, series, asked);
}

async function look(bench: Bench, series: Series, prefix: string, { agent, pid }: MeasuredAgent): Promise<void> {
  const { rssMib, anonMib } = readMemory(pid);
  series.keep(`${prefix} rss`, rssMib);
  series.keep(`${prefix} anon`, anonMib);
  const workingSet = readWorkingSetMib(agent.cgroup);
  if (workingSet !== undefined) series.keep(`${prefix} cgroup`, workingSet);
  series.keep(`${prefix} fds`, countDescriptors(pid));
  series.keep(`${prefix} threads`, countThreads(pid));
  const before = readCpuMs(pid);
  await sleep(bench.plan.idleMs);
  series.keep(`${prefix} idle`, readCpuMs(pid) - before);
}

function renderMemory({ plan }: Bench, series: Series, asked: readonly string[]): Figure[] {
  const figures: Figure[] = [];
  const add = (name: string, unit: Unit, key: string, budget?: Budget): void => {
    const values = series.find(`ours ${key}`);
    if (values === undefined) return;
    const upstream = peerOf(series, `ours ${key}`);
    const extras: FigureExtras = {
      ...(budget === undefined ? {} : { budget }),
      ...(upstream === undefined ? {} : { upstream }),
    };
    figures.push(createFigure(MEMORY_SECTION, name, unit, values, extras));
  };
  const resident = (level: 0 | 250): Budget =>
    sameAsUpstream("memory", LIMITS.rssMib[level], peerOf(series, `ours ${level} rss`)?.median);
  const anonymous = (level: 0 | 250): Budget => ({
    limit: LIMITS.anonMib[level],
    because: "DESIGN 3.5",
    row: "memory",
  });
  const settled = `${plan.settleMs / 1000} s after ready`;
  for (const level of MEMORY_LEVELS) {
    add(`RSS, ${level} pods, ${settled}`, "MiB", `${level} rss`, resident(level));
    add(`  of it anonymous, ${level} pods`, "MiB", `${level} anon`, anonymous(level));
    add(`  cgroup's working set, ${level} pods`, "MiB", `${level} cgroup`);
  }
  add("RSS, 250 pods, after 21 sidecar ADDs", "MiB", "250 rss after", resident(250));
  add("  of it anonymous, after 21 sidecar ADDs", "MiB", "250 anon after", anonymous(250));
  for (const level of MEMORY_LEVELS)
    add(`CPU time idle, ${plan.idleMs / 1000} s, ${level} pods`, "ms", `${level} idle`);
  add("open descriptors, 0 pods", "count", "0 fds");
  add("threads", "count", "0 threads");
  const few: Budget = { limit: LIMITS.hostFilesKib, because: "0.1 MB", row: "hostFiles" };
  add("files on the host: plugin, entry, run directory, no pod", "KiB", "0 files", few);
  add("  after 21 sidecar ADDs", "KiB", "250 files", few);
  figures.push(
    createFigure(MEMORY_SECTION, `API requests at start: ${renderRequests(asked)}`, "count", [asked.length]),
  );
  return figures;
}

/** Each kind once, with how often it came where that is more than once. */
function renderRequests(requests: readonly string[]): string {
  const counts = Map.groupBy(requests, (request) => request);
  return [...counts].map(([request, { length }]) => (length === 1 ? request : `${request} ×${length}`)).join(", ");
}

/** Upstream's of the same run, by the name of ours. */
function peerOf(series: Series, key: string): Summary | undefined {
  return key.startsWith("ours ") ? series.summary(key.replace("ours", "upstream")) : undefined;
}
