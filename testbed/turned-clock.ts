// For tests: time that passes when the test says so.
import type { Clock } from "../src/platform/clock.ts";

/** As many turns of the loop as anything takes that only waits for others in this process. */
const TURNS = 60;

export class TurnedClock implements Clock {
  #nowMs = 0;
  readonly #sleepers = new Set<{ readonly untilMs: number; wake(): void }>();

  readonly nowMs = (): number => this.#nowMs;

  readonly sleep = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const sleeper = { untilMs: this.#nowMs + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      const end = (): void => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason);
      };
      if (signal.aborted) end();
      else signal.addEventListener("abort", end, { once: true });
    });

  /** Lets everything that can happen now happen. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < TURNS; turn++) await new Promise((resolve) => void setImmediate(resolve));
  }

  /** Time passes, and whoever sleeps wakes at the moment that is his. */
  async advance(ms: number): Promise<void> {
    await this.settle();
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const next = [...this.#sleepers].toSorted((left, right) => left.untilMs - right.untilMs)[0];
      if (next === undefined || next.untilMs > untilMs) break;
      this.#nowMs = Math.max(this.#nowMs, next.untilMs);
      this.#sleepers.delete(next);
      next.wake();
      await this.settle();
    }
    this.#nowMs = untilMs;
  }

  /** It is so much later at once; whoever should have woken meanwhile wakes now. */
  jump(ms: number): void {
    this.#nowMs += ms;
    for (const sleeper of this.#sleepers) {
      if (sleeper.untilMs > this.#nowMs) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
  }
}
