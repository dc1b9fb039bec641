// When the agent gives memory back: after it has worked, once it rests. What starting, a list or a crowd of pods left behind
// would stay in its heap for ever, since an agent that has nothing to do never needs to collect garbage.
import type { Clock } from "../../platform/clock.ts";

export interface TrimAtRestDeps {
  /** Gives back what is not needed; takes some 20 ms and more on a busy node, in which no pod is answered. */
  trim(): void;
  /** CPU time of the whole process so far, in milliseconds. */
  cpuMs(): number;
  readonly clock: Clock;
}

export interface TrimAtRestOptions {
  /** From the first look to the second, and while something waits to be given back; any other wait is twice as long as the one
   * before. @default 2000 */
  readonly firstMs?: number;
  /** The longest wait. @default 30000 */
  readonly maxMs?: number;
  /** CPU time since the last trim that may have left something behind: some fifty ADDs or a long list. @default 250 */
  readonly workMs?: number;
  /** Share of one processor below which it rests: ADDs come seldom enough not to meet the trim. @default 0.04 */
  readonly restingShare?: number;
}

/** Runs until the signal aborts, then resolves. */
export async function runTrimAtRest(
  { trim, cpuMs, clock }: TrimAtRestDeps,
  { firstMs = 2000, maxMs = 30_000, workMs = 250, restingShare = 0.04 }: TrimAtRestOptions,
  signal: AbortSignal,
): Promise<void> {
  // Starting has left something behind, however little work it was.
  let trimmedCpuMs = Number.NEGATIVE_INFINITY;
  let waitMs = firstMs;
  while (!signal.aborted) {
    const [beforeCpuMs, beforeMs] = [cpuMs(), clock.nowMs()];
    await clock.sleep(waitMs, signal).catch(() => undefined);
    if (signal.aborted) return;
    const nowCpuMs = cpuMs();
    const isResting = nowCpuMs - beforeCpuMs <= restingShare * (clock.nowMs() - beforeMs);
    const isDue = nowCpuMs - trimmedCpuMs >= workMs;
    if (isResting && isDue) {
      trim();
      // Its own work is no reason to do it again.
      trimmedCpuMs = cpuMs();
    }
    // A long wait that begins in the middle of the work would end long after it.
    waitMs = isDue && !isResting ? firstMs : Math.min(2 * waitMs, maxMs);
  }
}
