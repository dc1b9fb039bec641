// Numbers of a benchmark: order statistics of one series, and what one series adds to another measured beside it.

export interface Summary {
  readonly n: number;
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
  readonly p99: number;
}

/** @throws {RangeError} on an empty series: a figure that was not measured does not exist. */
export function summarize(values: readonly number[]): Summary {
  if (values.length === 0) throw new RangeError("Cannot summarize a series: it is empty");
  const sorted = values.toSorted((a, b) => a - b);
  return {
    n: sorted.length,
    median: quantile(sorted, 0.5),
    p10: quantile(sorted, 0.1),
    p90: quantile(sorted, 0.9),
    p99: quantile(sorted, 0.99),
  };
}

export interface Difference {
  readonly n: number;
  readonly median: number;
  /** 95 % confidence interval of the median. */
  readonly low: number;
  readonly high: number;
}

/** The median of `after[i] - before[i]`, pairs measured right after each other, with a confidence interval from order
 * statistics (the sign test's: no assumption on the distribution). @throws {RangeError} when the series differ in length. */
export function pairedDifference(before: readonly number[], after: readonly number[]): Difference {
  if (before.length !== after.length || before.length === 0) {
    throw new RangeError(`Cannot pair two series: they have ${before.length} and ${after.length} values`);
  }
  const sorted = before.map((value, index) => (after[index] ?? Number.NaN) - value).toSorted((a, b) => a - b);
  const reach = (1.96 * Math.sqrt(sorted.length)) / 2;
  const at = (index: number): number => sorted[Math.min(sorted.length - 1, Math.max(0, index))] ?? Number.NaN;
  return {
    n: sorted.length,
    median: quantile(sorted, 0.5),
    low: at(Math.floor(sorted.length / 2 - reach)),
    high: at(Math.ceil(sorted.length / 2 + reach)),
  };
}

/** Linear interpolation between closest ranks of a sorted series. */
function quantile(sorted: readonly number[], q: number): number {
  const position = (sorted.length - 1) * q;
  const below = Math.floor(position);
  const low = sorted[below] ?? Number.NaN;
  const high = sorted[Math.ceil(position)] ?? Number.NaN;
  return low + (high - low) * (position - below);
}
