/**
 * How fast our object is put back when another writer keeps taking it out of the conflist: at once for the first few
 * times, then in growing steps up to a second, so that two writers do not keep each other and the disk busy
 * (contract 3.6). A machine: it is told the time and tells what to do.
 */
import { doublingDelayMs } from "../doubling-delay.ts";

/** After so many times in one burst a person is told. */
export const REWRITES_BEFORE_WARNING = 6;
const REWRITES_AT_ONCE = 3;
const FIRST_GAP_MS = 50;
const LONGEST_GAP_MS = 1000;
const BURST_ENDS_AFTER_MS = 60_000;

export type RewriteThrottle = {
  /** Times our object was put back in this burst. */
  readonly count: number;
  readonly lastMs: number;
};

export const QUIET: RewriteThrottle = { count: 0, lastMs: Number.NEGATIVE_INFINITY };

/** How long to wait before our object is put back; 0: now. */
export function waitBeforeRewriteMs(state: RewriteThrottle, nowMs: number): number {
  const { count, lastMs } = current(state, nowMs);
  if (count < REWRITES_AT_ONCE) return 0;
  const gapMs = doublingDelayMs(FIRST_GAP_MS, LONGEST_GAP_MS, count - REWRITES_AT_ONCE + 1);
  return Math.max(0, lastMs + gapMs - nowMs);
}

/** The state after our object was put back at `nowMs`; `isWarningDue` is true once in a burst. */
export function afterRewrite(state: RewriteThrottle, nowMs: number): { state: RewriteThrottle; isWarningDue: boolean } {
  const count = current(state, nowMs).count + 1;
  return { state: { count, lastMs: nowMs }, isWarningDue: count === REWRITES_BEFORE_WARNING };
}

/** True while a burst that was warned of goes on. */
export function isFight(state: RewriteThrottle, nowMs: number): boolean {
  return current(state, nowMs).count >= REWRITES_BEFORE_WARNING;
}

function current(state: RewriteThrottle, nowMs: number): RewriteThrottle {
  return nowMs - state.lastMs > BURST_ENDS_AFTER_MS ? QUIET : state;
}
