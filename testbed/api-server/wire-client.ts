// A plain HTTPS client for the tests of the stand-in, and for asking a real API server the same things. Deliberately
// small and without retries: it reports what came over the wire.
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Agent, request as httpsRequest, type RequestOptions } from "node:https";
import type { JsonObject } from "./kube-object.ts";
import { isJsonObject } from "./kube-object.ts";

/** How to reach and to convince a server: a token, or a client certificate (PEM). */
export interface WireClientOptions {
  readonly url: string;
  readonly caPem: string;
  readonly token?: string;
  readonly certPem?: string;
  readonly keyPem?: string;
}

/** A complete answer. `json` is {} when the body is not a JSON object. */
export interface WireAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: JsonObject;
}

/** An open watch. */
export interface WireWatch extends Disposable {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The next line's JSON, or undefined when the stream has ended. Rejects when it is cut, no JSON, or after 10 s. */
  next(): Promise<JsonObject | undefined>;
}

/** The client. */
export interface WireClient extends Disposable {
  request(
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<WireAnswer>;
  watch(path: string, headers?: Readonly<Record<string, string>>): Promise<WireWatch>;
}

const DEADLINE_MS = 10_000;

/** Opens nothing until the first request. */
export function createWireClient(options: WireClientOptions): WireClient {
  const agent = new Agent({
    keepAlive: true,
    ca: options.caPem,
    ...(options.certPem === undefined ? {} : { cert: options.certPem }),
    ...(options.keyPem === undefined ? {} : { key: options.keyPem }),
  });

  const open = (
    method: string,
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>>,
  ): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const authorization = options.token === undefined ? {} : { Authorization: `Bearer ${options.token}` };
      const text = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
      // Node sends no length with a DELETE by itself.
      const content =
        body === undefined
          ? {}
          : { "Content-Type": "application/json", "Content-Length": String(Buffer.byteLength(text)) };
      const settings: RequestOptions = {
        ...{ agent, method, signal: AbortSignal.timeout(DEADLINE_MS * 3) },
        headers: { "User-Agent": "wire-client", ...authorization, ...content, ...headers },
      };
      const request = httpsRequest(new URL(path, options.url), settings, resolve);
      request.once("error", reject);
      request.end(text);
    });

  return {
    async request(method, path, body, headers = {}) {
      const response = await open(method, path, body, headers);
      const chunks: Uint8Array[] = [];
      for await (const chunk of response) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString();
      return { status: response.statusCode ?? 0, headers: response.headers, text, json: parseObject(text) ?? {} };
    },

    async watch(path, headers = {}) {
      const response = await open("GET", path, undefined, headers);
      response.on("error", () => {});
      const lines = readLines(response);
      return {
        status: response.statusCode ?? 0,
        headers: response.headers,
        async next() {
          const line = await within(lines.next());
          if (line.done === true) return undefined;
          const event = parseObject(line.value);
          if (event === undefined)
            throw new Error(`Cannot read a watch event: ${line.value.length} bytes that are no JSON object`);
          return event;
        },
        [Symbol.dispose]: () => void response.destroy(),
      };
    },

    [Symbol.dispose]: () => agent.destroy(),
  };
}

async function* readLines(response: AsyncIterable<Uint8Array>): AsyncGenerator<string, undefined> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of response) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
  return undefined;
}

function within<T>(promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`Cannot wait longer for a watch event: none within ${DEADLINE_MS} ms`)),
      DEADLINE_MS,
    );
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

function parseObject(text: string): JsonObject | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return isJsonObject(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}
