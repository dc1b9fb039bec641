// docs/performance.md: the budgets of DESIGN 3.5 and what one run measured of each, then everything else that it measured.
// Pure; how it was measured is README.md's. Written by a whole run (main.ts), or anew from its record (render-performance.ts).
import { type Judgement, judge } from "./budget.ts";
import { BUDGET_ROWS, type BudgetRowName, explainMiss } from "./budget-rows.ts";
import type { Figure } from "./figure.ts";
import { isWhole, type RunRecord } from "./run-record.ts";
import { renderMarkdownFigures, renderMarkdownTable, renderValue } from "./table.ts";

/** Stands where a figure misses its budget and nobody has said why: budget-rows.ts has to. */
export const UNEXPLAINED = "not explained yet.";

const ROW_NAMES = Object.keys(BUDGET_ROWS) as BudgetRowName[];

type Judged = Figure & Judgement;

export function renderPerformancePage(run: RunRecord): string {
  const judged = run.figures.flatMap((figure): Judged[] => {
    const judgement = judge(figure);
    return judgement === undefined ? [] : [{ ...figure, ...judgement }];
  });
  const ofRow = (name: BudgetRowName): Judged[] => judged.filter(({ budget }) => budget?.row === name);
  const misses = (figures: readonly Judged[]): string[] => (isWhole(run) ? renderMisses(figures) : []);
  const rest = run.figures.filter(({ budget }) => budget?.row === undefined);
  return `${[
    "# Performance",
    "What it costs, measured by one run of `make bench`, which wrote this page; by hand nothing is changed here. Milliseconds are of " +
      "the machine below and of the minute in which they were measured: compare within the page.",
    renderRun(run),
    "## Budgets",
    "The budgets are those of the design; upstream's figures beside them are of istio-cni 1.30.3, as it was measured once on a " +
      "machine of this kind. *Tightest* is the figure that comes nearest to its limit, or misses it by most.",
    renderMarkdownTable(
      ["path", "upstream", "ours at most", "tightest", "of at most", "verdict"],
      ROW_NAMES.map((name) => renderBudgetRow(name, ofRow(name))),
    ),
    METHOD,
    "## Each budget",
    ...ROW_NAMES.flatMap((name) => [...renderRowSection(name, ofRow(name)), ...misses(ofRow(name))]),
    "## Everything else",
    "What has no budget in the design: floors, parts, many at once, 500 pods.",
    ...[...Map.groupBy(rest, ({ section }) => section)].flatMap(([section, figures]) => [
      `### ${section}`,
      renderMarkdownFigures(figures),
      ...misses(judged.filter((figure) => figure.section === section && figure.budget?.row === undefined)),
    ]),
  ].join("\n\n")}\n`;
}

const METHOD = `## How to read it

- Every row is measured beside its floor in the same run, in turning order: \`to floor\` is the median over the floor's: an empty
  static process, a start without us, a Node server that answers 200.
- *difference* rows are of pairs, each start with us minus the bare one beside it.
- The 95 % interval is the median's, by order statistics. \`ok\` is a whole interval within the limit, \`MISSED\` one beyond it;
  \`unsure\` lies on both sides. Fewer than six values have none: the median decides.
- The spread is p10 to p90; p99 stands where there are a hundred values or more, the largest always.
- \`upstream\` is upstream's executable in this run, \`baseline\` what was measured of it once, sidecar mode unless said; ratios to the
  baseline are orders of magnitude.

Methods, traps and how to run it: [bench/README.md](../bench/README.md).`;

function renderRun(run: RunRecord): string {
  const { cpu, cores, kernel, memoryGib, versions, revision } = run.machine;
  const isChanged = revision.endsWith("+");
  const programs = Object.entries(versions).map(([name, version]) => `${name}: ${version}`);
  const minutes = (run.tookSeconds / 60).toFixed(0);
  return [
    `- Revision: ${revision.replace(/\+$/, "")}${isChanged ? ", with changes that are not committed" : ""}`,
    `- Date: ${run.startedAt.slice(0, 16).replace("T", " ")} UTC, ${minutes} minutes`,
    `- Machine: ${cpu}, ${cores} cores, ${memoryGib} GiB, Linux ${kernel}; load ${run.load.before} before, ${run.load.after} after`,
    `- Programs: ${programs.join("; ")}`,
    `- Upstream's executables: ${run.hasUpstream ? "in the run" : "not in the run; shares of its figures are of the baseline's"}`,
    ...(isWhole(run)
      ? []
      : ["- **Not a whole run: orders of magnitude and no verdicts, until the next one writes this page.**"]),
  ].join("\n");
}

function renderBudgetRow(name: BudgetRowName, figures: readonly Judged[]): string[] {
  const { path, upstream, atMost } = BUDGET_ROWS[name];
  const [tightest] = figures.toSorted(
    (a, b) => VERDICTS.indexOf(a.verdict) - VERDICTS.indexOf(b.verdict) || tightness(b) - tightness(a),
  );
  const told = tightest === undefined ? "" : `${renderMedian(tightest)}: ${tightest.name.trim()}`;
  const limit = tightest?.budget === undefined ? "" : renderValue(tightest.budget.limit, tightest.unit);
  return [path, upstream, atMost, told, limit, renderVerdicts(figures)];
}

/** The worst first. */
const VERDICTS = ["missed", "unsure", "ok"] as const;

function tightness({ summary, budget }: Judged): number {
  return (summary.median - (budget?.limit ?? 0)) / (budget?.limit || 1);
}

function renderMedian({ summary, unit, isDifference }: Figure): string {
  return renderValue(summary.median, unit, isDifference);
}

/** "ok (12)", "MISSED (1 of 12)". */
function renderVerdicts(figures: readonly Judged[]): string {
  if (figures.length === 0) return "not measured in this run";
  const counts = VERDICTS.map(
    (verdict) => [verdict, figures.filter((figure) => figure.verdict === verdict).length] as const,
  );
  const bad = counts.filter(([verdict, count]) => verdict !== "ok" && count > 0);
  if (bad.length === 0) return `ok (${figures.length})`;
  return bad
    .map(([verdict, count]) => `${verdict === "missed" ? "**MISSED**" : verdict} (${count} of ${figures.length})`)
    .join(", ");
}

function renderRowSection(name: BudgetRowName, figures: readonly Judged[]): string[] {
  const { path, upstream, atMost } = BUDGET_ROWS[name];
  return [
    `### ${path}`,
    `Upstream: ${upstream}. Ours at most: ${atMost}.`,
    ...(figures.length === 0 ? ["Not measured in this run."] : [renderMarkdownFigures(figures, true)]),
  ];
}

/** One sentence for each reason, with the figures that it is given for. */
function renderMisses(figures: readonly Judged[]): string[] {
  const missed = figures.filter(({ verdict }) => verdict === "missed");
  return [...Map.groupBy(missed, (figure) => explainMiss(figure) ?? UNEXPLAINED)].map(
    ([reason, those]) => `*${[...new Set(those.map(({ name }) => name.trim()))].join("*, *")}*: ${reason}`,
  );
}
