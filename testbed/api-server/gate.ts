// A gate that work waits at while the server is frozen. Responsible for order: what arrived first passes first.

/** Open at first. */
export interface Gate {
  /** Runs `work` now, or as soon as the gate opens. */
  pass(work: () => void): void;
  close(): void;
  open(): void;
}

/** An open gate. */
export function createGate(): Gate {
  let isClosed = false;
  let waiting: (() => void)[] = [];
  return {
    pass(work) {
      if (isClosed) waiting.push(work);
      else work();
    },
    close() {
      isClosed = true;
    },
    open() {
      isClosed = false;
      const ready = waiting;
      waiting = [];
      for (const work of ready) work();
    },
  };
}
