// ztunnel's socket: who may connect, how many in a second, and the socket's file, which is made again where somebody removed
// it. What is said on a connection is not looked at here.
import type { Logger } from "../../core/log.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Poller, Watch } from "../../platform/linux/poller.ts";
import type { UnixConnection, UnixListener } from "../../platform/linux/unix-socket.ts";

export interface ZtunnelListenerDeps {
  readonly clock: Clock;
  readonly poller: Poller;
  readonly log: Logger;
  listen(): UnixListener;
  /** Takes ownership of the connection. */
  onConnection(socket: UnixConnection): void;
}

export interface ZtunnelListenerOptions {
  readonly allowedUids: readonly number[];
  readonly maxAcceptsPerSecond: number;
  readonly recheckMs: number;
}

const SECOND_MS = 1000;
/** After a failed accept (no descriptors left) the socket, which stays readable, is not looked at for so long. */
const ACCEPT_PAUSE_MS = 100;

/** Listens until the signal aborts. The file is left to a successor if there is one by then.
 * @throws {ErrnoError} when the socket cannot be opened at the start; later failures are logged and tried again. */
export async function runZtunnelListener(
  deps: ZtunnelListenerDeps,
  options: ZtunnelListenerOptions,
  signal: AbortSignal,
): Promise<void> {
  const readable = { readable: true, writable: false };
  /** When the last ones were accepted, at most as many as a second may have. */
  const accepted: number[] = [];
  let pause: NodeJS.Timeout | undefined;
  let isFailing = false;
  if (signal.aborted) return;
  let listener = deps.listen();
  let watch = watchOver(listener);
  const recheck = setInterval(listenAgain, options.recheckMs);
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  clearInterval(recheck);
  clearTimeout(pause);
  watch[Symbol.dispose]();
  listener.close();

  function listenAgain(): void {
    try {
      if (listener.isPathTaken()) return;
      const next = deps.listen();
      const nextWatch = watchOver(next);
      deps.log.warn("The ztunnel socket was removed: listening anew", { path: next.path });
      clearTimeout(pause);
      pause = undefined;
      watch[Symbol.dispose]();
      listener.close();
      [listener, watch] = [next, nextWatch];
    } catch (error) {
      deps.log.warn("Cannot listen anew for ztunnel, trying again", { err: String(error) });
    }
  }

  /** A socket that nobody hears must not stand there: it is closed, and made anew at the next look. */
  function watchOver(opened: UnixListener): Watch {
    try {
      return deps.poller.watch(opened.fd, readable, acceptWaiting);
    } catch (error) {
      opened.close();
      throw error;
    }
  }

  function acceptWaiting(): void {
    if (pause !== undefined) return;
    try {
      for (;;) {
        const nowMs = deps.clock.nowMs();
        const [oldest] = accepted;
        if (accepted.length >= options.maxAcceptsPerSecond && oldest !== undefined && nowMs - oldest < SECOND_MS) {
          stopFor(oldest + SECOND_MS - nowMs);
          return;
        }
        const socket = listener.accept();
        if (socket === undefined) return;
        isFailing = false;
        accepted.push(nowMs);
        if (accepted.length > options.maxAcceptsPerSecond) accepted.shift();
        admit(socket);
      }
    } catch (error) {
      if (!isFailing) deps.log.warn("Cannot take a ztunnel connection, trying again", { err: String(error) });
      isFailing = true;
      stopFor(ACCEPT_PAUSE_MS);
    }
  }

  function admit(socket: UnixConnection): void {
    const { uid, pid } = socket.peer;
    if (options.allowedUids.includes(uid)) {
      deps.onConnection(socket);
      return;
    }
    deps.log.warn("Refused a peer on the ztunnel socket: it is not ztunnel's user", { uid, PID: pid });
    socket.close();
  }

  function stopFor(ms: number): void {
    watch.want({ readable: false, writable: false });
    pause = setTimeout(() => {
      pause = undefined;
      watch.want(readable);
    }, ms);
  }
}
