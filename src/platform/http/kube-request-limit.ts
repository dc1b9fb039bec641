/**
 * How long one request to the Kubernetes API may take, and who ended it: three reasons to stop (the caller, the
 * client, the clock) arrive at one socket, and the error that comes back from it names none of them.
 */

import type { ClientRequest } from "node:http";
import { KubeApiError } from "../../core/kube/kube-api-error.ts";

/** Ends a request when the caller, the client or the clock says so, and tells afterwards which of them it was. */
export interface Limit extends Disposable {
  destroys(request: ClientRequest): void;
  /** Replaces the deadline; from now on it is a time without `touch()`. */
  becomeIdle(idleTimeoutMs: number): void;
  touch(): void;
  isOver(): boolean;
  reasonFor(error: unknown, action: string): unknown;
}

/** @param closing aborts when the client is closed. */
export function createLimit(signal: AbortSignal, closing: AbortSignal, deadlineMs: number): Limit {
  let request: ClientRequest | undefined;
  // What the socket failed with: once the answer has begun, its reader is told "aborted" and no more.
  let fault: unknown;
  let timer = setTimeout(onTimeout, deadlineMs);
  let timeout = `no complete answer within ${deadlineMs} ms`;
  let hasTimedOut = false;
  const onAbort = (): void => {
    request?.destroy();
  };
  function onTimeout(): void {
    hasTimedOut = true;
    request?.destroy();
  }
  signal.addEventListener("abort", onAbort);
  closing.addEventListener("abort", onAbort);
  return {
    destroys(next) {
      request = next;
      fault = undefined;
      next.on("error", (error) => {
        fault ??= error;
      });
      if (signal.aborted || closing.aborted || hasTimedOut) next.destroy();
    },
    becomeIdle(idleTimeoutMs) {
      clearTimeout(timer);
      timeout = `nothing arrived for ${idleTimeoutMs} ms`;
      timer = setTimeout(onTimeout, idleTimeoutMs);
    },
    touch: () => {
      timer.refresh();
    },
    isOver: () => signal.aborted || closing.aborted || hasTimedOut,
    reasonFor(error, action) {
      if (signal.aborted) return signal.reason;
      if (closing.aborted) return closing.reason;
      if (hasTimedOut) return new KubeApiError("KUBE_API_TIMEOUT", `Cannot ${action}: ${timeout}`);
      if (error instanceof KubeApiError) return error;
      const cause = fault ?? error;
      const detail = cause instanceof Error ? cause.message || cause.name : String(cause);
      return new KubeApiError("KUBE_API_TRANSPORT", `Cannot ${action}: ${detail}`, { cause });
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      closing.removeEventListener("abort", onAbort);
    },
  };
}
