/** The thread in which one target is fuzzed: it leaves the input at hand where the other thread finds it (fuzz-run.ts). */
import { parentPort, workerData } from "node:worker_threads";
import { explore } from "./explore.ts";
import { INPUT_OFFSET, MAX_SHARED_INPUT, type ThreadData, type ThreadMessage } from "./fuzz-run.ts";
import { findTarget } from "./targets.ts";

const { target: name, options, shared } = workerData as ThreadData;
const watch = new Int32Array(shared, 0, 2);
const place = new Uint8Array(shared, INPUT_OFFSET);
const tell = (message: ThreadMessage): void => parentPort?.postMessage(message);
const target = findTarget(name);
// Without an input, so that what has to be compiled or opened is there before the time begins.
await target.run([], () => {});
const endMs = performance.now() + options.seconds * 1000;
const { maxExecutions = Number.POSITIVE_INFINITY } = options;

const explored = await explore(target, {
  corpus: options.corpus,
  seed: options.seed,
  isOver: (executions) => performance.now() >= endMs || executions >= maxExecutions,
  started(input) {
    const shown = input.subarray(0, MAX_SHARED_INPUT);
    place.set(shown);
    Atomics.store(watch, 1, shown.length);
    Atomics.add(watch, 0, 1);
  },
  found: (finding) => tell({ kind: "found", finding }),
});
tell({ kind: "done", explored });
