/**
 * Fuzzes targets one after the other, each in a thread of its own whose memory is bounded and which is ended when an input
 * takes too long: a reader that never returns, or that eats the memory, is a finding with its input like any other.
 */
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import type { Explored, Finding } from "./explore.ts";

export interface FuzzOptions {
  readonly seed: number;
  /** Of the target; its corpus and seeds are run whatever it is. */
  readonly seconds: number;
  /** No more than so many inputs: then a machine that is faster does no other ones, and finds nothing else. Default: no bound. */
  readonly maxExecutions?: number;
  /** Inputs to begin with. */
  readonly corpus: readonly Uint8Array[];
}

export interface FuzzResult extends Explored {
  readonly target: string;
  readonly seed: number;
  readonly findings: readonly Finding[];
}

/** What the thread is given; fuzz-thread.ts reads it. */
export interface ThreadData {
  readonly target: string;
  readonly options: FuzzOptions;
  /** Count of inputs begun, length of the one at hand, then its bytes. */
  readonly shared: SharedArrayBuffer;
}

export type ThreadMessage =
  | { readonly kind: "found"; readonly finding: Finding }
  | { readonly kind: "done"; readonly explored: Explored };

/** Where the bytes of the input at hand stand in the shared memory. */
export const INPUT_OFFSET = 8;
export const MAX_SHARED_INPUT = 2 << 20;
/** Of one input; a batch of a C program is one here, whose inputs have a deadline of their own. */
const HANG_MS = 120_000;
const MAX_HEAP_MB = 768;

/** Runs one target to its end. Rejects only when the thread itself cannot be had. */
export async function fuzz(target: string, options: FuzzOptions): Promise<FuzzResult> {
  const shared = new SharedArrayBuffer(INPUT_OFFSET + MAX_SHARED_INPUT);
  const findings: Finding[] = [];
  const workerData: ThreadData = { target, options, shared };
  const worker = new Worker(join(import.meta.dirname, "fuzz-thread.ts"), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  });
  const watch = new Int32Array(shared, 0, 2);
  const explored = await new Promise<Explored>((resolve) => {
    const none: Explored = { executions: 0, features: 0, kept: [] };
    let seen = -1;
    const blame = (message: string): void => {
      const input = new Uint8Array(shared, INPUT_OFFSET, Atomics.load(watch, 1)).slice();
      findings.push({ input, message, stack: "" });
      resolve({ ...none, executions: Atomics.load(watch, 0) });
    };
    const watchdog = setInterval(() => {
      const now = Atomics.load(watch, 0);
      if (now === seen) blame(`Hang: an input was not done with after ${HANG_MS} ms`);
      seen = now;
    }, HANG_MS);
    worker.on("message", (message: ThreadMessage) => {
      if (message.kind === "found") findings.push(message.finding);
      else resolve(message.explored);
    });
    worker.on("error", (error: Error & { code?: string }) => {
      if (error.code === "ERR_WORKER_OUT_OF_MEMORY") blame(`Unbounded: ${MAX_HEAP_MB} MB of memory were not enough`);
      else blame(`Uncaught: ${error.stack ?? error.message}`);
    });
    worker.on("exit", () => clearInterval(watchdog));
  });
  await worker.terminate();
  return { target, seed: options.seed, findings, ...explored };
}
