// 3. The agent: how long until it is ready, what it holds in memory, what it does when nothing happens. The API
// stand-ins are other processes. Starts are interleaved with those of a bare Node server; memory is read one by one.
import { setTimeout as sleep } from "node:timers/promises";
import { type Bench, PLUGIN_PATH } from "./bench-node.ts";
import { LIMITS, sameAsUpstream } from "./budget.ts";
import { createFigure, type Figure, type Unit } from "./figure.ts";
import { type AgentKind, type MeasuredAgent, startMeasuredAgent } from "./measured-agent.ts";
import { rotate } from "./plan.ts";
import { createPodNetns, renderPluginCall } from "./plugin-call.ts";
import { countDescriptors, countThreads, readCpuMs, readMemory, readWorkingSetMib } from "./process-figures.ts";
import type { StandIn } from "./stand-in.ts";
import { type Summary, summarize } from "./statistics.ts";

const START_SECTION = "3. Agent: start to ready";
const MEMORY_SECTION = "3b. Agent: memory and idling";
const LEVELS = [0, 100, 250] as const;
const FIRST_ADDS = ["first", "second", "third"] as const;
const ADDS_BEFORE_LAST_LOOK = 20;

/** Values by name; a name is made once and keeps its place. */
type Series = Map<string, number[]>;

