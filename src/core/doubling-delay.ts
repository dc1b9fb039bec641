// How long to wait before something that fails is tried again.

/** Twice as long after each failure in a row, up to a longest wait. @param failures in a row, this one included: 1 or more */
export function doublingDelayMs(firstMs: number, longestMs: number, failures: number): number {
  return Math.min(longestMs, firstMs * 2 ** (Math.max(1, failures) - 1));
}
