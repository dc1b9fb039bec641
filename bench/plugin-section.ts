// 1. The plugin's process, from start to exit, beside an empty one. Every row once in every round, in turning order, on
// namespaces that were made before the round: what the machine does meanwhile hits all rows alike.
import { statSync } from "node:fs";
import type { TestNetns } from "../testbed/netns.ts";
import { prepareSides } from "./add-contest.ts";
import { type Bench, OURS } from "./bench-node.ts";
import { addBudget, BASELINE, LIMITS, pluginBudget, requestsBudget } from "./budget.ts";
import { createFigure, type Figure, type FigureExtras } from "./figure.ts";
import { startMeasuredAgent } from "./measured-agent.ts";
import { emptyRequest, keepMeasurement, type Measurement } from "./meter.ts";
import { rotate } from "./plan.ts";
import { type CniCommand, createPodNetns, renderPluginCall } from "./plugin-call.ts";
import { readCpuMs } from "./process-figures.ts";
import { createSeries } from "./series.ts";
import { isForAdd } from "./stand-in.ts";
import { summarize } from "./statistics.ts";

const SECTION = "1. Plugin: process, start to exit";
const WARM_UP_ROUNDS = 3;

interface PluginRow {
  readonly name: string;
  readonly command: CniCommand;
  /** A pod of the stand-in. */
  readonly pod: string;
  /** Whose namespace of the round. */
  readonly netns: "plain" | "v4" | "dual" | "both";
  readonly budget: "plugin" | "sidecar-add" | "none";
  /** What upstream took for the same in the baseline. */
  readonly baselineMs?: number;
}

/** The order within a round is not fixed, but CHECK of a captured pod needs its ADD: it is run last (see below). */
const ROWS: readonly PluginRow[] = [
  {
    name: "VERSION",
    command: "VERSION",
    pod: "plain-0",
    netns: "plain",
    budget: "plugin",
    baselineMs: BASELINE.pluginMs.VERSION,
  },
  { name: "DEL", command: "DEL", pod: "plain-0", netns: "plain", budget: "plugin", baselineMs: BASELINE.pluginMs.DEL },
  {
    name: "CHECK, pod outside the mesh",
    command: "CHECK",
    pod: "plain-0",
    netns: "plain",
    budget: "plugin",
    baselineMs: BASELINE.pluginMs.CHECK,
  },
  {
    name: "ADD, pod outside the mesh",
    command: "ADD",
    pod: "plain-0",
    netns: "plain",
    budget: "plugin",
    baselineMs: BASELINE.pluginMs.plainAdd,
  },
  { name: "ADD, sidecar pod, v4", command: "ADD", pod: "sidecar-0", netns: "v4", budget: "sidecar-add" },
  {
    name: "ADD, sidecar pod, v4+v6, v4 captured",
    command: "ADD",
    pod: "sidecar-0",
    netns: "dual",
    budget: "sidecar-add",
    baselineMs: BASELINE.sidecarAdd.iptables.wallMs,
  },
  {
    name: "ADD, sidecar pod, v4+v6, both captured",
    command: "ADD",
    pod: "dual-0",
    netns: "both",
    budget: "sidecar-add",
  },
];
const CHECK_CAPTURED: PluginRow = {
  name: "CHECK, sidecar pod (reads all rules)",
  command: "CHECK",
  pod: "sidecar-0",
  netns: "v4",
  budget: "none",
};

