/**
 * The machine's clocks: monotonic time, wall time in microseconds for log lines, and a sleep that can be ended.
 */

/** Longest delay one Node timer holds; a longer one would fire at once. */
const TIMER_MAX_MS = 2_147_483_647;

/** Time as services see it: a dependency, so that tests can turn it by hand. */
export interface Clock {
  /** Milliseconds on a monotonic clock; only differences mean something. */
  nowMs(): number;
  /**
   * Resolves after at least `ms`; rejects with `signal.reason` when the signal aborts. Its timer keeps the process alive:
   * somebody awaits it, and whoever wants to end early has the signal.
   */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export interface SystemClock extends Clock {
  /** Wall time since 1970 in whole microseconds. */
  epochMicros(): number;
}

export function createSystemClock(): SystemClock {
  return {
    nowMs: () => performance.now(),
    // Wall time is read at every call: timeOrigin + now() would not follow a clock that NTP steps.
    epochMicros: () => Date.now() * 1000 + Math.floor((performance.now() % 1) * 1000),
    sleep,
  };
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const deadline = performance.now() + (Number.isFinite(ms) ? ms : Number.MAX_SAFE_INTEGER);
    let timer: NodeJS.Timeout;
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const arm = (): void => {
      const leftMs = deadline - performance.now();
      if (leftMs > 0) {
        timer = setTimeout(arm, Math.min(Math.ceil(leftMs), TIMER_MAX_MS));
        return;
      }
      signal.removeEventListener("abort", onAbort);
      resolve();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    arm();
  });
}
