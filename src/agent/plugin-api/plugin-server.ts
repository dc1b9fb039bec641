// Serves the plugin socket: connections, bounds and deadlines. What a request means is the handler's business.
// A peer may be anybody who can reach the socket file: nothing is allocated before its credentials and its header are
// known, a thousand silent peers cost a thousand small objects until their deadline, and what all hold together is bounded.
// Requests are begun one by one in the order in which they came, and each goes on by itself: one that waits delays no other.
import type { Logger } from "../../core/log.ts";
import {
  FLAG_NO_ANSWER,
  FRAME_REQUEST,
  HEADER_LENGTH,
  PROTOCOL_VERSION,
  parseHeader,
} from "../../core/plugin-protocol/frame.ts";
import {
  encodeAnswer,
  encodeVersionRefused,
  type PluginAnswer,
  type PluginRequest,
  parseRequest,
} from "../../core/plugin-protocol/request.ts";
import type { Acceptor } from "../../platform/linux/acceptor.ts";
import type { Poller, Watch } from "../../platform/linux/poller.ts";
import type { UnixConnection } from "../../platform/linux/unix-socket.ts";
import { type ByteShare, createByteBudget } from "./byte-budget.ts";

export interface PluginServerDeps {
  readonly poller: Poller;
  readonly log: Logger;
  /** Of the plugin socket. */
  readonly accept: Acceptor;
  closeDescriptor(fd: number): void;
  /** Answers one request. `netnsFd` is the server's to close, after the answer. Must not throw. The signal's reason is a
   * RequestEnd; it may have come before the request's turn. */
  handle(request: PluginRequest, netnsFd: number | undefined, signal: AbortSignal): Promise<PluginAnswer>;
}

/** Why a request ends before it is answered: the agent ends, the time is up, or the plugin was killed. */
export type RequestEnd = "agent-ends" | "deadline" | "plugin-gone";

export interface PluginServerOptions {
  /** Credentials that may ask: root runs plugins; in tests also ourselves. */
  readonly allowedUids: readonly number[];
  /** From accept to the last byte of the request. */
  readonly requestTimeoutMs: number;
  /** From the whole request to its answer; less where the plugin waits less. */
  readonly answerTimeoutMs: number;
  /** Connections at once; above it the oldest that has not finished its request gives way. */
  readonly maxConnections: number;
  /** Bytes of requests held at once, read or being read; at least one of the largest. Others wait in their sockets. */
  readonly maxHeldBytes: number;
  /** How often it is looked whether the socket's file is still there. */
  readonly recheckMs: number;
}

export const PLUGIN_SERVER_DEFAULTS: PluginServerOptions = {
  allowedUids: [0],
  requestTimeoutMs: 10_000,
  answerTimeoutMs: 55_000,
  maxConnections: 512,
  maxHeldBytes: 32 * 1024 * 1024,
  recheckMs: 2000,
};

/** So much earlier than the plugin's own deadline we answer, and it can tell the runtime our reason instead of its own. */
const ANSWER_MARGIN_MS = 500;

interface Connection {
  readonly socket: UnixConnection;
  readonly abort: AbortController;
  readonly header: Uint8Array;
  payload: Uint8Array | undefined;
  share: ByteShare | undefined;
  flags: number;
  received: number;
  netnsFd: number | undefined;
  isHandling: boolean;
  isPeerGone: boolean;
  deadline: NodeJS.Timeout | undefined;
  watch: Watch | undefined;
}

/** Serves until `signal` aborts; then no new connection is taken and the socket file is left to a successor. Requests under
 * way end now: one that succeeds is answered, any other is hung up on, and its plugin asks the successor (CONTRACT.md).
 * Resolves when all is closed.
 * @throws {ErrnoError} when the socket cannot be opened. */
