// Numbers of a benchmark: order statistics of one series, and what one series adds to another measured beside it.

/** Where the median of everything that could have been measured lies, with 95 % confidence. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

export interface Summary {
  readonly n: number;
  readonly median: number;
  /** None for fewer than six values: no two of them hold the median often enough. */
  readonly interval?: Interval;
  readonly p10: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** @throws {RangeError} on an empty series: a figure that was not measured does not exist. */
export function summarize(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const max = sorted.at(-1);
  if (max === undefined) throw new RangeError("Cannot summarize a series: it is empty");
  const interval = medianInterval(sorted);
  return {
    n: sorted.length,
    median: quantile(sorted, 0.5),
    ...(interval === undefined ? {} : { interval }),
    p10: quantile(sorted, 0.1),
    p90: quantile(sorted, 0.9),
    p99: quantile(sorted, 0.99),
    max,
  };
}

/** `after[i] - before[i]`, pairs measured right after each other. @throws {RangeError} when the series differ in length. */
export function pairedDifferences(before: readonly number[], after: readonly number[]): number[] {
  if (before.length !== after.length || before.length === 0) {
    throw new RangeError(`Cannot pair two series: they have ${before.length} and ${after.length} values`);
  }
  return before.map((value, index) => (after[index] ?? Number.NaN) - value);
}

/** The values of ranks r and n + 1 - r, with the largest r for which more than that lie on one side of the median in less
 * than 2.5 % of all series: the sign test's interval, with no assumption on the distribution. */
function medianInterval(sorted: readonly number[]): Interval | undefined {
  const n = sorted.length;
  // Terms of the binomial distribution by their logarithm: from n = 1075 on, half to the n is 0.
  let logTerm = -n * Math.LN2;
  let rank = 0;
  for (let tail = Math.exp(logTerm); tail <= 0.025; tail += Math.exp(logTerm)) {
    rank += 1;
    logTerm += Math.log((n - rank + 1) / rank);
  }
  const low = sorted[rank - 1];
  const high = sorted[n - rank];
  return low === undefined || high === undefined ? undefined : { low, high };
}

/** Linear interpolation between closest ranks of a sorted series. */
function quantile(sorted: readonly number[], q: number): number {
  const position = (sorted.length - 1) * q;
  const below = Math.floor(position);
  const low = sorted[below] ?? Number.NaN;
  const high = sorted[Math.ceil(position)] ?? Number.NaN;
  return low + (high - low) * (position - below);
}
