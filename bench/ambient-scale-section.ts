// 6. Five hundred pods of ambient mode on one node: how long an agent needs until all of them are in, what a pass of
// verification takes, what the agent holds in memory, and whether a pass delays an ADD. For each way to write rules without
// programs; what an agent does between two passes is chosen by VERIFY_INTERVAL and VERIFY_WHOLE_INTERVAL.
import { setTimeout as sleep } from "node:timers/promises";
import { STATUS_DOCUMENT } from "../src/core/status/status-document.ts";
import { askOverUnix } from "../src/platform/http/unix-client.ts";
import { until } from "../testbed/until.ts";
import { type AddContest, endPods, prepareAdd, prepareSides } from "./add-contest.ts";
import { ADD_PHASES, meanPhases, readPhaseTotals } from "./add-phases.ts";
import { ambientKind } from "./ambient-add-section.ts";
import { type AmbientAgent, startAmbientAgent } from "./ambient-agent.ts";
import { BACKENDS, type BenchBackend } from "./backends.ts";
import type { Bench } from "./bench-node.ts";
import { createFigure, type Figure, type Unit } from "./figure.ts";
import { rotate } from "./plan.ts";
import { countDescriptors, readCpuMs, readMemory, readWorkingSetMib } from "./process-figures.ts";
import { startResidentPods } from "./resident-pods.ts";
import { createSeries, type Series } from "./series.ts";
import type { StandIn } from "./stand-in.ts";
import { describePass } from "./verify-pass.ts";

const PODS = 500;
/** Pods that start and end meanwhile, in turn. */
const NEWCOMERS = 10;
const AFTERWARDS_MS = 15;
/** What the agent does once a pod is gone is not the next ADD's. */
const AFTER_DEL_MS = 100;
const ADMIN_SOCKET = "/run/istio-cni/admin.sock";
/** Two passes that come every 12 to 15 s. */
const WHOLE_WINDOW_MS = 30_000;
const DEADLINE_MS = 180_000;

/** How often an agent verifies: nothing within a run; looks that end where the kernel's generation is the same; looks that
 * compare every rule, each time; and what the measured ADDs meet, both kinds as often as the options allow. */
const VERIFYING = {
  none: { VERIFY_INTERVAL: "10m", VERIFY_WHOLE_INTERVAL: "60m" },
  generation: { VERIFY_INTERVAL: "1s", VERIFY_WHOLE_INTERVAL: "60m" },
  whole: { VERIFY_INTERVAL: "15s", VERIFY_WHOLE_INTERVAL: "10s" },
  both: { VERIFY_INTERVAL: "1s", VERIFY_WHOLE_INTERVAL: "10s" },
} as const;
type Verifying = keyof typeof VERIFYING;
const TEXTS: Readonly<Record<Verifying, string>> = {
  none: "no pass",
  generation: "passes by generation, one a second",
  whole: "passes that compare every rule, one in 15 s",
  both: "a pass a second, each tenth compares every rule",
};

type Keep = Series["keep"];

interface Stage {
  readonly bench: Bench;
  readonly backend: BenchBackend;
  readonly api: StandIn;
  readonly keep: Keep;
}

export async function measureAmbientScale(bench: Bench): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const backend of BACKENDS) {
    if (backend.mostExecutions === undefined) continue;
    bench.say(`  ${backend.name}: starting ${PODS} pods`);
    figures.push(...(await measureBackend(bench, backend)));
  }
  return figures;
}

