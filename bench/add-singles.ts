// ADDs one after the other: how long the plugin runs, what it and the agent use, what is executed and asked for. An empty
// process and every side take turns, so that what the machine does meanwhile hits all alike.
import { setTimeout as sleep } from "node:timers/promises";
import { type AddContest, type AddKind, endPods, prepareAdd, type Side } from "./add-contest.ts";
import { BASELINE, LIMITS } from "./budget.ts";
import { traceExecutions } from "./executions.ts";
import { createFigure, type Figure } from "./figure.ts";
import { emptyProgramPath, type Measurement } from "./meter.ts";
import { rotate } from "./plan.ts";
import { readChildrenCpuMs, readCpuMs } from "./process-figures.ts";
import { isForAdd } from "./stand-in.ts";
import { type Summary, summarize } from "./statistics.ts";

const WARM_UP_ROUNDS = 3;
/** What the agent does after its answer (its log, its record of the pod) belongs to the ADD. */
const AFTERWARDS_MS = 15;

interface Series {
  readonly wall: number[];
  readonly cpu: number[];
  readonly rss: number[];
  /** The agent's own, per ADD. */
  readonly agentCpu: number[];
  /** Of the agent's children, all together; too coarse for one. */
  childrenCpuMs: number;
}

/** Times, CPU, executed programs and API requests of single ADDs, each of them undone before the next. */
export async function measureSingles(contest: AddContest): Promise<Figure[]> {
  const { bench, agent, sides, kinds, title } = contest;
  const section = `5. ADD one by one: ${title}`;
  const rounds = bench.plan.addRounds;
  const empty = { program: emptyProgramPath(), stdinPath: "/dev/null", outputPath: "/dev/null" };
  const floor: Measurement[] = [];
  const series = new Map(sides.flatMap((side) => kinds.map((kind) => [nameOf(side, kind), createSeries()] as const)));
  const turns = ["floor" as const, ...sides.flatMap((side) => kinds.map((kind) => ({ side, kind })))];

  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    if (round === 0) for (const { api } of sides) await api.clearRequests();
    for (const turn of rotate(turns, round + WARM_UP_ROUNDS)) {
      if (turn === "floor") {
        const measurement = await bench.meter.measure(empty);
        if (round >= 0) floor.push(measurement);
        continue;
      }
      const { side, kind } = turn;
      const { add, undo } = prepareAdd(contest, side, kind, 0);
      const [cpuBefore, childrenBefore] = [readCpuMs(agent.pid), readChildrenCpuMs(agent.pid)];
      const measurement = await bench.meter.measure(add);
      await sleep(kind.afterwardsMs ?? AFTERWARDS_MS);
      const kept = series.get(nameOf(side, kind));
      if (round >= 0 && kept !== undefined) {
        kept.wall.push(measurement.wallMs);
        kept.cpu.push(measurement.cpuMs);
        kept.rss.push(measurement.rssMib);
        kept.agentCpu.push(readCpuMs(agent.pid) - cpuBefore);
        kept.childrenCpuMs += readChildrenCpuMs(agent.pid) - childrenBefore;
      }
      if (undo !== undefined) await bench.meter.measure(undo);
      await endPods(side, kind, [0]);
      // What the agent does once a pod is gone is not the next ADD's.
      if (kind.livesOnce === true) await sleep(kind.afterwardsMs ?? AFTERWARDS_MS);
    }
  }
  const requests = await Promise.all(sides.map(({ api }) => api.requests()));
  const [oursAsked = [], upstreamAsked] = requests;

  const floorMs = summarize(floor.map(({ wallMs }) => wallMs)).median;
  const seriesOf = (who: Side["who"], kind: AddKind): Series | undefined => series.get(`${who} ${kind.pods}`);
  const figures = [
    createFigure(
      section,
      "an empty static process (floor)",
      "ms",
      floor.map(({ wallMs }) => wallMs),
      {
        floor: floorMs,
        cpuMs: summarize(floor.map(({ cpuMs }) => cpuMs)).median,
        rssMib: summarize(floor.map(({ rssMib }) => rssMib)).median,
      },
    ),
  ];
  for (const kind of kinds) {
    const ours = seriesOf("ours", kind) ?? createSeries();
    const theirs = peerOf(seriesOf("upstream", kind)?.wall);
    const budget = kind.budget(floorMs, theirs?.median);
    figures.push(
      createFigure(section, `ADD, ${kind.text}`, "ms", ours.wall, {
        floor: floorMs,
        cpuMs: summarize(ours.cpu).median,
        rssMib: summarize(ours.rss).median,
        ...(budget === undefined ? {} : { budget }),
        ...(theirs === undefined ? {} : { upstream: theirs }),
        ...(kind.baseline === undefined ? {} : { baseline: kind.baseline.wallMs }),
      }),
    );
  }
  for (const kind of kinds) figures.push(renderCpu(section, kind, seriesOf("ours", kind), seriesOf("upstream", kind)));
  for (const kind of kinds) figures.push(await countExecutions(contest, section, kind));
  figures.push(renderRequests(contest, section, oursAsked, upstreamAsked));
  return figures;
}

