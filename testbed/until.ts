// Waiting in tests: looks again and again until something is so, and never for ever.
import { setTimeout as sleep } from "node:timers/promises";

const LOOK_EVERY_MS = 5;

/** Returns as soon as it is so. @throws {Error} that names `what`, when it is not within `timeoutMs`. */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  timeoutMs: number = 60_000,
  everyMs: number = LOOK_EVERY_MS,
): Promise<void> {
  for (const deadline = performance.now() + timeoutMs; !(await isSo()); await sleep(everyMs))
    if (performance.now() > deadline)
      throw new Error(`Cannot wait longer for ${what}: not there after ${timeoutMs} ms`);
}
