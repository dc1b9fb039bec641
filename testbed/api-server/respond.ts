// From an answer to bytes on the socket, with the damage that faults ask for. Responsible for headers, framing,
// compression, freezing and the bound on what a slow watcher may leave unread; knows nothing about objects.
import type { IncomingMessage, ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import { type FaultAction, findAction } from "./faults.ts";
import type { Gate } from "./gate.ts";
import { isJsonObject } from "./kube-object.ts";
import type { WatchSink } from "./watch.ts";

/** A complete answer. */
export interface BodyAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What responding needs to know about one request. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly actions: readonly FaultAction[];
  readonly gate: Gate;
  /** Cuts the connection with a TCP reset. */
  readonly reset: () => void;
  /** The client has gone away, or stop() has cut the connection. */
  readonly isGone: () => boolean;
}

/** k8s.io/apiserver pkg/endpoints/handlers/responsewriters: smaller bodies are never compressed. */
const GZIP_FROM_BYTES = 128 * 1024;
/** A watcher that leaves more unread is cut off, as the watch cache forgets a slow watcher. */
const UNREAD_LIMIT_BYTES = 64 * 1024 * 1024;

/** Sends a complete answer. */
export function sendBody(exchange: Exchange, answer: BodyAnswer): void {
  const { request, response, actions } = exchange;
  const large = findAction(actions, "large-object");
  const text = large === undefined || typeof answer.body !== "string" ? answer.body : enlarge(answer.body, large.bytes);
  const plain = Buffer.from(text);
  const acceptsGzip = /\bgzip\b/.test(String(request.headers["accept-encoding"] ?? ""));
  const isGzip = acceptsGzip && plain.length >= GZIP_FROM_BYTES;
  const bytes = isGzip ? gzipSync(plain, { level: 1 }) : plain;
  response.writeHead(answer.status, {
    ...commonHeaders(),
    ...answer.headers,
    ...(isGzip ? { "Content-Encoding": "gzip", Vary: "Accept-Encoding" } : {}),
    "Content-Type": findAction(actions, "content-type")?.value ?? answer.contentType,
    "Content-Length": bytes.length,
  });
  if (request.method === "HEAD") response.end();
  else if (findAction(actions, "truncated") !== undefined) {
    response.write(bytes.subarray(0, Math.ceil(bytes.length / 2)), () => response.destroy());
  } else if (findAction(actions, "trickle") !== undefined) {
    const writer = createWriter(exchange);
    writer.write(bytes);
    writer.end();
  } else response.end(bytes);
}

/** Starts a watch's stream and returns where its events go. */
export function openStream(exchange: Exchange): WatchSink {
  const { response, actions, gate } = exchange;
  const contentType = findAction(actions, "content-type")?.value ?? "application/json";
  response.writeHead(200, { ...commonHeaders(), "Content-Type": contentType });
  response.flushHeaders();
  const writer = createWriter(exchange);
  const large = findAction(actions, "large-object");
  const half = findAction(actions, "half-event");
  const isSilent = findAction(actions, "silent-watch") !== undefined;
  const close = (how: "end" | "reset"): void => (how === "end" ? writer.end() : exchange.reset());
  return {
    send(event) {
      if (isSilent) return;
      const plain = `${JSON.stringify(event)}\n`;
      const line = Buffer.from(large === undefined ? plain : `${enlarge(plain, large.bytes)}\n`);
      gate.pass(() => {
        if (response.writableEnded || response.destroyed) return;
        if (half === undefined) writer.write(line);
        else {
          writer.write(line.subarray(0, Math.floor(line.length / 2)));
          close(half.close);
        }
      });
    },
    close: (how) => gate.pass(() => close(how)),
    onClosed: (listener) => {
      if (exchange.isGone()) listener();
      else response.once("close", listener);
    },
  };
}

interface Writer {
  write(bytes: Uint8Array): void;
  end(): void;
}

function createWriter({ response, actions }: Exchange): Writer {
  const trickle = findAction(actions, "trickle");
  if (trickle === undefined) {
    return {
      write(bytes) {
        response.write(bytes);
        if (response.writableLength > UNREAD_LIMIT_BYTES) response.destroy();
      },
      end: () => void response.end(),
    };
  }
  let waiting = Buffer.alloc(0);
  let isEnding = false;
  const timer = setInterval(() => {
    response.write(waiting.subarray(0, trickle.bytes));
    waiting = waiting.subarray(trickle.bytes);
    if (waiting.length > 0 || !isEnding) return;
    clearInterval(timer);
    response.end();
  }, trickle.everyMs);
  response.once("close", () => clearInterval(timer));
  return {
    write(bytes) {
      waiting = Buffer.concat([waiting, bytes]);
      if (waiting.length > UNREAD_LIMIT_BYTES) response.destroy();
    },
    end() {
      isEnding = true;
    },
  };
}

function commonHeaders(): Record<string, string> {
  return { "Audit-Id": crypto.randomUUID(), "Cache-Control": "no-cache, private" };
}

/** Puts an annotation of `bytes` upon the object in this JSON: itself, its first item, or the object of an event. */
function enlarge(json: string, bytes: number): string {
  const parsed: unknown = JSON.parse(json);
  const pad = (object: unknown): unknown => {
    if (!isJsonObject(object)) return object;
    const metadata = isJsonObject(object["metadata"]) ? object["metadata"] : {};
    const annotations = isJsonObject(metadata["annotations"]) ? metadata["annotations"] : {};
    return {
      ...object,
      metadata: { ...metadata, annotations: { ...annotations, "stand-in/padding": "x".repeat(bytes) } },
    };
  };
  if (!isJsonObject(parsed)) return json;
  const { items, object } = parsed;
  if (object !== undefined) return JSON.stringify({ ...parsed, object: pad(object) });
  return JSON.stringify(Array.isArray(items) ? { ...parsed, items: [pad(items[0]), ...items.slice(1)] } : pad(parsed));
}
