// Who connects to a Unix socket: opens it, takes connections as fast as it may, hangs up on strangers, and makes the socket
// anew where somebody cleaned its folder. What is said on a connection is not looked at here.
import { messageOf } from "../../core/error-message.ts";
import type { Logger } from "../../core/log.ts";
import type { Poller, Watch } from "./poller.ts";
import type { UnixConnection, UnixListener } from "./unix-socket.ts";

export interface AcceptorDeps {
  readonly poller: Pick<Poller, "watch">;
  readonly log: Logger;
  /** Opens the socket; called at the start, and again where it could not be had or its file was removed. */
  listen(): UnixListener;
  /** How it stands with the socket, at the start and at each look: undefined, it is listened on; otherwise why not. */
  onState?(failure: string | undefined): void;
}

export interface Accepting {
  /** For the log: "plugin socket". */
  readonly name: string;
  /** Besides the mode of the file: whoever connects must have been one of these. */
  readonly allowedUids: readonly number[];
  /** Whoever fails may connect again at once, for ever. @default as many as come */
  readonly atMost?: { readonly perSecond: number; nowMs(): number };
  /** How often it is looked whether the socket's file is still there. */
  readonly recheckMs: number;
  /** Nothing depends on it: where it cannot be had at the start either, that is said and tried again. */
  readonly isOptional?: boolean;
  /** Takes ownership of the connection. */
  take(connection: UnixConnection): void;
}

/** Accepts until the signal aborts; a file that is there then is left to a successor, if it is his.
 * @throws {ErrnoError} when the socket cannot be opened at the start and is not optional. */
export type Acceptor = (accepting: Accepting, signal: AbortSignal) => Promise<void>;

const SECOND_MS = 1000;
/** So that a flood of connections does not keep the loop from anything else. */
const ACCEPT_AT_ONCE = 16;
/** After a failed accept (no descriptors left) the socket, which stays readable, is not looked at for so long. */
const ACCEPT_PAUSE_MS = 100;
const READABLE = { readable: true, writable: false };

export function createAcceptor(deps: AcceptorDeps): Acceptor {
  return (accepting, signal) => accept(deps, accepting, signal);
}

async function accept({ poller, log, listen, onState }: AcceptorDeps, accepting: Accepting, signal: AbortSignal) {
  const { name, allowedUids, atMost } = accepting;
  /** When the last ones were accepted, at most as many as a second may have. */
  const accepted: number[] = [];
  let open: { readonly listener: UnixListener; readonly watch: Watch } | undefined;
  let pause: NodeJS.Timeout | undefined;
  /** Why it is not listened on, as it was said. */
  let failure: string | undefined;
  /** Of a connection that could not be taken: said, and passed once one could be. Those that come and go are worth one line for
   * each look. */
  let shortage: "none" | "said" | "passed" = "none";
  if (signal.aborted) return;
  if (accepting.isOptional === true) keepOpen();
  else {
    open = openAndWatch();
    settle(undefined);
  }
  const recheck = setInterval(keepOpen, accepting.recheckMs);
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  clearInterval(recheck);
  close();

  /** Somebody may clean the folder; a file that is there is ours or a successor's. What goes on for hours is worth one line. */
  function keepOpen(): void {
    if (shortage === "passed") shortage = "none";
    try {
      if (open?.listener.isPathTaken() === true) {
        settle(undefined);
        return;
      }
      const next = openAndWatch();
      const { path } = next.listener;
      if (open !== undefined) log.warn(`The ${name} was removed: listening anew`, { path });
      else if (failure !== undefined) log.info(`Listening on the ${name} now`, { path });
      close();
      open = next;
      settle(undefined);
    } catch (error) {
      const text = messageOf(error);
      if (text !== failure) log.warn(`Cannot listen on the ${name}: ${text}; trying again`);
      settle(text);
    }
  }

  function settle(text: string | undefined): void {
    failure = text;
    onState?.(text);
  }

  /** A socket that nobody hears must not stand there: it is closed, and made anew at the next look. */
  function openAndWatch(): NonNullable<typeof open> {
    const listener = listen();
    try {
      return { listener, watch: poller.watch(listener.fd, READABLE, acceptWaiting) };
    } catch (error) {
      listener.close();
      throw error;
    }
  }

  function acceptWaiting(): void {
    if (open === undefined || pause !== undefined) return;
    try {
      for (let taken = 0; taken < ACCEPT_AT_ONCE; taken++) {
        const [oldestMs = Number.NEGATIVE_INFINITY] = accepted;
        const waitMs =
          atMost === undefined || accepted.length < atMost.perSecond ? 0 : oldestMs + SECOND_MS - atMost.nowMs();
        if (waitMs > 0) {
          stopFor(waitMs);
          return;
        }
        const connection = open.listener.accept();
        if (connection === undefined) return;
        if (shortage === "said") shortage = "passed";
        if (atMost !== undefined && accepted.push(atMost.nowMs()) > atMost.perSecond) accepted.shift();
        admit(connection);
      }
    } catch (error) {
      if (shortage === "none") log.warn(`Cannot take a connection on the ${name}: ${messageOf(error)}; trying again`);
      shortage = "said";
      stopFor(ACCEPT_PAUSE_MS);
    }
  }

  function admit(connection: UnixConnection): void {
    const { uid, pid } = connection.peer;
    if (allowedUids.includes(uid)) accepting.take(connection);
    else {
      log.warn(`Refused a peer on the ${name}: its user may not connect`, { uid, PID: pid });
      connection.close();
    }
  }

  function stopFor(ms: number): void {
    open?.watch.want({ readable: false, writable: false });
    pause = setTimeout(() => {
      pause = undefined;
      open?.watch.want(READABLE);
    }, ms);
  }

  function close(): void {
    clearTimeout(pause);
    pause = undefined;
    open?.watch[Symbol.dispose]();
    open?.listener.close();
    open = undefined;
  }
}
