// Long synchronous work in short turns, so that whatever else waits for the thread, a pod that is being started above all,
// does not wait for the end of it.

export interface TimeSliceDeps {
  nowMs(): number;
  /** Resolves after whatever else waits for the thread has had its turn. */
  yieldToLoop(): Promise<void>;
}

/** How long the thread is kept at most, one step aside. */
const SLICE_MS = 1;

/** A function to be awaited before each step: it gives the thread away when the slice is used up.
 * The function rejects with the signal's reason once that has aborted. */
export function createTimeSlice(deps: TimeSliceDeps, signal: AbortSignal): () => Promise<void> {
  let startedMs = deps.nowMs();
  return async () => {
    if (deps.nowMs() - startedMs < SLICE_MS) return;
    await deps.yieldToLoop();
    signal.throwIfAborted();
    startedMs = deps.nowMs();
  };
}
