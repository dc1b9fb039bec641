// Whether `install-cni uninstall` has taken the agent's node off it: told by who looks after the host's folders, asked by who
// looks after pods.

export interface TakenOff {
  readonly is: () => boolean;
  set(isTakenOff: boolean): void;
  /** Called after each change. */
  subscribe(listener: () => void): Disposable;
}

export function createTakenOff(): TakenOff {
  let isTakenOff = false;
  const listeners = new Set<() => void>();
  return {
    is: () => isTakenOff,
    set(next) {
      if (next === isTakenOff) return;
      isTakenOff = next;
      for (const listener of [...listeners]) listener();
    },
    subscribe(listener) {
      // One listener may be subscribed twice.
      const own = () => listener();
      listeners.add(own);
      return { [Symbol.dispose]: () => void listeners.delete(own) };
    },
  };
}
