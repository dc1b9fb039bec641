// Serves the plugin socket: connections, bounds and deadlines. What a request means is the handler's business.
// A peer may be anybody who can reach the socket file: nothing is allocated before its credentials and its header are
// known, and a thousand silent peers cost a thousand small objects until their deadline.
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
import type { Poller, Watch } from "../../platform/linux/poller.ts";
import type { UnixConnection, UnixListener } from "../../platform/linux/unix-socket.ts";

export interface PluginServerDeps {
  readonly poller: Poller;
  readonly log: Logger;
  /** Opens the socket; called once by `serve`. */
  listen(): UnixListener;
  closeDescriptor(fd: number): void;
  /** Answers one request. `netnsFd` is the server's to close, after the answer. Must not throw. */
  handle(request: PluginRequest, netnsFd: number | undefined, signal: AbortSignal): Promise<PluginAnswer>;
}

export interface PluginServerOptions {
  /** Credentials that may ask: root runs plugins; in tests also ourselves. */
  readonly allowedUids: readonly number[];
  /** From accept to the last byte of the request. */
  readonly requestTimeoutMs: number;
  /** From the whole request to its answer. */
  readonly answerTimeoutMs: number;
  /** Connections at once; above it the oldest that has not finished its request gives way. */
  readonly maxConnections: number;
}

export const PLUGIN_SERVER_DEFAULTS: PluginServerOptions = {
  allowedUids: [0],
  requestTimeoutMs: 10_000,
  answerTimeoutMs: 55_000,
  maxConnections: 512,
};

interface Connection {
  readonly socket: UnixConnection;
  readonly abort: AbortController;
  readonly header: Uint8Array;
  payload: Uint8Array | undefined;
  flags: number;
  received: number;
  netnsFd: number | undefined;
  isHandling: boolean;
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
  const idle = Promise.withResolvers<void>();
  const listener = deps.listen();
  const listenWatch = deps.poller.watch(listener.fd, { readable: true, writable: false }, acceptWaiting);
  if (!signal.aborted)
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  listenWatch[Symbol.dispose]();
  listener.close();
  for (const connection of connections) {
    if (connection.isHandling) connection.abort.abort();
    else end(connection);
  }
  if (connections.size > 0) await idle.promise;

  /** A bounded number at a time, so that a flood of connections does not keep the loop from anything else. */
  function acceptWaiting(): void {
    for (let taken = 0; taken < 64; taken++) {
      const socket = listener.accept();
      if (socket === undefined) return;
      open(socket);
    }
  }

  function open(socket: UnixConnection): void {
    if (!options.allowedUids.includes(socket.peer.uid)) {
      deps.log.warn("Refused a peer on the plugin socket: it is not root", {
        uid: socket.peer.uid,
        PID: socket.peer.pid,
      });
      socket.close();
      return;
    }
    if (connections.size >= options.maxConnections && !evictOldestReader()) {
      socket.close();
      return;
    }
    const connection: Connection = {
      socket,
      abort: new AbortController(),
      header: new Uint8Array(HEADER_LENGTH),
      payload: undefined,
      flags: 0,
      received: 0,
      netnsFd: undefined,
      isHandling: false,
      deadline: setTimeout(() => end(connection), options.requestTimeoutMs),
      watch: undefined,
    };
    connections.add(connection);
    // The plugin sends right after it connects, so its request is normally there already.
    guarded(connection, () => readRequest(connection));
    if (connections.has(connection) && !connection.isHandling) {
      connection.watch = deps.poller.watch(socket.fd, { readable: true, writable: false }, () =>
        guarded(connection, () => readRequest(connection)),
      );
    }
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

  function readRequest(connection: Connection): void {
    for (;;) {
      const target = connection.payload ?? connection.header;
      if (connection.received < target.length) {
        const chunk = connection.socket.receive(target.subarray(connection.received));
        if (chunk === undefined) return;
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
        answer(connection, connection.payload);
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
      connection.payload = new Uint8Array(header.payloadLength);
      connection.received = 0;
    }
  }

  function answer(connection: Connection, payload: Uint8Array): void {
    const request = parseRequest(payload);
    connection.isHandling = true;
    connection.watch?.[Symbol.dispose]();
    connection.watch = undefined;
    clearTimeout(connection.deadline);
    const { signal: requestSignal } = connection.abort;
    connection.deadline = setTimeout(() => connection.abort.abort(), options.answerTimeoutMs);
    void deps
      .handle(request, connection.netnsFd, requestSignal)
      .then((result) => {
        const isForSuccessor = signal.aborted && result.exitCode !== 0;
        if ((connection.flags & FLAG_NO_ANSWER) === 0 && !isForSuccessor) send(connection, encodeAnswer(result));
      })
      .catch((error: unknown) =>
        deps.log.error("Cannot answer a plugin", { command: request.command, err: String(error) }),
      )
      .finally(() => end(connection));
  }

  /** An answer is far smaller than a socket's buffer, and the plugin reads nothing else: what does not fit is lost. */
  function send(connection: Connection, frame: Uint8Array): void {
    const sent = connection.socket.send(frame);
    if (sent < frame.length) deps.log.warn("Cut an answer to a plugin that does not read", { sent, of: frame.length });
  }

  function end(connection: Connection): void {
    if (!connections.delete(connection)) return;
    clearTimeout(connection.deadline);
    connection.watch?.[Symbol.dispose]();
    connection.abort.abort();
    if (connection.netnsFd !== undefined) deps.closeDescriptor(connection.netnsFd);
    connection.socket.close();
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