async function measureBackend(bench: Bench, backend: BenchBackend): Promise<Figure[]> {
  const { scale } = bench.plan;
  const series = createSeries();
  const { keep } = series;
  await using api = await bench.startStandIn({ resident: PODS, ambient: NEWCOMERS }, { starting: true });
  await using _pods = await startResidentPods(api.pods.filter(({ name }) => name.startsWith("resident-")));
  const stage: Stage = { bench, backend, api, keep };

  await withAgent(stage, "none", "first", async (agent) => {
    await sleep(bench.plan.settleMs);
    keepMemory(keep, agent);
    keep("files", bench.readHostFilesKib());
    await keepIdle(stage, "none", agent);
  });
  for (const verifying of ["generation", "whole"] as const)
    await withAgent(stage, verifying, "again", async (agent) => {
      await keepIdle(stage, verifying, agent);
      await keepPasses(stage, verifying);
    });
  for (let round = 0; round < scale.rounds; round++)
    for (const verifying of rotate(["none", "both"] as const, round))
      await withAgent(stage, verifying, "again", (agent) => keepAdds(stage, verifying, agent));
  return renderScale(stage, series);
}

/** Starts an agent, waits until all pods are in, does the rest, and ends the agent as a crash does: the pods stay in. */
async function withAgent(
  stage: Stage,
  verifying: Verifying,
  start: "first" | "again",
  action: (agent: AmbientAgent) => Promise<void>,
): Promise<void> {
  const { bench, backend, api, keep } = stage;
  bench.say(`    ${TEXTS[verifying]}`);
  await using agent = await startAmbientAgent(bench, api, { ...backend.env, ...VERIFYING[verifying] });
  const { readyMs, pid } = agent.measured;
  const readyAtMs = performance.now();
  const sinceExec = (): number => readyMs + performance.now() - readyAtMs;
  // ztunnel tells without costing the agent anything; the agent's own word, a large document, is asked for afterwards.
  await until("ztunnel to take all pods", () => countTaken(agent) >= PODS, DEADLINE_MS);
  keep(`${start} ready`, readyMs);
  keep(`${start} taken`, sinceExec());
  await until("all pods to be in", async () => (await readResidents()).every(isIn), DEADLINE_MS, 100);
  keep(`${start} in`, sinceExec());
  keep(`${start} cpu`, readCpuMs(pid));
  await action(agent);
}

function countTaken({ ztunnel }: AmbientAgent): number {
  return ztunnel.command.lines.filter((line) => line.includes('"event":"add"') && line.includes('"result":"ok"'))
    .length;
}

function keepMemory(keep: Keep, { measured: { pid, agent } }: AmbientAgent): void {
  const { rssMib, anonMib, peakMib } = readMemory(pid);
  keep("rss", rssMib);
  keep("anon", anonMib);
  keep("peak", peakMib);
  keep("descriptors", countDescriptors(pid));
  const workingSet = readWorkingSetMib(agent.cgroup);
  if (workingSet !== undefined) keep("working set", workingSet);
}

async function keepIdle({ bench, keep }: Stage, verifying: Verifying, { measured }: AmbientAgent): Promise<void> {
  const windowMs = verifying === "whole" ? WHOLE_WINDOW_MS : bench.plan.scale.windowMs;
  const before = readCpuMs(measured.pid);
  await sleep(windowMs);
  keep(`idle ${verifying}`, ((readCpuMs(measured.pid) - before) / windowMs) * 1000);
}

/** Passes that began after this was called. */
async function keepPasses({ bench, keep }: Stage, verifying: "generation" | "whole"): Promise<void> {
  const intervalMs = verifying === "whole" ? 15_000 : 1000;
  const wanted = verifying === "whole" ? bench.plan.scale.wholePasses : bench.plan.scale.generationPasses;
  const bounds = { sinceMs: Date.now(), mostMs: intervalMs * 0.7 };
  const seen = new Map<number, number>();
  const isSeen = async (): Promise<boolean> => {
    const times = (await readResidents()).map(({ lastVerifiedAt }) => lastVerifiedAt);
    const pass = describePass(times, bounds);
    if (pass !== undefined) seen.set(pass.endedMs, pass.tookMs);
    return seen.size >= wanted;
  };
  await until(`${wanted} passes (${TEXTS[verifying]})`, isSeen, DEADLINE_MS, intervalMs / 4);
  keep(`pass ${verifying}`, ...seen.values());
}

