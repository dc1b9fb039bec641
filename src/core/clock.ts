/**
 * Time as services see it: a dependency, so that tests can turn it by hand. The real one is platform/clock.ts.
 */

export interface Clock {
  /** Milliseconds on a monotonic clock; only differences mean something. */
  nowMs(): number;
  /** Resolves after at least `ms`; rejects with `signal.reason` as soon as the signal aborts (at once if it has). */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}
