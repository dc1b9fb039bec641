// The result as a table for people, at most 100 columns wide, and the verdict on it: what was seen against what is
// expected of each pod.
import type { CaptureObservation } from "../node/connections.ts";
import { renderColumns, type TableColumn, type TableLine } from "./columns.ts";
import type { PodObservation } from "./observe-pod.ts";
import type { DemoPod } from "./pods.ts";
import type { Paint } from "./steps.ts";

export interface DemoRow {
  readonly pod: DemoPod;
  readonly observation: PodObservation;
  /** Median of the plugin's runs. */
  readonly pluginMs: number;
}

type Direction = CaptureObservation["direction"];

const COLUMNS: readonly TableColumn[] = [
  [["", "POD"], 21, "left"],
  [["IN THE", "MESH"], 6, "left"],
  [["", "REASON"], 18, "left"],
  [["DECIDED", "BY"], 7, "left"],
  [["RULES", "v4"], 5, "right"],
  [["", "v6"], 3, "right"],
  [["INBOUND", "v4   v6"], 8, "left"],
  [["OUTBOUND", "v4   v6"], 8, "left"],
  [["PLUGIN", "ADDED"], 7, "right"],
];

/** Renders all rows; cells that differ from what is expected are marked with "!". */
export function renderTable(rows: readonly DemoRow[], paint: Paint): string {
  return renderColumns(
    COLUMNS,
    rows.map((row) => describeRow(row, paint)),
    paint,
  );
}

/** What is not as expected, one sentence each; empty when all is well. */
export function findSurprises(rows: readonly DemoRow[]): readonly string[] {
  return rows.flatMap(({ pod, observation }) => {
    const { product, rules, connections } = observation;
    const { expected } = pod;
    const name = `${pod.namespace}/${pod.name}`;
    const found: string[] = [];
    if (product.decision !== expected.decision || product.reason !== expected.reason)
      found.push(
        `${name}: decided ${product.decision} (${product.reason}), expected ${expected.decision} (${expected.reason})`,
      );
    const families = [4, 6].filter((family) => connections.some((seen) => seen.family === family));
    if (families.length === 0) found.push(`${name}: no connection could be tried`);
    for (const seen of connections)
      if (!isAsExpected(pod, seen))
        found.push(`${name}: ${seen.direction} connection to ${seen.target} was ${describe(seen)}`);
    const hasRules = rules.v4 + rules.v6 > 0;
    if (hasRules !== (expected.decision === "in"))
      found.push(`${name}: has ${hasRules ? `${rules.v4} and ${rules.v6} rules` : "no rules"}`);
    const passing = families.filter(
      (family) => expected.decision === "in" && !expected.captured.includes(family as 4 | 6),
    );
    for (const family of passing)
      if (!product.bypassed.includes(`ipv${family}`))
        found.push(`${name}: the agent does not report that IPv${family} passes by`);
    return found;
  });
}

function describeRow(row: DemoRow, paint: Paint): TableLine {
  const { pod, observation, pluginMs } = row;
  const { product, rules } = observation;
  const isSurprising = findSurprises([row]).length > 0;
  const cells = [
    `${pod.namespace}/${pod.name}`,
    product.decision === "in" ? "yes" : "no",
    product.reason,
    product.by,
    rules.v4 === 0 ? "–" : String(rules.v4),
    rules.v6 === 0 ? "–" : String(rules.v6),
    renderCaptured(pod, observation, "inbound"),
    renderCaptured(pod, observation, "outbound"),
    `${pluginMs.toFixed(1)} ms`,
  ];
  return { cells, paint: isSurprising ? paint.bad : product.decision === "in" ? paint.good : undefined };
}

/** "yes": the sidecar got it, with its original destination. "no": the application got it. */
function renderCaptured(pod: DemoPod, { connections }: PodObservation, direction: Direction): string {
  return [4, 6]
    .map((family) => {
      const seen = connections.find((tried) => tried.family === family && tried.direction === direction);
      if (seen === undefined) return "–";
      return `${seen.result.outcome === "captured" ? "yes" : "no"}${isAsExpected(pod, seen) ? "" : "!"}`;
    })
    .map((text) => text.padEnd(5))
    .join("")
    .trimEnd();
}

function isAsExpected({ expected }: DemoPod, { family, result, target }: CaptureObservation): boolean {
  if (!expected.captured.includes(family)) return result.outcome === "direct";
  return result.outcome === "captured" && result.original === target;
}

function describe({ result }: CaptureObservation): string {
  if (result.outcome === "captured") return `captured, with ${result.original} as original destination`;
  return result.outcome === "direct" ? "not captured" : `${result.outcome} (${result.error})`;
}