export async function measureAgent(bench: Bench): Promise<Figure[]> {
  await using apis = new AsyncDisposableStack();
  const byLevel = new Map<number, StandIn>();
  for (const level of LEVELS) byLevel.set(level, apis.use(await bench.startStandIn({ sidecar: level })));
  const apiOf = (level: number): StandIn => {
    const api = byLevel.get(level);
    if (api === undefined) throw new Error(`Cannot measure with ${level} pods: known are ${LEVELS.join(", ")}`);
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
  const series: Series = new Map();
  const starts = [
    { kind: "floor" as const, level: 0 },
    ...kinds.flatMap((kind) => [0, 100].map((level) => ({ kind, level }))),
  ];
  using netnses = new DisposableStack();
  for (let round = -1; round < bench.plan.startRounds; round++) {
    for (const { kind, level } of rotate(starts, round + 1)) {
      await using measured = await startMeasuredAgent(bench, kind, apiOf(level));
      const adds = kind === "ours" && level > 0 ? await addFirstPods(bench, apiOf(level), netnses) : [];
      const stopMs = await measured.stop();
      if (round < 0) continue;
      push(series, `${kind} ready ${level}`, measured.readyMs);
      push(series, `${kind} cpu ${level}`, measured.cpuMs);
      push(series, `${kind} stop ${level}`, stopMs);
      for (const [index, ms] of adds.entries()) push(series, `add ${FIRST_ADDS[index]}`, ms);
    }
  }
  const floor = summarize(valuesOf(series, "floor ready 0")).median;
  const figures = [
    createFigure(START_SECTION, "a Node server that answers 200 (floor)", "ms", valuesOf(series, "floor ready 0"), {
      floor,
      cpuMs: summarize(valuesOf(series, "floor cpu 0")).median,
    }),
  ];
  for (const level of [0, 100]) {
    const upstream = peerOf(series, `upstream ready ${level}`);
    figures.push(
      createFigure(START_SECTION, `exec to /readyz 200, ${level} pods`, "ms", valuesOf(series, `ours ready ${level}`), {
        floor,
        cpuMs: summarize(valuesOf(series, `ours cpu ${level}`)).median,
        ...(level === 0 ? { budget: sameAsUpstream(LIMITS.readyMs, upstream?.median) } : {}),
        ...(upstream === undefined ? {} : { upstream }),
      }),
    );
  }
  for (const which of FIRST_ADDS)
    figures.push(
      createFigure(START_SECTION, `${which} sidecar ADD after ready`, "ms", valuesOf(series, `add ${which}`)),
    );
  const upstreamStop = peerOf(series, "upstream stop 0");
  figures.push(
    createFigure(START_SECTION, "SIGTERM to the end of the container", "ms", valuesOf(series, "ours stop 0"), {
      ...(upstreamStop === undefined ? {} : { upstream: upstreamStop }),
    }),
  );
  return figures;
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
  const series: Series = new Map();
  const asked = new Map<number, readonly string[]>();
  for (let round = 0; round < bench.plan.memoryRounds; round++) {
    for (const level of LEVELS) {
      for (const kind of rotate(kinds, round)) {
        bench.say(`  memory with ${level} pods${kinds.length > 1 ? `, ${kind}` : ""}`);
        const api = apiOf(level);
        await api.clearRequests();
        await using measured = await startMeasuredAgent(bench, kind, api);
        await sleep(bench.plan.settleMs);
        await look(bench, series, `${kind} ${level}`, measured, round === 0 && level !== 100);
        if (kind === "ours") asked.set(level, await api.requests());
        if (kind === "ours" && level === 250) {
          using netnses = new DisposableStack();
          for (let index = 0; index < ADDS_BEFORE_LAST_LOOK; index += FIRST_ADDS.length)
            await addFirstPods(bench, api, netnses);
          const after = readMemory(measured.pid);
          push(series, `ours ${level} rss after`, after.rssMib);
          push(series, `ours ${level} anon after`, after.anonMib);
        }
        await measured.stop();
      }
    }
  }
  return renderMemory(bench, series, asked);
}

async function look(
  bench: Bench,
  series: Series,
  prefix: string,
  { agent, pid }: MeasuredAgent,
  alsoIdle: boolean,
): Promise<void> {
  const { rssMib, anonMib } = readMemory(pid);
  push(series, `${prefix} rss`, rssMib);
  push(series, `${prefix} anon`, anonMib);
  const workingSet = readWorkingSetMib(agent.cgroup);
  if (workingSet !== undefined) push(series, `${prefix} cgroup`, workingSet);
  push(series, `${prefix} fds`, countDescriptors(pid));
  push(series, `${prefix} threads`, countThreads(pid));
  if (!alsoIdle) return;
  const before = readCpuMs(pid);
  await sleep(bench.plan.idleMs);
  push(series, `${prefix} idle`, readCpuMs(pid) - before);
}

function renderMemory(bench: Bench, series: Series, asked: ReadonlyMap<number, readonly string[]>): Figure[] {
  const figures: Figure[] = [];
  const add = (name: string, unit: Unit, key: string, limit?: number): void => {
    const values = series.get(`ours ${key}`);
    if (values === undefined) return;
    const upstream = peerOf(series, `upstream ${key}`);
    figures.push(
      createFigure(MEMORY_SECTION, name, unit, values, {
        ...(limit === undefined ? {} : { budget: { limit, because: "DESIGN 3.5" } }),
        ...(upstream === undefined ? {} : { upstream }),
      }),
    );
  };
  const settled = `${bench.plan.settleMs / 1000} s after ready`;
  for (const level of LEVELS) {
    const isBudgeted = level !== 100;
    add(`RSS, ${level} pods, ${settled}`, "MiB", `${level} rss`, isBudgeted ? LIMITS.rssMib[level] : undefined);
    add(`  of it anonymous, ${level} pods`, "MiB", `${level} anon`, isBudgeted ? LIMITS.anonMib[level] : undefined);
    add(`  cgroup's working set, ${level} pods`, "MiB", `${level} cgroup`);
  }
  add("RSS, 250 pods, after 21 sidecar ADDs", "MiB", "250 rss after", LIMITS.rssMib[250]);
  add("  of it anonymous, after 21 sidecar ADDs", "MiB", "250 anon after", LIMITS.anonMib[250]);
  for (const level of [0, 250])
    add(`CPU time idle, ${bench.plan.idleMs / 1000} s, ${level} pods`, "ms", `${level} idle`);
  add("open descriptors, 0 pods", "count", "0 fds");
  add("threads", "count", "0 threads");
  for (const [level, requests] of asked)
    if (level === 250)
      figures.push(
        createFigure(MEMORY_SECTION, `API requests at start: ${renderRequests(requests)}`, "count", [requests.length]),
      );
  return figures;
}

/** Each kind once, with how often it came where that is more than once. */
function renderRequests(requests: readonly string[]): string {
  const counts = Map.groupBy(requests, (request) => request);
  return [...counts].map(([request, { length }]) => (length === 1 ? request : `${request} ×${length}`)).join(", ");
}

function push(series: Series, name: string, value: number): void {
  series.set(name, [...(series.get(name) ?? []), value]);
}

function valuesOf(series: Series, name: string): readonly number[] {
  const values = series.get(name);
  if (values === undefined) throw new Error(`Cannot report ${name}: it was not measured`);
  return values;
}

function peerOf(series: Series, name: string): Summary | undefined {
  const values = series.get(name);
  return values === undefined ? undefined : summarize(values);
}