async function keepAdds({ bench, backend, api, keep }: Stage, verifying: Verifying, agent: AmbientAgent) {
  using netnses = new DisposableStack();
  const kind = ambientKind(backend);
  const sides = prepareSides(bench, backend, api, undefined);
  const contest: AddContest = { bench, title: "", agent: agent.measured, sides, kinds: [kind], netnses };
  const before = await readPhaseTotals(agent.measured.agent);
  for (const side of sides)
    for (let round = -NEWCOMERS; round < bench.plan.scale.adds; round++) {
      const index = (round + NEWCOMERS) % NEWCOMERS;
      const { add, undo } = prepareAdd(contest, side, kind, index);
      const { wallMs } = await bench.meter.measure(add);
      if (round >= 0) keep(`add ${verifying}`, wallMs);
      await sleep(AFTERWARDS_MS);
      if (undo !== undefined) await bench.meter.measure(undo);
      await endPods(side, kind, [index]);
      await sleep(AFTER_DEL_MS);
    }
  for (const [phase, ms] of meanPhases(before, await readPhaseTotals(agent.measured.agent)))
    keep(`${phase} ${verifying}`, ms);
}

function renderScale({ bench, backend }: Stage, series: Series): Figure[] {
  const section = `6. ${PODS} ambient pods on the node: ${backend.name}`;
  const figures: Figure[] = [];
  const add = (name: string, unit: Unit, key: string, extras: { floor?: number } = {}): void => {
    const values = series.find(key);
    if (values !== undefined) figures.push(createFigure(section, name, unit, values, extras));
  };
  const starts = [
    ["first", "first start, nothing is there"],
    ["again", "start after a crash, with a new ztunnel"],
  ] as const;
  for (const [key, text] of starts) {
    add(`${text}: exec to /readyz 200`, "ms", `${key} ready`);
    add("  until ztunnel has taken all", "ms", `${key} taken`);
    add("  until all are in: verified, annotated", "ms", `${key} in`);
    add("  CPU time until then", "ms", `${key} cpu`);
  }
  add("one pass by generation, first pod to last", "ms", "pass generation");
  add("one pass that compares every rule, first pod to last", "ms", "pass whole");
  for (const verifying of ["none", "generation", "whole"] as const)
    add(`CPU time a second, ${TEXTS[verifying]}`, "ms", `idle ${verifying}`);
  add(`RSS, ${bench.plan.settleMs / 1000} s after all are in`, "MiB", "rss");
  add("  of it anonymous", "MiB", "anon");
  add("  cgroup's working set", "MiB", "working set");
  add("  largest RSS since the start", "MiB", "peak");
  add("open descriptors", "count", "descriptors");
  add("files on the host: plugin, entry, run directory", "KiB", "files");
  const [without, during] = [series.summary("add none"), series.summary("add both")];
  if (without === undefined || during === undefined) return figures;
  for (const verifying of ["none", "both"] as const) {
    add(`ADD of one more, ${TEXTS[verifying]}`, "ms", `add ${verifying}`, { floor: without.median });
    for (const [phase, text] of Object.entries(ADD_PHASES)) add(text, "ms", `${phase} ${verifying}`);
  }
  figures.push(createFigure(section, "  p99 with passes, less p99 without", "ms", [during.p99 - without.p99]));
  return figures;
}

interface Resident {
  readonly state: string;
  readonly ambient: { readonly state: string } | null;
  readonly lastVerifiedAt: string | null;
}

function isIn({ state, ambient }: Resident): boolean {
  return (state === "verified" || state === "repaired") && ambient?.state === "enrolled";
}

/** @throws {Error} when the agent does not tell of all of them. */
async function readResidents(): Promise<readonly Resident[]> {
  const { body } = await askOverUnix(ADMIN_SOCKET, "/status", { timeoutMs: 30_000, maxBytes: 64 * 1024 * 1024 });
  const { pods } = STATUS_DOCUMENT.read(JSON.parse(body), "");
  const residents = pods.filter(({ name }) => name.startsWith("resident-"));
  if (residents.length !== PODS) throw new Error(`Cannot use the agent's status: it tells of ${residents.length} pods`);
  return residents;
}
