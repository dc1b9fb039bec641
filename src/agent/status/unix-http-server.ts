/**
 * A socket in the run directory on which HTTP is spoken (platform/http): who may connect, and that it is there. The agent's
 * own for people on the node is one, upstream's two are others. What is answered is the caller's business. Nothing depends on
 * it: an agent that cannot have it says so, tries again, and does its work.
 */

import { messageOf } from "../../core/error-message.ts";
import type { Logger } from "../../core/log.ts";
import type { Clock } from "../../platform/clock.ts";
import type { HttpConnections } from "../../platform/http/http-connections.ts";
import type { Poller, Watch } from "../../platform/linux/poller.ts";
import type { UnixListener } from "../../platform/linux/unix-socket.ts";

export interface UnixHttpDeps {
  readonly poller: Pick<Poller, "watch">;
  readonly clock: Pick<Clock, "sleep">;
  readonly log: Logger;
  /** Opens the socket; called at the start, and again where it could not be had or its file was removed. */
  listen(): UnixListener;
  /** Speaks HTTP on what is accepted. */
  readonly connections: HttpConnections;
}

export interface UnixHttpOptions {
  /** For the log: "admin socket". */
  readonly name: string;
  /** Besides the mode of the file: whoever connects must have been one of these. */
  readonly allowedUids: readonly number[];
  readonly recheckMs: number;
  /** Running requests get this long when the signal aborts. */
  readonly closeDeadlineMs: number;
}

const ACCEPT_AT_ONCE = 16;
const READABLE = { readable: true, writable: false };

/** Serves until the signal aborts; the socket's file is then left to a successor that has taken it over. Rejects for
 * nothing. */
export async function serveUnixHttp(deps: UnixHttpDeps, options: UnixHttpOptions, signal: AbortSignal): Promise<void> {
  const { log } = deps;
  let open: { readonly listener: UnixListener; readonly watch: Watch } | undefined;
  let said: string | undefined;
  while (!signal.aborted) {
    keepOpen();
    await deps.clock.sleep(options.recheckMs, signal).catch(() => undefined);
  }
  close();
  await deps.connections.close(options.closeDeadlineMs);

  function keepOpen(): void {
    try {
      if (open?.listener.isPathTaken() === true) {
        // After a failed accept nobody waits any more.
        open.watch.want(READABLE);
        return;
      }
      const listener = deps.listen();
      close();
      open = { listener, watch: watchOver(listener) };
      if (said !== undefined) log.info(`Listening on the ${options.name} now`, { path: listener.path });
      said = undefined;
    } catch (error) {
      tell(`Cannot listen on the ${options.name}: ${messageOf(error)}; trying again`);
    }
  }

  function watchOver(listener: UnixListener): Watch {
    try {
      const watch = deps.poller.watch(listener.fd, READABLE, () => acceptWaiting(listener, watch));
      return watch;
    } catch (error) {
      listener.close();
      throw error;
    }
  }

  function acceptWaiting(listener: UnixListener, watch: Watch): void {
    try {
      for (let taken = 0; taken < ACCEPT_AT_ONCE; taken++) {
        const connection = listener.accept();
        if (connection === undefined) return;
        const { uid, pid } = connection.peer;
        if (options.allowedUids.includes(uid)) deps.connections.take(connection.fd);
        else {
          log.warn(`Refused a peer on the ${options.name}: it is not root`, { uid, PID: pid });
          connection.close();
        }
      }
    } catch (error) {
      // No descriptors left, for instance: the socket stays readable, so it is let be until the next look.
      tell(`Cannot take a connection on the ${options.name}: ${messageOf(error)}; trying again`);
      watch.want({ readable: false, writable: false });
    }
  }

  function close(): void {
    open?.watch[Symbol.dispose]();
    open?.listener.close();
    open = undefined;
  }

  /** What goes on for hours is worth one line. */
  function tell(what: string): void {
    if (what !== said) log.warn(what);
    said = what;
  }
}
