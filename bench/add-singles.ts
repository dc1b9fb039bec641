// ADDs one after the other: how long the plugin runs, what it and the agent use, what is executed and asked for. An empty
// process and every side take turns, so that what the machine does meanwhile hits all alike.
import { setTimeout as sleep } from "node:timers/promises";
import { type AddContest, type AddKind, endPods, prepareAdd, type Side } from "./add-contest.ts";
import { ADD_PHASES, meanPhases, readPhaseTotals } from "./add-phases.ts";
import { BASELINE, requestsBudget } from "./budget.ts";
import { traceExecutions } from "./executions.ts";
import { createFigure, type Figure, type FigureExtras } from "./figure.ts";
import { emptyRequest, keepMeasurement, type Measurement } from "./meter.ts";
import { rotate } from "./plan.ts";
import { readChildrenCpuMs, readCpuMs } from "./process-figures.ts";
import { createSeries, type Series } from "./series.ts";
import { isForAdd } from "./stand-in.ts";
import { summarize } from "./statistics.ts";

const WARM_UP_ROUNDS = 3;
/** What the agent does after its answer (its log, its record of the pod) belongs to the ADD. */
const AFTERWARDS_MS = 15;

/** Times, CPU, executed programs and API requests of single ADDs, each of them undone before the next. */
export async function measureSingles(contest: AddContest): Promise<Figure[]> {
  const { bench, agent, sides, kinds, title } = contest;
  const section = `5. ADD one by one: ${title}`;
  const rounds = bench.plan.addRounds;
  const empty = emptyRequest();
  const series = createSeries();
  const turns = ["floor" as const, ...sides.flatMap((side) => kinds.map((kind) => ({ side, kind })))];

  let phasesBefore = await readPhaseTotals(agent.agent);
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    if (round === 0) for (const { api } of sides) await api.clearRequests();
    if (round === 0) phasesBefore = await readPhaseTotals(agent.agent);
    const keep = (name: string, measurement: Measurement): void => {
      if (round >= 0) keepMeasurement(series, name, measurement);
    };
    for (const turn of rotate(turns, round + WARM_UP_ROUNDS)) {
      if (turn === "floor") {
        keep("floor", await bench.meter.measure(empty));
        continue;
      }
      const { side, kind } = turn;
      const { add, undo } = prepareAdd(contest, side, kind, 0);
      const [cpuBefore, childrenBefore] = [readCpuMs(agent.pid), readChildrenCpuMs(agent.pid)];
      const name = nameOf(side.who, kind);
      keep(name, await bench.meter.measure(add));
      await sleep(kind.afterwardsMs ?? AFTERWARDS_MS);
      if (round >= 0) {
        series.keep(`${name} agent cpu`, readCpuMs(agent.pid) - cpuBefore);
        series.keep(`${name} children cpu`, readChildrenCpuMs(agent.pid) - childrenBefore);
      }
      if (undo !== undefined) await bench.meter.measure(undo);
      await endPods(side, kind, [0]);
      // What the agent does once a pod is gone is not the next ADD's.
      if (kind.livesOnce === true) await sleep(kind.afterwardsMs ?? AFTERWARDS_MS);
    }
  }
  const requests = await Promise.all(sides.map(({ api }) => api.requests()));
  const [oursAsked = [], upstreamAsked] = requests;

  const phases = meanPhases(phasesBefore, await readPhaseTotals(agent.agent));
  const floorMs = series.median("floor wall");
  const beside = (name: string): Pick<FigureExtras, "floor" | "cpuMs" | "rssMib"> => ({
    floor: floorMs,
    cpuMs: series.median(`${name} cpu`),
    rssMib: series.median(`${name} rss`),
  });
  const figures = [
    createFigure(section, "an empty static process (floor)", "ms", series.of("floor wall"), beside("floor")),
  ];
  for (const kind of kinds) {
    const name = nameOf("ours", kind);
    const theirs = series.summary(`${nameOf("upstream", kind)} wall`);
    const budget = kind.budget(floorMs, theirs?.median);
    figures.push(
      createFigure(section, `ADD, ${kind.text}`, "ms", series.of(`${name} wall`), {
        ...beside(name),
        ...(budget === undefined ? {} : { budget }),
        ...(theirs === undefined ? {} : { upstream: theirs }),
        ...(kind.baseline === undefined ? {} : { baseline: kind.baseline.wallMs }),
      }),
    );
  }
  // Pods outside the mesh may have asked the agent too: its mean of all would be of neither.
  for (const [phase, ms] of phases)
    if (phase !== "plugin_command") figures.push(createFigure(section, ADD_PHASES[phase], "ms", [ms]));
  for (const kind of kinds) figures.push(renderCpu(section, kind, series));
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
    budget: requestsBudget(),
    baseline: baselineRequests ?? BASELINE.apiRequestsPerAdd,
    ...(theirs === undefined ? {} : { upstream: summarize([theirs.filter(isAsked).length / adds]) }),
  });
}

/** Everything that one ADD costs the node: upstream's agent has no part in it in sidecar mode. What the agent's children use
 * is told in steps too coarse for one ADD, so each gets its share. */
function renderCpu(section: string, kind: AddKind, series: Series): Figure {
  const name = nameOf("ours", kind);
  const ofAgent = series.of(`${name} agent cpu`);
  const ofChildren = series.of(`${name} children cpu`).reduce((sum, cpuMs) => sum + cpuMs, 0) / ofAgent.length;
  const whole = series.of(`${name} cpu`).map((cpuMs, index) => cpuMs + (ofAgent[index] ?? 0) + ofChildren);
  const upstream = series.summary(`${nameOf("upstream", kind)} cpu`);
  return createFigure(section, `CPU time of it all, ${kind.text}: plugin, agent, children`, "ms", whole, {
    ...(upstream === undefined ? {} : { upstream }),
    ...(kind.baseline === undefined ? {} : { baseline: kind.baseline.cpuMs }),
  });
}

async function countExecutions(contest: AddContest, section: string, kind: AddKind): Promise<Figure> {
  const { bench, agent, sides } = contest;
  const perAdd = createSeries();
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
    perAdd.keep(side.who, ...traced.plugin.map((executed) => executed.length + ofAgent));
    if (side.who === "ours")
      for (const path of [...traced.plugin.flat(), ...traced.agent]) programs.add(path.split("/").at(-1) ?? path);
    for (const { undo } of calls) if (undo !== undefined) await bench.meter.measure(undo);
    await endPods(side, kind, [...calls.keys()]);
  }
  const upstream = perAdd.summary("upstream");
  const which = programs.size === 0 ? "" : ` (${[...programs].join(", ")})`;
  return createFigure(section, `programs executed per ADD, ${kind.text}${which}`, "count", perAdd.of("ours"), {
    ...(kind.mostExecutions === undefined
      ? {}
      : { budget: { limit: kind.mostExecutions, because: "no child process", row: kind.row } }),
    ...(upstream === undefined ? {} : { upstream }),
    ...(kind.baseline === undefined ? {} : { baseline: kind.baseline.executions }),
  });
}

function nameOf(who: Side["who"], { pods }: AddKind): string {
  return `${who} ${pods}`;
}
