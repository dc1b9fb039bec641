// What a run leaves: everything measured, and where. Responsible for its form in a file and for which runs count.
import { judge } from "./budget.ts";
import type { Figure } from "./figure.ts";
import type { Machine } from "./machine.ts";

export interface RunRecord {
  /** RFC 3339. */
  readonly startedAt: string;
  readonly tookSeconds: number;
  readonly isQuick: boolean;
  /** The sections that were asked for; all of them where there is none. */
  readonly only?: string;
  readonly machine: Machine;
  /** Of the last minute, before the run and after it. */
  readonly load: { readonly before: number; readonly after: number };
  /** Whether upstream's executables were in the run. */
  readonly hasUpstream: boolean;
  /** How long each section took. */
  readonly sectionSeconds: Readonly<Record<string, number>>;
  readonly figures: readonly Figure[];
}

/** Whether it may stand for the project: every section, as often as it takes. A quick run or a part of one tells an order of
 * magnitude or one section's state, and a page made of several runs would compare what must not be compared. */
export function isWhole({ isQuick, only }: Pick<RunRecord, "isQuick" | "only">): boolean {
  return !isQuick && only === undefined;
}

/** As JSON, each figure with its verdict. Five digits: the sixth is noise. */
export function renderRunRecord(run: RunRecord): string {
  const short = (_: string, value: unknown): unknown =>
    typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
  const { figures, ...about } = JSON.parse(JSON.stringify(run, short)) as RunRecord;
  // Judged as the page judges: by what stands here.
  const judged = figures.map((figure) => ({ ...figure, ...judge(figure) }));
  return `${JSON.stringify({ ...about, figures: judged }, short, 2)}\n`;
}

/** What `renderRunRecord()` wrote: our own file, taken at its word. */
export function parseRunRecord(text: string): RunRecord {
  return JSON.parse(text) as RunRecord;
}
