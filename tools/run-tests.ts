// Runs tests with the pinned Node's own runner and says how far it is: what a file prints is held back until those before it
// have ended, and that may be minutes.
import { globSync } from "node:fs";
import { join, relative } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";

const ROOT = join(import.meta.dirname, "..");
const LONGEST_SILENCE_MS = 30_000;

/** Names of tests and suites, in the order in which they are told. */
export interface TestRun {
  /** Paths of the files that were run, sorted. */
  readonly files: readonly string[];
  readonly passed: readonly string[];
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
}

/** Runs the files of these patterns, `concurrency` at once, true being one for each processor but one. On stdout what they
 * print, their summary last; on stderr each failure as soon as it is one, and after half a minute of silence what runs. */
export async function runTests(patterns: readonly string[], concurrency: number | true = true): Promise<TestRun> {
  const files = globSync([...patterns], { cwd: ROOT }).toSorted();
  const result = { files, passed: [] as string[], failed: [] as string[], skipped: [] as string[] };
  const stream = run({ files: files.map((file) => join(ROOT, file)), concurrency, cwd: ROOT });
  stream.on("test:pass", ({ name, skip }) => void (skip === undefined ? result.passed : result.skipped).push(name));
  stream.on("test:fail", ({ name }) => void result.failed.push(name));

  const running = new Map<string, number>();
  let [done, toldMs] = [0, performance.now()];
  stream.on("test:dequeue", ({ name, file }) => {
    if (name === file) running.set(relative(ROOT, file), performance.now());
  });
  stream.on("test:complete", ({ name, file = "", details }) => {
    const path = relative(ROOT, file);
    if (name === file) done += running.delete(path) ? 1 : 0;
    else if (!details.passed) console.error(`test: FAILED ${path}: ${name}`);
  });
  const teller = setInterval(() => {
    const now = performance.now();
    if (now - toldMs < LONGEST_SILENCE_MS) return;
    toldMs = now;
    const list = [...running].map(([path, sinceMs]) => `${path} for ${Math.round((now - sinceMs) / 1000)} s`);
    console.error(`test: ${done} of ${files.length} files done; running: ${list.join(", ")}`);
  }, 1000);
  try {
    for await (const text of stream.compose(spec)) {
      toldMs = performance.now();
      process.stdout.write(text);
    }
  } finally {
    clearInterval(teller);
  }
  return result;
}

/** Whether there were any, and none failed. */
export function hasPassed({ passed, failed }: TestRun): boolean {
  return passed.length > 0 && failed.length === 0;
}
