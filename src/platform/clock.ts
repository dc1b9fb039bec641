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
  return { nowMs: () => performance.now(), epochMicros: createEpochMicros(Date.now, () => performance.now()), sleep };
}

/**
 * Wall time in microseconds of a clock in whole milliseconds and a finer one that knows no date. It never goes back unless
 * `wallMs` does: lines of a log in their order have times in that order.
 */
export function createEpochMicros(wallMs: () => number, nowMs: () => number): () => number {
  let offset = Number.NaN;
  return () => {
    // The wall clock is asked at every call: an offset taken once would not follow one that NTP steps or slews.
    const first = wallMs() * 1000;
    const fine = Math.floor(nowMs() * 1000);
    const micros = Math.min(Math.max(Number.isNaN(offset) ? first : fine + offset, first), first + 999);
    offset = micros - fine;
    return micros;
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
