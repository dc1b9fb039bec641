// 1. The plugin's process, from start to exit, beside an empty one. Every row once in every round, in turning order, on
// namespaces that were made before the round: what the machine does meanwhile hits all rows alike.
import { statSync } from "node:fs";
import type { TestNetns } from "../testbed/netns.ts";
import { type Bench, OURS, PLUGIN_PATH } from "./bench-node.ts";
import { addBudget, BASELINE, LIMITS, pluginBudget } from "./budget.ts";
import { createFigure, type Figure, type FigureExtras } from "./figure.ts";
import { startMeasuredAgent } from "./measured-agent.ts";
import { emptyProgramPath, type Measurement } from "./meter.ts";
import { rotate } from "./plan.ts";
import { type CniCommand, createPodNetns, renderPluginCall } from "./plugin-call.ts";
import { readCpuMs } from "./process-figures.ts";
import { isForAdd } from "./stand-in.ts";
import { summarize } from "./statistics.ts";
import { renderUpstreamEntry, writeUpstreamKubeconfig } from "./upstream.ts";

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

type Series = { readonly wall: number[]; readonly cpu: number[]; readonly rss: number[] };

export async function measurePlugin(bench: Bench): Promise<Figure[]> {
  const { meter, plan, upstream } = bench;
  const pods = { plain: 1, sidecar: 1, dual: 1 };
  await using api = await bench.startStandIn(pods);
  // Its own stand-in, so that upstream's requests are not counted as ours.
  await using upstreamApi = upstream === undefined ? undefined : await bench.startStandIn(pods);
  if (upstream !== undefined && upstreamApi !== undefined) writeUpstreamKubeconfig(upstream, upstreamApi.kubeconfig);
  await using measured = await startMeasuredAgent(bench, "ours", api);

  const who = [
    { who: "ours", program: PLUGIN_PATH, entry: bench.readOurEntry(), api },
    ...(upstream?.plugin === undefined || upstreamApi === undefined
      ? []
      : [
          {
            who: "upstream",
            program: upstream.plugin,
            entry: renderUpstreamEntry("istio-cni", upstream.runDir),
            api: upstreamApi,
          },
        ]),
  ];
  const calls = who.flatMap((side) => ROWS.map((row) => ({ ...side, row })));
  const series = new Map<string, Series>();
  const agentCpu: number[] = [];
  const empty = { program: emptyProgramPath(), stdinPath: "/dev/null", outputPath: "/dev/null" };
  // Kept until the end: the kernel takes namespaces down in the background, which would disturb what comes next.
  using netnses = new DisposableStack();

  for (let round = -WARM_UP_ROUNDS; round < plan.pluginRounds; round++) {
    if (round === 0) await api.clearRequests();
    const fresh = new Map<string, TestNetns>();
    for (const { who: side } of who)
      for (const kind of ["plain", "v4", "dual", "both"] as const)
        fresh.set(`${side} ${kind}`, netnses.use(createPodNetns(kind === "v4" ? "v4" : "dual")));
    const keep = (name: string, measurement: Measurement): void => {
      if (round >= 0) append(series, name, measurement);
    };
    const call = async ({ who: side, program, entry, api: source, row }: (typeof calls)[number]): Promise<void> => {
      const netns = fresh.get(`${side} ${row.netns}`);
      if (netns === undefined) throw new Error(`Cannot measure ${row.name}: no namespace was made for it`);
      const request = renderPluginCall(bench, {
        command: row.command,
        program,
        entry,
        pod: source.pod(row.pod),
        netns,
      });
      const cpuBefore = readCpuMs(measured.pid);
      keep(`${side} ${row.name}`, await meter.measure(request));
      if (round >= 0 && side === "ours" && row.netns === "v4" && row.command === "ADD")
        agentCpu.push(readCpuMs(measured.pid) - cpuBefore);
    };
    for (const item of rotate(["floor" as const, ...calls], round + WARM_UP_ROUNDS)) {
      if (item === "floor") keep("floor", await meter.measure(empty));
      else await call(item);
    }
    for (const side of who) await call({ ...side, row: CHECK_CAPTURED });
  }
  const requests = (await api.requests()).filter((request) => isForAdd(request)).length;

  const floor = summarize(seriesOf(series, "floor").wall).median;
  const rows = [...ROWS, CHECK_CAPTURED];
  return [
    render("an empty static process (floor)", seriesOf(series, "floor"), { floor }),
    ...rows.map((row) => {
      const theirs = series.get(`upstream ${row.name}`);
      const peer = theirs === undefined ? undefined : summarize(theirs.wall);
      const budget =
        row.budget === "plugin"
          ? pluginBudget(floor)
          : row.budget === "sidecar-add"
            ? addBudget({ of: 25, baselineMs: BASELINE.sidecarAdd.iptables.wallMs }, peer?.median)
            : undefined;
      return render(row.name, seriesOf(series, `ours ${row.name}`), {
        floor,
        ...(budget === undefined ? {} : { budget }),
        ...(peer === undefined ? {} : { upstream: peer }),
        ...(row.baselineMs === undefined ? {} : { baseline: row.baselineMs }),
      });
    }),
    ...renderTotals(),
  ];

  function renderTotals(): Figure[] {
    const largest = Math.max(...rows.flatMap(({ name }) => seriesOf(series, `ours ${name}`).rss));
    return [
      createFigure(SECTION, "agent's CPU time for one sidecar ADD, v4", "ms", agentCpu),
      createFigure(SECTION, "largest resident size of all plugin processes", "MiB", [largest], {
        budget: { limit: LIMITS.pluginRssMib, because: "2 MiB" },
      }),
      createFigure(SECTION, `API requests during ${plan.pluginRounds * rows.length} calls`, "count", [requests], {
        budget: { limit: LIMITS.apiRequestsPerPod, because: "0 before ADD answers" },
      }),
      createFigure(SECTION, "size of the plugin on the host", "KiB", [statSync(OURS.istioCni).size / 1024], {
        budget: { limit: LIMITS.hostFilesKib, because: "0.1 MB" },
        ...(upstream?.plugin === undefined ? {} : { upstream: summarize([statSync(upstream.plugin).size / 1024]) }),
      }),
    ];
  }
}

function append(series: Map<string, Series>, name: string, { wallMs, cpuMs, rssMib }: Measurement): void {
  const { wall, cpu, rss } = series.get(name) ?? { wall: [], cpu: [], rss: [] };
  wall.push(wallMs);
  cpu.push(cpuMs);
  rss.push(rssMib);
  series.set(name, { wall, cpu, rss });
}

function seriesOf(series: ReadonlyMap<string, Series>, name: string): Series {
  const found = series.get(name);
  if (found === undefined) throw new Error(`Cannot report ${name}: it was not measured`);
  return found;
}

function render(name: string, { wall, cpu, rss }: Series, extras: FigureExtras): Figure {
  const beside = { cpuMs: summarize(cpu).median, rssMib: summarize(rss).median };
  return createFigure(SECTION, name, "ms", wall, { ...beside, ...extras });
}
