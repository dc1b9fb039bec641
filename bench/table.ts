// The report a person reads: one table for each section. Pure; what the columns mean is in README.md.
import { judge } from "./budget.ts";
import type { Figure, Unit } from "./figure.ts";

const VERDICT_WORDS = { ok: "ok", missed: "MISSED", unsure: "unsure" } as const;

/** Columns that no figure of a section fills are left out. */
export function renderReport(figures: readonly Figure[]): string {
  return [...Map.groupBy(figures, ({ section }) => section)]
    .map(([section, rows]) => `${section}\n${renderTable(HEADERS, rows.map(renderCells))}`)
    .join("\n\n");
}

/** One table for a Markdown page; `isMixed`: its figures are of several sections, which the first column tells. */
export function renderMarkdownFigures(figures: readonly Figure[], isMixed = false): string {
  const sectionOf = (figure: Figure): string => (isMixed ? figure.section : "");
  return renderMarkdownTable(
    ["section", ...HEADERS],
    figures.map((figure) => [sectionOf(figure), ...renderCells(figure)]),
  );
}

/** Left-aligned first column, right-aligned numbers, texts as they come; empty columns are dropped. */
export function renderTable(headers: readonly string[], rows: readonly (readonly string[])[]): string {
  const { lines, isNumeric } = withoutEmptyColumns(headers, rows);
  const widths = headers.map((_, index) => Math.max(...lines.map((line) => line[index]?.length ?? 0)));
  const render = (line: readonly string[]): string =>
    line
      .map((cell, index) => (isNumeric[index] ? cell.padStart(widths[index] ?? 0) : cell.padEnd(widths[index] ?? 0)))
      .join("  ")
      .trimEnd();
  const [head = [], ...body] = lines;
  const rule = head.map((_, index) => "-".repeat(widths[index] ?? 0)).join("  ");
  return [render(head), rule, ...body.map(render)].join("\n");
}

/** The same columns and alignment; what an indented name stands below is told by a mark. */
export function renderMarkdownTable(headers: readonly string[], rows: readonly (readonly string[])[]): string {
  const { lines, isNumeric } = withoutEmptyColumns(headers, rows);
  const render = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replace(/^ +/, "· ").replaceAll("|", "\\|")).join(" | ")} |`;
  const [head = [], ...body] = lines;
  return [render(head), render(head.map((_, index) => (isNumeric[index] ? "---:" : "---"))), ...body.map(render)].join(
    "\n",
  );
}

function withoutEmptyColumns(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
): { readonly lines: readonly (readonly string[])[]; readonly isNumeric: readonly boolean[] } {
  const kept = headers.flatMap((_, column) => (rows.some((row) => (row[column] ?? "") !== "") ? [column] : []));
  return {
    lines: [headers, ...rows].map((row) => kept.map((column) => row[column] ?? "")),
    isNumeric: kept.map((column) => rows.every((row) => /^([-+]?[\d.]+( \w+)?|[x×][\d.]+|)$/.test(row[column] ?? ""))),
  };
}

const COLUMNS: readonly (readonly [string, (figure: Figure) => string])[] = [
  ["what", ({ name }) => name],
  ["n", ({ summary }) => String(summary.n)],
  ["median", (figure) => renderValue(figure.summary.median, figure.unit, figure.isDifference)],
  [
    "95 % interval",
    ({ summary: { interval }, unit }) =>
      interval === undefined ? "" : `${renderNumber(interval.low, unit)} to ${renderNumber(interval.high, unit)}`,
  ],
  ["p10", ({ summary, unit }) => (summary.n < 3 ? "" : renderNumber(summary.p10, unit))],
  ["p90", ({ summary, unit }) => (summary.n < 3 ? "" : renderNumber(summary.p90, unit))],
  // Of fewer it is made of the two largest: the largest is told instead.
  ["p99", ({ summary, unit }) => (summary.n < 100 ? "" : renderNumber(summary.p99, unit))],
  ["max", ({ summary, unit }) => (summary.n < 3 ? "" : renderNumber(summary.max, unit))],
  ["to floor", ({ summary, floor }) => (floor === undefined ? "" : `×${(summary.median / floor).toFixed(2)}`)],
  ["CPU ms", ({ cpuMs }) => (cpuMs === undefined ? "" : cpuMs.toFixed(2))],
  ["RSS MiB", ({ rssMib }) => (rssMib === undefined ? "" : rssMib.toFixed(1))],
  ["upstream", ({ upstream, unit }) => (upstream === undefined ? "" : renderValue(upstream.median, unit))],
  [
    "upstream/ours",
    ({ upstream, summary }) => (upstream === undefined ? "" : renderRatio(upstream.median, summary.median)),
  ],
  ["baseline", ({ upstream, baseline, unit }) => (isShown(upstream, baseline) ? renderValue(baseline, unit) : "")],
  [
    "baseline/ours",
    ({ upstream, baseline, summary }) => (isShown(upstream, baseline) ? renderRatio(baseline, summary.median) : ""),
  ],
  ["at most", ({ budget, unit }) => (budget === undefined ? "" : renderValue(budget.limit, unit))],
  ["verdict", renderVerdict],
  ["budget", ({ budget }) => budget?.because ?? ""],
];

const HEADERS = COLUMNS.map(([header]) => header);

function renderCells(figure: Figure): string[] {
  return COLUMNS.map(([, render]) => render(figure));
}

/** The baseline is for runs without upstream. */
function isShown(upstream: Figure["upstream"], baseline: number | undefined): baseline is number {
  return upstream === undefined && baseline !== undefined;
}

function renderRatio(theirs: number, ours: number): string {
  return ours > 0 ? `×${(theirs / ours).toFixed(1)}` : "";
}

function renderVerdict(figure: Figure): string {
  const judgement = judge(figure);
  if (judgement === undefined) return "";
  const { verdict, overBy } = judgement;
  const word = VERDICT_WORDS[verdict];
  if (overBy === 0) return word;
  const by = renderValue(Math.abs(overBy), figure.unit);
  return `${word}, ${by} ${overBy > 0 ? "over" : "to spare"}`;
}

/** With its unit; a count has none. */
export function renderValue(value: number, unit: Unit, isSigned = false): string {
  const sign = isSigned && value > 0 ? "+" : "";
  return unit === "count" ? `${sign}${renderNumber(value, unit)}` : `${sign}${renderNumber(value, unit)} ${unit}`;
}

/** Three digits that mean something; thousandths at most. */
function renderNumber(value: number, unit: Unit): string {
  if (unit === "count") return Number.isInteger(value) ? String(value) : value.toFixed(1);
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 || size === 0 ? 2 : 3);
}