export async function servePlugins(
  deps: PluginServerDeps,
  options: PluginServerOptions,
  signal: AbortSignal,
): Promise<void> {
  const connections = new Set<Connection>();
  const budget = createByteBudget(options.maxHeldBytes);
  const idle = Promise.withResolvers<void>();
  const queue: (() => void)[] = [];
  let isTurnTaken = false;
  const { allowedUids, recheckMs } = options;
  await deps.accept({ name: "plugin socket", allowedUids, recheckMs, take: open }, signal);
  for (const connection of connections) {
    if (connection.isHandling) connection.abort.abort("agent-ends" satisfies RequestEnd);
    else end(connection);
  }
  if (connections.size > 0) await idle.promise;

  function open(socket: UnixConnection): void {
    if (connections.size >= options.maxConnections && !evictOldestReader()) {
      socket.close();
      return;
    }
    const connection: Connection = {
      socket,
      abort: new AbortController(),
      header: new Uint8Array(HEADER_LENGTH),
      payload: undefined,
      share: undefined,
      flags: 0,
      received: 0,
      netnsFd: undefined,
      isHandling: false,
      isPeerGone: false,
      deadline: setTimeout(() => end(connection), options.requestTimeoutMs),
      watch: undefined,
    };
    connections.add(connection);
    // The plugin sends right after it connects, so its request is normally there already.
    guarded(connection, () => readRequest(connection));
  }

  /** Calls `onReady` whenever the connection is readable, in place of whatever was called before. */
  function watchReadable(connection: Connection, onReady: () => void): void {
    unwatch(connection);
    const interest = { readable: true, writable: false };
    connection.watch = deps.poller.watch(connection.socket.fd, interest, () => guarded(connection, onReady));
  }

  function unwatch(connection: Connection): void {
    connection.watch?.[Symbol.dispose]();
    connection.watch = undefined;
  }

  /** Sets iterate in insertion order: the first reader is the oldest. */
  function evictOldestReader(): boolean {
    for (const connection of connections) {
      if (connection.isHandling) continue;
      end(connection);
      return true;
    }
    return false;
  }

  /** Reads what is there, and sees to it that the rest is read when it comes. */
  function readRequest(connection: Connection): void {
    for (;;) {
      const target = connection.payload ?? connection.header;
      if (connection.received < target.length) {
        const chunk = connection.socket.receive(target.subarray(connection.received));
        if (chunk === undefined) {
          if (connection.watch === undefined) watchReadable(connection, () => readRequest(connection));
          return;
        }
        for (const fd of chunk.descriptors) {
          if (connection.netnsFd === undefined) connection.netnsFd = fd;
          else deps.closeDescriptor(fd);
        }
        if (chunk.length === 0) {
          end(connection);
          return;
        }
        connection.received += chunk.length;
        if (connection.received < target.length) continue;
      }
      if (connection.payload !== undefined) {
        enqueue(connection, connection.payload);
        return;
      }
      const header = parseHeader(connection.header);
      if (header.type !== FRAME_REQUEST || header.version !== PROTOCOL_VERSION) {
        deps.log.warn("Refused a plugin of another protocol version", { version: header.version, type: header.type });
        connection.socket.send(encodeVersionRefused());
        end(connection);
        return;
      }
      connection.flags = header.flags;
      const begin = (): void => {
        connection.payload = new Uint8Array(header.payloadLength);
        connection.received = 0;
      };
      connection.share = budget.take(header.payloadLength, () => {
        begin();
        guarded(connection, () => readRequest(connection));
      });
      if (!connection.share.isGranted) {
        unwatch(connection);
        return;
      }
      begin();
    }
  }

  /** From here on the request is whole. It is begun in its turn; until then it can only be let go. */
  function enqueue(connection: Connection, payload: Uint8Array): void {
    const request = parseRequest(payload);
    const wantsAnswer = (connection.flags & FLAG_NO_ANSWER) === 0;
    connection.isHandling = true;
    // Who wants no answer hangs up at once; any other that does so was killed.
    if (wantsAnswer) watchReadable(connection, () => noticeHangUp(connection));
    else unwatch(connection);
    clearTimeout(connection.deadline);
    const remainingMs = (request.remainingMs ?? Number.POSITIVE_INFINITY) - ANSWER_MARGIN_MS;
    connection.deadline = setTimeout(
      () => connection.abort.abort("deadline" satisfies RequestEnd),
      Math.max(0, Math.min(options.answerTimeoutMs, remainingMs)),
    );
    beginInTurn(() => answer(connection, request, wantsAnswer));
  }

  /** One in each turn of the loop: what needs no waiting is answered before the next is begun, where requests that go on side
   * by side would all be answered at the end; and the loop has time for others. One that comes alone is begun at once. */
  function beginInTurn(begin: () => void): void {
    if (isTurnTaken) {
      queue.push(begin);
      return;
    }
    isTurnTaken = true;
    setImmediate(endTurn);
    begin();
  }

  function endTurn(): void {
    isTurnTaken = false;
    const next = queue.shift();
    if (next !== undefined) beginInTurn(next);
  }

  function answer(connection: Connection, request: PluginRequest, wantsAnswer: boolean): void {
    const { signal: requestSignal } = connection.abort;
    const reason: unknown = requestSignal.reason;
    // Nothing was begun, and nobody waits for it here any more.
    if (reason === "agent-ends" || reason === "plugin-gone") {
      end(connection);
      return;
    }
    void deps
      .handle(request, connection.netnsFd, requestSignal)
      .then((result) => {
        const isForSuccessor = signal.aborted && result.exitCode !== 0;
        if (wantsAnswer && !isForSuccessor && !connection.isPeerGone) send(connection, encodeAnswer(result));
      })
      .catch((error: unknown) =>
        deps.log.error("Cannot answer a plugin", { command: request.command, err: String(error) }),
      )
      .finally(() => end(connection));
  }

  /** A plugin that is killed, because the runtime gives the sandbox up, must not have it programmed later: the runtime's DEL
   * comes now, and nobody would undo it. Whatever a plugin sends after its request is as strange, and ends it as well. */
  function noticeHangUp(connection: Connection): void {
    try {
      const chunk = connection.socket.receive(new Uint8Array(1));
      if (chunk === undefined) return;
      for (const fd of chunk.descriptors) deps.closeDescriptor(fd);
    } catch {
      // Reset: gone all the same.
    }
    unwatch(connection);
    connection.isPeerGone = true;
    connection.abort.abort("plugin-gone" satisfies RequestEnd);
  }

  /** An answer is far smaller than a socket's buffer, and the plugin reads nothing else: what does not fit is lost. */
  function send(connection: Connection, frame: Uint8Array): void {
    const sent = connection.socket.send(frame);
    if (sent < frame.length) deps.log.warn("Cut an answer to a plugin that does not read", { sent, of: frame.length });
  }

  function end(connection: Connection): void {
    if (!connections.delete(connection)) return;
    clearTimeout(connection.deadline);
    unwatch(connection);
    if (connection.netnsFd !== undefined) deps.closeDescriptor(connection.netnsFd);
    connection.socket.close();
    connection.share?.[Symbol.dispose]();
    if (connections.size === 0 && signal.aborted) idle.resolve();
  }

  function guarded(connection: Connection, action: () => void): void {
    try {
      action();
    } catch (error) {
      deps.log.warn("Dropped a plugin connection", { PID: connection.socket.peer.pid, err: String(error) });
      end(connection);
    }
  }
}
