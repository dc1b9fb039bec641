// Many ADDs at once: how long each pod waits, in which order they come through, whether anything stands still meanwhile,
// and what stays in the agent. Empty processes of the same number, and every side, take turns.
import { setTimeout as sleep } from "node:timers/promises";
import { type AddContest, type AddKind, endPods, type PreparedAdd, prepareAdd, type Side } from "./add-contest.ts";
import { LIMITS } from "./budget.ts";
import { type Burst, describeBurst } from "./burst.ts";
import { runCrowd } from "./crowd.ts";
import { createFigure, type Figure, type FigureExtras, type Unit } from "./figure.ts";
import { emptyRequest } from "./meter.ts";
import { type AtOnce, rotate } from "./plan.ts";
import {
  countDescriptors,
  forgetPeak,
  readChildrenCpuMs,
  readCpuMs,
  readMainThread,
  readMemory,
} from "./process-figures.ts";
import { idlePercent } from "./processor-time.ts";
import { createSeries } from "./series.ts";

/** DELs want no answer, so the agent is done with them a moment later. */
const SETTLE_MS = 10_000;

/** One burst size of a contest. */
export async function measureBurst(contest: AddContest, { size, rounds }: AtOnce): Promise<Figure[]> {
  const { sides, kinds, title } = contest;
  const section = `5. ${size} ADDs at once: ${title}`;
  const series = createSeries();
  const turns = ["floor" as const, ...sides.flatMap((side) => kinds.map((kind) => ({ side, kind })))];
  for (let round = -1; round < rounds; round++) {
    const keep = (name: string, ...values: readonly number[]): void => {
      if (round >= 0) series.keep(name, ...values);
    };
    for (const turn of rotate(turns, round + 1)) {
      if (turn === "floor") {
        const { members, processors } = await runCrowd(Array.from({ length: size }, emptyRequest));
        keepBurst(keep, "floor", describeBurst(members), idlePercent(processors.before, processors.after));
      } else if (turn.side.who === "ours") await runOurs(contest, turn.side, turn.kind, size, keep);
      else await addAll(prepareAll(contest, turn.side, turn.kind, size), `upstream ${turn.kind.pods}`, keep);
    }
  }
  const figures: Figure[] = [];
  const add = (name: string, unit: Unit, key: string, what: string, extras: FigureExtras = {}): void => {
    const values = series.find(`${key} ${what}`);
    if (values === undefined) return;
    const upstream = key === "floor" ? undefined : series.summary(`${key.replace("ours", "upstream")} ${what}`);
    const cpu = what === "each" ? series.summary(`${key} cpu`) : undefined;
    figures.push(
      createFigure(section, name, unit, values, {
        ...extras,
        ...(cpu === undefined ? {} : { cpuMs: cpu.median }),
        ...(upstream === undefined ? {} : { upstream }),
      }),
    );
  };
  const rows = [
    { key: "floor", text: "empty processes (floor)" },
    ...kinds.map((kind) => ({ key: `ours ${kind.pods}`, text: kind.text })),
  ];
  for (const { key, text } of rows) add(`each, ${text}`, "ms", key, "each", { floor: series.median("floor each") });
  for (const { key, text } of rows)
    add(`all ${size}, ${text}`, "ms", key, "all", { floor: series.median("floor all") });
  for (const { key, text } of rows) add(`overtaken by so many, ${text}`, "count", key, "overtaken");
  for (const { key, text } of rows) add(`processors idle meanwhile, ${text}`, "%", key, "idle");
  for (const kind of kinds.filter(({ isCaptured }) => isCaptured)) {
    const key = `ours ${kind.pods}`;
    add("agent's main thread at work meanwhile", "%", key, "agent at work");
    add("  waiting for a processor", "%", key, "agent waiting");
    add("agent's CPU time per ADD, with its children", "ms", key, "agent cpu");
    add("agent's RSS before", "MiB", key, "rss before");
    add("  largest meanwhile", "MiB", key, "rss peak", {
      budget: { limit: LIMITS.rssMib[250], because: "upstream's with 250 pods (baseline)" },
    });
    add("  after the DELs", "MiB", key, "rss after");
    add("agent's descriptors before", "count", key, "fds before");
    add(`  with ${size} pods`, "count", key, "fds meanwhile");
    add("  more than before after the DELs", "count", key, "fds left", {
      budget: { limit: LIMITS.descriptorsLeft, because: "none is left open" },
    });
  }
  return figures;
}

type Keep = (name: string, ...values: readonly number[]) => void;

function prepareAll(contest: AddContest, side: Side, kind: AddKind, size: number): readonly PreparedAdd[] {
  return Array.from({ length: size }, (_, index) => prepareAdd(contest, side, kind, index));
}

async function addAll(calls: readonly PreparedAdd[], key: string, keep: Keep): Promise<Burst> {
  const { members, processors } = await runCrowd(calls.map(({ add }) => add));
  const burst = describeBurst(members);
  keepBurst(keep, key, burst, idlePercent(processors.before, processors.after));
  return burst;
}

async function runOurs(contest: AddContest, side: Side, kind: AddKind, size: number, keep: Keep): Promise<void> {
  const { pid } = contest.agent;
  const key = `ours ${kind.pods}`;
  const calls = prepareAll(contest, side, kind, size);
  const fdsBefore = countDescriptors(pid);
  forgetPeak(pid);
  const before = { memory: readMemory(pid), cpu: readCpuMs(pid) + readChildrenCpuMs(pid), thread: readMainThread(pid) };
  const { allMs } = await addAll(calls, key, keep);
  const thread = readMainThread(pid);
  keep(`${key} agent at work`, ((thread.runMs - before.thread.runMs) / allMs) * 100);
  keep(`${key} agent waiting`, ((thread.waitMs - before.thread.waitMs) / allMs) * 100);
  keep(`${key} agent cpu`, (readCpuMs(pid) + readChildrenCpuMs(pid) - before.cpu) / size);
  keep(`${key} rss before`, before.memory.rssMib);
  keep(`${key} rss peak`, readMemory(pid).peakMib);
  keep(`${key} fds before`, fdsBefore);
  keep(`${key} fds meanwhile`, countDescriptors(pid));
  await runCrowd(calls.flatMap(({ undo }) => (undo === undefined ? [] : [undo])));
  await endPods(side, kind, [...calls.keys()]);
  for (const deadline = performance.now() + SETTLE_MS; performance.now() < deadline; await sleep(20))
    if (countDescriptors(pid) <= fdsBefore) break;
  keep(`${key} fds left`, Math.max(0, countDescriptors(pid) - fdsBefore));
  keep(`${key} rss after`, readMemory(pid).rssMib);
}

function keepBurst(keep: Keep, key: string, burst: Burst, idle: number | undefined): void {
  keep(`${key} each`, ...burst.eachMs);
  keep(`${key} all`, burst.allMs);
  keep(`${key} cpu`, burst.cpuMs / burst.eachMs.length);
  keep(`${key} overtaken`, ...burst.overtaken);
  if (idle !== undefined) keep(`${key} idle`, idle);
}
