// What a section measures before it becomes figures: values by name, in the order in which they came. Pure.
import { type Summary, summarize } from "./statistics.ts";

export interface Series {
  /** Adds to the series of that name; the first values make it. */
  keep(name: string, ...values: readonly number[]): void;
  /** Undefined when nothing was kept under that name. */
  find(name: string): readonly number[] | undefined;
  /** @throws {Error} when nothing was kept under that name: what is not measured is not reported. */
  of(name: string): readonly number[];
  /** Of `find()`. */
  summary(name: string): Summary | undefined;
  /** Of `of()`. */
  median(name: string): number;
}

export function createSeries(): Series {
  const byName = new Map<string, number[]>();
  const of = (name: string): readonly number[] => {
    const values = byName.get(name);
    if (values === undefined) throw new Error(`Cannot report ${name}: it was not measured`);
    return values;
  };
  return {
    keep(name, ...values) {
      const kept = byName.get(name);
      if (kept !== undefined) kept.push(...values);
      else if (values.length > 0) byName.set(name, [...values]);
    },
    find: (name) => byName.get(name),
    of,
    summary: (name) => (byName.has(name) ? summarize(of(name)) : undefined),
    median: (name) => summarize(of(name)).median,
  };
}
