/**
 * A small HTTP listener for health and metrics: a fixed list of paths, answers from memory, hard limits on everything a
 * client can make it hold. What the answers mean is agent/status.
 */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

export interface HttpAnswer {
  readonly status: number;
  readonly contentType?: string;
  /** Beside those that every answer has; names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What of a request an answer may depend on. */
export interface HttpRequest {
  readonly method: string;
  /** The Host header; "" without one. */
  readonly host: string;
}

export interface HttpListenOptions {
  /** 0 takes any free port. */
  readonly port: number;
  /** All addresses of both families when absent. */
  readonly host?: string;
  /** Answers by exact path, for any method. Called per request; must not block. Other paths get 404. */
  readonly routes: Readonly<Record<string, (request: HttpRequest) => HttpAnswer>>;
  /** An answer that threw; the client has got 500. */
  onError(error: unknown): void;
}

export interface HttpListener {
  readonly port: number;
  /** Takes no new connection, lets running requests end until the deadline, then cuts them. Idempotent, never rejects. */
  close(deadlineMs: number): Promise<void>;
}

const CONNECTIONS_MAX = 64;
const REQUESTS_PER_CONNECTION_MAX = 100;
const HEADER_BYTES_MAX = 8192;
const HEADERS_TIMEOUT_MS = 5000;
const REQUEST_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 5000;
/** How often Node looks for connections that are over their time: each look wakes an agent that has nothing to do. */
const TIMEOUT_CHECK_MS = 5000;
/** Nobody has a reason to send one; a short one is swallowed, a longer one ends the connection. */
const BODY_BYTES_MAX = 65_536;
const TEXT_PLAIN = "text/plain; charset=utf-8";

/** Rejects with the system's error (`code` EADDRINUSE, EACCES, …) when the port cannot be had. */
export function listenHttp(options: HttpListenOptions): Promise<HttpListener> {
  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    },
    (request, response) => {
      const { socket } = request;
      if (answering.has(socket)) {
        socket.destroy();
        return;
      }
      answering.add(socket);
      response.once("close", () => answering.delete(socket));
      boundBody(request, response);
      inTurn(() => answer(request, response, options));
    },
  );
  const inTurn = createTurns();
  const sockets = new Set<Socket>();
  // Whoever asks again before it has its answer (HTTP pipelining; neither kubelet nor Prometheus does) would have as many made
  // and held at once as fit into what was read.
  const answering = new WeakSet<Socket>();
  server.on("connection", (socket: Socket) => {
    const crowding = sockets.size < CONNECTIONS_MAX ? undefined : findCrowding(sockets);
    if (crowding !== undefined) {
      sockets.delete(crowding);
      crowding.destroy();
    }
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.maxRequestsPerSocket = REQUESTS_PER_CONNECTION_MAX;
  // A client that does not read its answer: nothing else ends such a connection.
  server.setTimeout(REQUEST_TIMEOUT_MS + IDLE_TIMEOUT_MS);

  let closing: Promise<void> | undefined;
  const close = (deadlineMs: number): Promise<void> => {
    closing ??= new Promise((resolve) => {
      const cut = setTimeout(() => server.closeAllConnections(), deadlineMs);
      server.close(() => {
        clearTimeout(cut);
        resolve();
      });
      server.closeIdleConnections();
    });
    return closing;
  };

  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const onListening = (): void => {
      server.off("error", reject);
      server.on("error", options.onError);
      resolve({ port: (server.address() as AddressInfo).port, close });
    };
    // Without a host Node takes "::", and 0.0.0.0 on machines without IPv6.
    server.listen({ port: options.port, ...(options.host === undefined ? {} : { host: options.host }) }, onListening);
  });
}

/**
 * The oldest connection of the address that has most of them. Whoever opens many and says nothing must not keep the kubelet
 * from asking, whose own connections are few and new; refusing the newest would do just that.
 */
function findCrowding(sockets: ReadonlySet<Socket>): Socket | undefined {
  const byAddress = Map.groupBy(sockets, ({ remoteAddress }) => remoteAddress);
  return [...byAddress.values()].toSorted((left, right) => right.length - left.length)[0]?.[0];
}

/**
 * One piece of work in each turn of the event loop, in order: an answer of metrics takes a millisecond, and who asks for one on
 * every connection at once must not keep whatever else the loop serves waiting for all of them, in each of its turns.
 */
function createTurns(): (work: () => void) => void {
  const queue: (() => void)[] = [];
  const takeNext = (): void => {
    const work = queue.shift();
    if (queue.length > 0) setImmediate(takeNext);
    work?.();
  };
  return (work) => {
    queue.push(work);
    if (queue.length === 1) setImmediate(takeNext);
  };
}

function boundBody(request: IncomingMessage, response: ServerResponse): void {
  let bodyBytes = 0;
  request.on("data", (chunk: Buffer) => {
    bodyBytes += chunk.length;
    if (bodyBytes > BODY_BYTES_MAX) request.destroy();
  });
  request.on("error", () => response.destroy());
}

function answer(request: IncomingMessage, response: ServerResponse, options: HttpListenOptions): void {
  // Gone before its turn.
  if (response.destroyed) return;
  const { status, contentType, headers, body } = findAnswer(request, options);
  response.writeHead(status, {
    ...headers,
    "content-type": contentType ?? TEXT_PLAIN,
    "content-length": Buffer.byteLength(body),
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
  });
  response.end(body);
}

function findAnswer(
  { url = "", method = "", headers }: IncomingMessage,
  { routes, onError }: HttpListenOptions,
): HttpAnswer {
  const [path = ""] = url.split("?", 1);
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (route === undefined) return { status: 404, body: "404 page not found\n" };
  try {
    return route({ method, host: headers.host ?? "" });
  } catch (error) {
    onError(error);
    return { status: 500, body: "Internal Server Error\n" };
  }
}
