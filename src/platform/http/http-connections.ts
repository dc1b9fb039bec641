/**
 * HTTP on connections that somebody else has accepted, a unix socket's for instance: one request each, everything bounded,
 * every connection over after a fixed time. What is answered is the caller's business.
 */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Socket } from "node:net";
import type { HttpAnswer } from "./server.ts";

/** What else there is of a request, for whom it matters. */
export interface HttpRequestRest {
  /** The whole body once it has come; rejects when the client goes before. Call it at once or never. */
  body(): Promise<Uint8Array>;
  /** Aborts when the client has hung up, or the connection's time is over. */
  readonly signal: AbortSignal;
}

export interface HttpConnectionsOptions {
  /** `target` is the request's as it came. What rejects becomes 500. */
  answer(method: string, target: string, rest: HttpRequestRest): Promise<HttpAnswer>;
  /** An answer that rejected. */
  onError(error: unknown): void;
  /** @default 8 */
  readonly maxConnections?: number;
  /** From the accepted connection to the last byte of its answer. @default 10000 */
  readonly timeoutMs?: number;
  /** A longer body ends the connection. @default 65536 */
  readonly maxBodyBytes?: number;
}

export interface HttpConnections {
  /** Takes a connected stream socket over, and its descriptor with it, whatever comes. False: it was closed at once,
   * because there are too many or the end has come. */
  take(fd: number): boolean;
  /** Takes nothing more; what runs may end until the deadline. Idempotent, never rejects. */
  close(deadlineMs: number): Promise<void>;
}

const HEADER_BYTES_MAX = 8192;
const BODY_BYTES_MAX = 65_536;
const NO_BYTES = new Uint8Array(0);

export function createHttpConnections(options: HttpConnectionsOptions): HttpConnections {
  const { maxConnections = 8, timeoutMs = 10_000 } = options;
  const sockets = new Set<Socket>();
  const idle = Promise.withResolvers<void>();
  let isClosing = false;
  const server = createServer({ maxHeaderSize: HEADER_BYTES_MAX }, (request, response) => {
    void respond(request, response, options);
  });
  // Those behind the first are not answered, and must not be acted on either.
  server.maxRequestsPerSocket = 1;

  return {
    take(fd) {
      const socket = new Socket({ fd, readable: true, writable: true });
      if (isClosing || sockets.size >= maxConnections) {
        socket.destroy();
        return false;
      }
      sockets.add(socket);
      const deadline = setTimeout(() => socket.destroy(), timeoutMs);
      socket.on("error", () => socket.destroy());
      socket.once("close", () => {
        clearTimeout(deadline);
        sockets.delete(socket);
        if (isClosing && sockets.size === 0) idle.resolve();
      });
      // How Node wants connections from elsewhere to be given to a server (http: event 'connection').
      server.emit("connection", socket);
      return true;
    },
    async close(deadlineMs) {
      isClosing = true;
      if (sockets.size === 0) return;
      const cut = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, deadlineMs);
      await idle.promise;
      clearTimeout(cut);
    },
  };
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  { answer, onError, maxBodyBytes = BODY_BYTES_MAX }: HttpConnectionsOptions,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  let isKept = false;
  let bodyBytes = 0;
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => {
    bodyBytes += chunk.length;
    if (bodyBytes > maxBodyBytes) request.destroy();
    else if (isKept) chunks.push(chunk);
  });
  request.on("error", () => response.destroy());
  const body = (): Promise<Uint8Array> => {
    isKept = true;
    if (request.readableEnded) return Promise.resolve(NO_BYTES);
    return new Promise((resolve, reject) => {
      request.once("end", () => resolve(Buffer.concat(chunks)));
      request.once("close", () => reject(new Error("the client has gone before its request was whole")));
    });
  };
  let result: HttpAnswer;
  try {
    result = await answer(request.method ?? "", request.url ?? "", { body, signal: gone.signal });
  } catch (error) {
    if (gone.signal.aborted) return;
    onError(error);
    result = { status: 500, body: "Internal Server Error\n" };
  }
  response.writeHead(result.status, {
    "content-type": result.contentType ?? "text/plain; charset=utf-8",
    "content-length": Buffer.byteLength(result.body),
    // One request is one deadline.
    connection: "close",
  });
  response.end(result.body);
}
