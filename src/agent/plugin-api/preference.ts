// Lets the sandboxes that runtimes wait for go before what nobody waits for: one thread does both, and a pass that looks at five
// hundred pods one after the other would come between the steps of every ADD.

export interface Preference {
  /** Does work that goes before. */
  during<T>(work: () => Promise<T>): Promise<T>;
  /** Resolves when none is under way, or after a while: an ADD that waits for a pod to be known, or for ztunnel, must slow the
   * others down, not end them. */
  isOver(): Promise<void>;
}

/** @param maxMs the longest that `isOver` waits. @default 20 */
export function createPreference(maxMs = 20): Preference {
  let underWay = 0;
  let over: PromiseWithResolvers<void> | undefined;

  return {
    async during(work) {
      underWay++;
      try {
        return await work();
      } finally {
        underWay--;
        if (underWay === 0) {
          over?.resolve();
          over = undefined;
        }
      }
    },
    async isOver() {
      if (underWay === 0) return;
      over ??= Promise.withResolvers();
      const waiting = Promise.withResolvers<void>();
      const timer = setTimeout(waiting.resolve, maxMs);
      await Promise.race([over.promise, waiting.promise]);
      clearTimeout(timer);
    },
  };
}
