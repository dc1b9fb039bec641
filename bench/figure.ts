// One line of the report: what was measured, how often, and what it is compared with.
import type { Budget } from "./budget.ts";
import { pairedDifferences, type Summary, summarize } from "./statistics.ts";

export type Unit = "ms" | "s" | "MiB" | "KiB" | "%" | "count";

/** The series of one thing, summarized, with its companions of the same run. */
export interface Figure {
  readonly section: string;
  readonly name: string;
  readonly unit: Unit;
  readonly summary: Summary;
  /** The summary is of paired differences. */
  readonly isDifference?: boolean;
  /** What the same run needed for nothing: medians are compared with its median. */
  readonly floor?: number;
  /** Medians of the same processes: CPU time, and the largest resident size. */
  readonly cpuMs?: number;
  readonly rssMib?: number;
  readonly budget?: Budget;
  /** The same thing by upstream's executable in this run. */
  readonly upstream?: Summary;
  /** The same thing by upstream's executable in an earlier measurement; shown where there is none in this run. */
  readonly baseline?: number;
}

export type FigureExtras = Omit<Figure, "section" | "name" | "unit" | "summary" | "isDifference">;

/** @throws {RangeError} on an empty series. */
export function createFigure(
  section: string,
  name: string,
  unit: Unit,
  values: readonly number[],
  extras: FigureExtras = {},
): Figure {
  return { section, name, unit, summary: summarize(values), ...extras };
}

/** A line for what `after` adds to `before`, pairs measured right after each other.
 * @throws {RangeError} when the series differ in length. */
export function createDifferenceFigure(
  section: string,
  name: string,
  unit: Unit,
  before: readonly number[],
  after: readonly number[],
  extras: FigureExtras = {},
): Figure {
  return { ...createFigure(section, name, unit, pairedDifferences(before, after), extras), isDifference: true };
}