export async function measurePlugin(bench: Bench): Promise<Figure[]> {
  const { meter, plan, upstream } = bench;
  const pods = { plain: 1, sidecar: 1, dual: 1 };
  await using api = await bench.startStandIn(pods);
  // Its own stand-in, so that upstream's requests are not counted as ours.
  await using upstreamApi = upstream === undefined ? undefined : await bench.startStandIn(pods);
  await using measured = await startMeasuredAgent(bench, "ours", api);

  const sides = prepareSides(bench, { nativeNftables: false }, api, upstreamApi);
  const calls = sides.flatMap((side) => ROWS.map((row) => ({ ...side, row })));
  const series = createSeries();
  const empty = emptyRequest();
  // Kept until the end: the kernel takes namespaces down in the background, which would disturb what comes next.
  using netnses = new DisposableStack();

  for (let round = -WARM_UP_ROUNDS; round < plan.pluginRounds; round++) {
    if (round === 0) await api.clearRequests();
    const fresh = new Map<string, TestNetns>();
    for (const { who } of sides)
      for (const kind of ["plain", "v4", "dual", "both"] as const)
        fresh.set(`${who} ${kind}`, netnses.use(createPodNetns(kind === "v4" ? "v4" : "dual")));
    const keep = (name: string, measurement: Measurement): void => {
      if (round >= 0) keepMeasurement(series, name, measurement);
    };
    const call = async ({ who, program, entry, api: source, row }: (typeof calls)[number]): Promise<void> => {
      const netns = fresh.get(`${who} ${row.netns}`);
      if (netns === undefined) throw new Error(`Cannot measure ${row.name}: no namespace was made for it`);
      const request = renderPluginCall(bench, {
        command: row.command,
        program,
        entry,
        pod: source.pod(row.pod),
        netns,
      });
      const cpuBefore = readCpuMs(measured.pid);
      keep(`${who} ${row.name}`, await meter.measure(request));
      if (round >= 0 && who === "ours" && row.netns === "v4" && row.command === "ADD")
        series.keep("agent cpu", readCpuMs(measured.pid) - cpuBefore);
    };
    for (const item of rotate(["floor" as const, ...calls], round + WARM_UP_ROUNDS)) {
      if (item === "floor") keep("floor", await meter.measure(empty));
      else await call(item);
    }
    for (const side of sides) await call({ ...side, row: CHECK_CAPTURED });
  }
  const requests = (await api.requests()).filter((request) => isForAdd(request)).length;

  const floor = series.median("floor wall");
  const rows = [...ROWS, CHECK_CAPTURED];
  return [
    render("an empty static process (floor)", "floor", { floor }),
    ...rows.map((row) => {
      const peer = series.summary(`upstream ${row.name} wall`);
      const budget =
        row.budget === "plugin"
          ? pluginBudget(floor)
          : row.budget === "sidecar-add"
            ? addBudget("sidecarAdd", { of: 25, baselineMs: BASELINE.sidecarAdd.iptables.wallMs }, peer?.median)
            : undefined;
      return render(row.name, `ours ${row.name}`, {
        floor,
        ...(budget === undefined ? {} : { budget }),
        ...(peer === undefined ? {} : { upstream: peer }),
        ...(row.baselineMs === undefined ? {} : { baseline: row.baselineMs }),
      });
    }),
    ...renderTotals(),
  ];

  function render(name: string, key: string, extras: FigureExtras): Figure {
    const beside = { cpuMs: series.median(`${key} cpu`), rssMib: series.median(`${key} rss`) };
    return createFigure(SECTION, name, "ms", series.of(`${key} wall`), { ...beside, ...extras });
  }

  function renderTotals(): Figure[] {
    const largest = Math.max(...rows.flatMap(({ name }) => series.of(`ours ${name} rss`)));
    return [
      createFigure(SECTION, "agent's CPU time for one sidecar ADD, v4", "ms", series.of("agent cpu")),
      createFigure(SECTION, "largest resident size of all plugin processes", "MiB", [largest], {
        budget: { limit: LIMITS.pluginRssMib, because: "2 MiB", row: "plugin" },
      }),
      createFigure(SECTION, `API requests during ${plan.pluginRounds * rows.length} calls`, "count", [requests], {
        budget: requestsBudget(),
      }),
      createFigure(SECTION, "size of the plugin on the host", "KiB", [statSync(OURS.istioCni).size / 1024], {
        budget: { limit: LIMITS.hostFilesKib, because: "0.1 MB", row: "hostFiles" },
        ...(upstream?.plugin === undefined ? {} : { upstream: summarize([statSync(upstream.plugin).size / 1024]) }),
      }),
    ];
  }
}
