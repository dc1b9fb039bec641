// One HTTP request from its first byte to its answer: log, freeze, faults, then answer.ts. Responsible for that order
// and for request bodies; the server's life is in api-server.ts.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type AnswerDeps, answerError, answerRequest, MAX_BODY_BYTES } from "./answer.ts";
import { ApiError, statusForCode, tooLarge } from "./api-error.ts";
import { type FaultAction, type Faults, findAction } from "./faults.ts";
import type { Gate } from "./gate.ts";
import type { RequestLog } from "./request-log.ts";
import { type BodyAnswer, type Exchange, openStream, sendBody } from "./respond.ts";
import { parseRoute, type Route } from "./routes.ts";

/** What serving needs besides what answers need. */
export interface ServeDeps extends AnswerDeps {
  readonly faults: Faults;
  readonly log: RequestLog;
  readonly gate: Gate;
  /** Cuts the connection under this (TLS) socket with a TCP reset. */
  readonly reset: (socket: Socket) => void;
}

/** The request listener of a server. It never throws: a bug of the stand-in becomes a 500 and a line on stderr. */
export function createServe(deps: ServeDeps): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    // Taken now: Node takes it from the request again when the connection ends.
    const { socket } = request;
    const reset = (): void => deps.reset(socket);
    const isGone = (): boolean => socket.destroyed || response.destroyed;
    serve(deps, { request, response, reset, isGone }).catch((error: unknown) => {
      // A client that goes away in the middle of its body is no fault of the server's.
      if (isGone()) return;
      console.error("The API stand-in failed upon", request.method, request.url, error);
      if (response.headersSent) reset();
      else
        sendBody(
          { request, response, reset, isGone, actions: [], gate: deps.gate },
          answerError(statusForCode(500, String(error))),
        );
    });
  };
}

async function serve(deps: ServeDeps, connection: Omit<Exchange, "actions" | "gate">): Promise<void> {
  const { request, response } = connection;
  const { faults, gate, log } = deps;
  const route = parseRoute(request.method ?? "GET", request.url ?? "/");
  const entry = log.begin(request.method ?? "", route, request.headers);
  response.once("close", () => {
    entry.status ??= response.headersSent ? response.statusCode : 0;
    entry.endedMs = performance.now();
    log.touch();
  });
  await passed(gate);
  // stop() opens the gate after it has cut all connections: what waited there must not be carried out.
  if (connection.isGone()) return;
  await answerWithFaults(deps, { ...connection, actions: faults.take(route), gate }, route);
  if (response.headersSent) entry.status ??= response.statusCode;
  log.touch();
}

async function answerWithFaults(deps: ServeDeps, exchange: Exchange, route: Route): Promise<void> {
  const { actions, request, response } = exchange;
  const latency = findAction(actions, "latency");
  if (latency !== undefined) await delay(latency.delayMs, response);
  if (findAction(actions, "never-answer") !== undefined) return;
  if (findAction(actions, "reset") !== undefined) return exchange.reset();
  const answer = answerInstead(actions) ?? (await answerOrError(deps, route, request));
  await passed(deps.gate);
  if (exchange.isGone()) return;
  if ("watch" in answer) deps.watches.open(answer.watch, openStream(exchange));
  else sendBody(exchange, answer);
}

async function answerOrError(
  deps: ServeDeps,
  route: Route,
  request: IncomingMessage,
): Promise<Awaited<ReturnType<typeof answerRequest>>> {
  try {
    return await answerRequest(route, { headers: request.headers, body: () => readBody(request) }, deps);
  } catch (error) {
    if (error instanceof ApiError) return answerError(error);
    throw error;
  }
}

function answerInstead(actions: readonly FaultAction[]): BodyAnswer | undefined {
  const status = findAction(actions, "status");
  if (status !== undefined) return answerError(statusForCode(status.code, status.message, status.retryAfterSeconds));
  if (findAction(actions, "html") !== undefined) {
    const body =
      "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to this network.</body></html>\n";
    return { status: 200, contentType: "text/html; charset=utf-8", body };
  }
  if (findAction(actions, "garbage") !== undefined) {
    const body = Uint8Array.from({ length: 512 }, (_, index) => (index * 151 + 0x80) & 0xff);
    return { status: 200, contentType: "application/json", body };
  }
  return undefined;
}

const passed = (gate: Gate): Promise<void> => new Promise((resolve) => gate.pass(resolve));

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request) {
    if (!(chunk instanceof Uint8Array)) continue;
    length += chunk.length;
    if (length <= MAX_BODY_BYTES) chunks.push(chunk);
  }
  // Only at the end, so that a client that sends first and reads then sees the answer.
  if (length > MAX_BODY_BYTES) throw tooLarge(MAX_BODY_BYTES);
  return Buffer.concat(chunks);
}

function delay(delayMs: number, response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(done, delayMs);
    response.once("close", done);
  });
}
