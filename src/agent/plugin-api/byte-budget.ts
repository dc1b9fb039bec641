/**
 * A bound on the bytes that requests hold at once: who asks gets them now, or when its turn comes. Strictly in the order of
 * asking, so that a large request is not starved by small ones. It counts; it allocates nothing.
 */

/** One holder's part; ended exactly once, whether it was granted or still waits. */
export interface ByteShare extends Disposable {
  readonly isGranted: boolean;
}

export interface ByteBudget {
  /** Takes `bytes`, which must not be more than the whole. If they are not free, `onGranted` is called once they are,
   * unless the share has ended before. */
  take(bytes: number, onGranted: () => void): ByteShare;
  /** Bytes taken, for tests and status. */
  taken(): number;
}

interface Waiting {
  readonly bytes: number;
  readonly grant: () => void;
}

export function createByteBudget(capacity: number): ByteBudget {
  const queue = new Set<Waiting>();
  let taken = 0;

  /** Sets iterate in insertion order: the first is the oldest. */
  function grantWaiting(): void {
    for (const waiting of queue) {
      if (waiting.bytes > capacity - taken) return;
      queue.delete(waiting);
      taken += waiting.bytes;
      waiting.grant();
    }
  }

  return {
    take(bytes, onGranted) {
      if (bytes > capacity) throw new RangeError(`Cannot take ${bytes} bytes: the whole budget has ${capacity}`);
      let isGranted = queue.size === 0 && bytes <= capacity - taken;
      let isOver = false;
      const waiting: Waiting = {
        bytes,
        grant() {
          isGranted = true;
          onGranted();
        },
      };
      if (isGranted) taken += bytes;
      else queue.add(waiting);
      return {
        get isGranted() {
          return isGranted;
        },
        [Symbol.dispose]() {
          if (isOver) return;
          isOver = true;
          if (isGranted) taken -= bytes;
          else queue.delete(waiting);
          grantWaiting();
        },
      };
    },
    taken: () => taken,
  };
}
