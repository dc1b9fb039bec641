// What we allow ourselves (DESIGN 3.5), and whether a figure keeps it. Limits that hang on another figure of the same
// run (the floor, upstream) are made where that figure is known; the numbers they are made of are here.
import type { BudgetRowName } from "./budget-rows.ts";
import type { Figure } from "./figure.ts";

/** The most a median may be, in the figure's unit. */
export interface Budget {
  readonly limit: number;
  /** Where the limit comes from, in a few words. */
  readonly because: string;
  /** The row of DESIGN 3.5 that it belongs to; none: a limit that we have set ourselves besides. */
  readonly row?: BudgetRowName;
}

/** `unsure`: the confidence interval of the median lies on both sides of the limit. */
export type Verdict = "ok" | "missed" | "unsure";

export interface Judgement {
  readonly verdict: Verdict;
  /** Median minus limit: negative is room to spare. */
  readonly overBy: number;
}

/** DESIGN 3.5; upstream's own figures (its sidecar mode) are those of the baseline measurement of 1.30.3. */
export const LIMITS = {
  pluginAboveFloorMs: 1,
  pluginRssMib: 2,
  sandboxPlainMs: 3,
  sandboxSidecarMs: 5,
  apiRequestsPerPod: 0,
  rssMib: { 0: 57, 250: 63.7 },
  anonMib: { 0: 20, 250: 26 },
  /** Upstream's 0.27 and 0.42 s hold 44 ms of the harness that measured it; ours counts from the exec on. */
  readyMs: { sidecar: 270 - 44, ambient: 420 - 44 },
  hostFilesKib: 100,
  /** Pod starts that fail, or end outside the mesh, while one agent follows another. */
  upgradeFailures: 0,
  /** What a burst of pods leaves open in the agent once they are gone. */
  descriptorsLeft: 0,
} as const;

/** Upstream 1.30.3 as it was measured once, on a busy machine of this kind, by direct calls (baseline.md 2): run A, medians,
 * sidecar mode unless said. No substitute for upstream in the same run. */
export const BASELINE = {
  pluginMs: { VERSION: 33, DEL: 30, CHECK: 29, plainAdd: 39 },
  plainAddCpuMs: 36,
  sidecarAdd: {
    iptables: { wallMs: 109, cpuMs: 79, executions: 20 },
    nftables: { wallMs: 82, cpuMs: 71, executions: 3 },
  },
  /** Own runs, with a ztunnel that acknowledged at once; the CPU time is the plugin's, its agent's and their children's. */
  ambientAdd: {
    iptables: { wallMs: 87, cpuMs: 55 + 20, executions: 4 },
    nftables: { wallMs: 125, cpuMs: 58 + 44, executions: 9 },
  },
  apiRequestsPerAdd: 1,
  /** Pod and namespace by the plugin, the annotation by the agent. */
  apiRequestsPerAmbientAdd: 3,
} as const;

/** One part of `of` of upstream's figure: of this run where it was measured, else of the baseline's. */
export interface ShareOfUpstream {
  readonly of: number;
  readonly baselineMs: number;
}

/** Undefined where the figure has no budget. By the whole interval of the median where there is one: what only the
 * median says may be another in the next run. */
export function judge({ summary, budget }: Pick<Figure, "summary" | "budget">): Judgement | undefined {
  if (budget === undefined) return undefined;
  const { low, high } = summary.interval ?? { low: summary.median, high: summary.median };
  const verdict = high <= budget.limit ? "ok" : low > budget.limit ? "missed" : "unsure";
  return { verdict, overBy: summary.median - budget.limit };
}

/** The plugin's: what an empty process needs, and a millisecond. */
export function pluginBudget(floorMs: number): Budget {
  const { pluginAboveFloorMs } = LIMITS;
  return { limit: floorMs + pluginAboveFloorMs, because: `floor + ${pluginAboveFloorMs} ms`, row: "plugin" };
}

/** A captured pod's ADD: a part of upstream's. */
export function addBudget(
  row: "sidecarAdd" | "ambientAdd",
  { of, baselineMs }: ShareOfUpstream,
  upstreamMs: number | undefined,
): Budget {
  return upstreamMs === undefined
    ? { limit: baselineMs / of, because: `1/${of} of upstream's ${baselineMs} ms (baseline)`, row }
    : { limit: upstreamMs / of, because: `1/${of} of upstream's in this run`, row };
}

/** "the same as upstream": of this run where it was measured, else the baseline's. */
export function sameAsUpstream(row: BudgetRowName, baseline: number, upstream: number | undefined): Budget {
  return upstream === undefined
    ? { limit: baseline, because: "upstream's (baseline)", row }
    : { limit: upstream, because: "upstream's in this run", row };
}

/** Of API requests, before an ADD is answered. */
export function requestsBudget(): Budget {
  return { limit: LIMITS.apiRequestsPerPod, because: "0 before ADD answers", row: "apiRequests" };
}