function renderRequests(
  { bench, kinds, afterwards, baselineRequests }: AddContest,
  section: string,
  ours: readonly string[],
  theirs: readonly string[] | undefined,
): Figure {
  const adds = bench.plan.addRounds * kinds.length;
  const isAsked = (request: string): boolean => isForAdd(request, afterwards);
  const asked = ours.filter(isAsked);
  const which = asked.length === 0 ? "" : ` (${[...new Set(asked)].join(", ")})`;
  return createFigure(section, `API requests, per ADD${which}`, "count", [asked.length / adds], {
    budget: { limit: LIMITS.apiRequestsPerPod, because: "0 before ADD answers" },
    baseline: baselineRequests ?? BASELINE.apiRequestsPerAdd,
    ...(theirs === undefined ? {} : { upstream: summarize([theirs.filter(isAsked).length / adds]) }),
  });
}

/** Everything that one ADD costs the node: upstream's agent has no part in it in sidecar mode. */
function renderCpu(section: string, kind: AddKind, ours: Series | undefined, theirs: Series | undefined): Figure {
  const children = (ours?.childrenCpuMs ?? 0) / (ours?.agentCpu.length || 1);
  const whole = (ours?.cpu ?? []).map((cpuMs, index) => cpuMs + (ours?.agentCpu[index] ?? 0) + children);
  const upstream = peerOf(theirs?.cpu);
  return createFigure(section, `CPU time of it all, ${kind.text}: plugin, agent, children`, "ms", whole, {
    ...(upstream === undefined ? {} : { upstream }),
    ...(kind.baseline === undefined ? {} : { baseline: kind.baseline.cpuMs }),
  });
}

async function countExecutions(contest: AddContest, section: string, kind: AddKind): Promise<Figure> {
  const { bench, agent, sides } = contest;
  const perAdd = new Map<Side["who"], readonly number[]>();
  const programs = new Set<string>();
  for (const side of sides) {
    const calls = Array.from({ length: bench.plan.tracedAdds }, (_, index) => prepareAdd(contest, side, kind, index));
    const pid = side.who === "ours" ? agent.pid : undefined;
    const traced = await traceExecutions(
      calls.map(({ add }) => add),
      pid,
      bench.folder,
    );
    // The agent's are not told apart by ADD.
    const ofAgent = traced.agent.length / calls.length;
    perAdd.set(
      side.who,
      traced.plugin.map((executed) => executed.length + ofAgent),
    );
    if (side.who === "ours")
      for (const path of [...traced.plugin.flat(), ...traced.agent]) programs.add(path.split("/").at(-1) ?? path);
    for (const { undo } of calls) if (undo !== undefined) await bench.meter.measure(undo);
    await endPods(side, kind, [...calls.keys()]);
  }
  const upstream = peerOf(perAdd.get("upstream"));
  const which = programs.size === 0 ? "" : ` (${[...programs].join(", ")})`;
  return createFigure(section, `programs executed per ADD, ${kind.text}${which}`, "count", perAdd.get("ours") ?? [], {
    ...(kind.mostExecutions === undefined
      ? {}
      : { budget: { limit: kind.mostExecutions, because: "no child process" } }),
    ...(upstream === undefined ? {} : { upstream }),
    ...(kind.baseline === undefined ? {} : { baseline: kind.baseline.executions }),
  });
}

function createSeries(): Series {
  return { wall: [], cpu: [], rss: [], agentCpu: [], childrenCpuMs: 0 };
}

function nameOf({ who }: Side, { pods }: AddKind): string {
  return `${who} ${pods}`;
}

function peerOf(values: readonly number[] | undefined): Summary | undefined {
  return values === undefined || values.length === 0 ? undefined : summarize(values);
}
