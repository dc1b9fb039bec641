/**
 * The process's end: signals become an AbortSignal, failures that nobody caught become a log line and an exit code.
 * What is to be done before the end is the business of whoever has the AbortSignal.
 */

/** Exit codes of install-cni; upstream uses 0 and 1 only (contract 1.6). */
export const EXIT_CODES = { ok: 0, failure: 1 } as const;

export type StopSignal = "SIGTERM" | "SIGINT";

export interface LifecycleHandlers {
  /** The first signal; the returned AbortSignal aborts right after. */
  onStop(signal: StopSignal): void;
  /** An exception or rejection nobody caught; the process exits with 1 right after. Must be synchronous. */
  onCrash(kind: "uncaughtException" | "unhandledRejection", error: unknown): void;
}

export interface Lifecycle {
  /** Aborts at the first SIGTERM or SIGINT, with an Error named after it. */
  readonly signal: AbortSignal;
  /** Gives the signals back to their default. */
  [Symbol.dispose](): void;
}

const SIGNAL_NUMBERS = { SIGINT: 2, SIGTERM: 15 } as const;

/** A second signal ends the process at once with 128 + its number: whoever sends it has lost patience. */
export function watchLifecycle(handlers: LifecycleHandlers): Lifecycle {
  const controller = new AbortController();
  const onSignal = (name: StopSignal): void => {
    if (controller.signal.aborted) process.exit(128 + SIGNAL_NUMBERS[name]);
    try {
      handlers.onStop(name);
    } finally {
      controller.abort(new Error(`Stopped by ${name}`));
    }
  };
  const crash = (kind: "uncaughtException" | "unhandledRejection", error: unknown): void => {
    try {
      handlers.onCrash(kind, error);
    } finally {
      process.exit(EXIT_CODES.failure);
    }
  };
  const onException = (error: unknown): void => crash("uncaughtException", error);
  const onRejection = (error: unknown): void => crash("unhandledRejection", error);
  const onTerm = (): void => onSignal("SIGTERM");
  const onInt = (): void => onSignal("SIGINT");
  process.on("SIGTERM", onTerm);
  process.on("SIGINT", onInt);
  process.on("uncaughtException", onException);
  process.on("unhandledRejection", onRejection);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      process.off("SIGTERM", onTerm);
      process.off("SIGINT", onInt);
      process.off("uncaughtException", onException);
      process.off("unhandledRejection", onRejection);
    },
  };
}
