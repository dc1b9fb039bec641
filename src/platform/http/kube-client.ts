/**
 * The Kubernetes API over node:https: deadlines, bounds, TLS, tokens. It repeats nothing (but a request that
 * met a connection the server had just closed) and decides nothing: list-watch.ts and its callers do.
 * node:https costs 16 MB resident, @kubernetes/client-node 40 MB (DESIGN 3.2), hence this file.
 */

import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { codeOf } from "../../core/error-message.ts";
import { KubeApiError, statusError } from "../../core/kube/kube-api-error.ts";
import { parseJsonBody } from "../../core/kube/list-page.ts";
import { type ResourceRef, resourcePath } from "../../core/kube/resource-path.ts";
import type { KubeCredentials, KubeIdentity } from "./credentials.ts";
import type { KubeApi, KubeSelection, KubeWatchQuery } from "./kube-api.ts";
import { createLimit, type Limit } from "./kube-request-limit.ts";

export type KubeClientOptions = {
  /** Once per request that was answered, or was not ("error"): `action` as in messages, its first word is the verb; `date` is
   * the server's clock in its own words. */
  readonly onAnswer?: (action: string, code: string, date?: string) => void;
  /** Sent as User-Agent: it is what the API's audit log and flow control see. */
  readonly userAgent: string;
  /** From request to the end of the answer; for a watch, to its headers. @default 30000 */
  readonly deadlineMs?: number;
  /** Bound of an answer that is held as a whole: one object. @default 16 MiB */
  readonly maxAnswerBytes?: number;
  /** Bound of a page, which is read as it arrives. @default 64 MiB */
  readonly maxListBytes?: number;
};

/** A KubeApi with connections; `close()` ends them and every request under way. */
export interface KubeClient extends KubeApi {
  close(): void;
}

const DEFAULT_DEADLINE_MS = 30_000;
const DEFAULT_MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const DEFAULT_MAX_LIST_BYTES = 64 * 1024 * 1024;
/** Of an answer that is no success, so much is read for the message. */
const MAX_ERROR_BYTES = 64 * 1024;
/** A half-open connection of a silent watch is found by the kernel: a probe after 30 s, and when ten a second apart (libuv's
 * numbers) went unanswered, ETIMEDOUT. client-go allows as long: an HTTP/2 ping after 30 s, 15 s for its answer. */
const TCP_KEEPALIVE_MS = 30_000;
/** Two or three watches, the rest for requests. */
const MAX_SOCKETS = 8;

/** A list ends by its deadline and size, a watch when nothing arrives. */
type StreamBounds = { readonly maxBytes?: number; readonly idleTimeoutMs?: number };

type Send = {
  readonly action: string;
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  readonly path: string;
  readonly accept?: string;
  readonly contentType?: string;
  readonly body?: string;
};

/** Opens nothing yet: connections begin with the first request. */
export function createKubeClient(credentials: KubeCredentials, options: KubeClientOptions): KubeClient {
  const { userAgent, deadlineMs = DEFAULT_DEADLINE_MS } = options;
  const { maxAnswerBytes = DEFAULT_MAX_ANSWER_BYTES, maxListBytes = DEFAULT_MAX_LIST_BYTES } = options;
  const { endpoint } = credentials;
  const closing = new AbortController();
  let agent: HttpAgent | undefined;
  let agentIdentity = "";

  /** One agent for as long as the certificates stay; a new token needs no new connection. */
  function agentFor({ ca, cert, key, isInsecure, tlsServerName }: KubeIdentity): HttpAgent {
    const identity = JSON.stringify([ca, cert, key]);
    if (agent !== undefined && identity === agentIdentity) return agent;
    const pool = { keepAlive: true, maxSockets: MAX_SOCKETS, maxFreeSockets: 2 };
    // Requests on the old agent end by themselves; its idle connections are of no use any more.
    if (agent !== undefined) retire(agent);
    agentIdentity = identity;
    agent =
      endpoint.protocol === "http:"
        ? new HttpAgent(pool)
        : new HttpsAgent({
            ...pool,
            rejectUnauthorized: !isInsecure,
            ...(ca !== undefined && { ca }),
            ...(cert !== undefined && { cert }),
            ...(key !== undefined && { key }),
            // Node leaves SNI out for an address and then verifies it against the certificate's IP SANs.
            ...(tlsServerName !== undefined && { servername: tlsServerName }),
          });
    return agent;
  }

  function open(send: Send): ClientRequest {
    const identity = credentials.read();
    const headers: Record<string, string> = { accept: send.accept ?? "application/json", "user-agent": userAgent };
    if (identity.token !== undefined) headers["authorization"] = `Bearer ${identity.token}`;
    if (send.body !== undefined) {
      headers["content-type"] = send.contentType ?? "application/json";
      headers["content-length"] = String(Buffer.byteLength(send.body));
    }
    const request = endpoint.protocol === "http:" ? httpRequest : httpsRequest;
    return request({
      agent: agentFor(identity),
      host: endpoint.host,
      port: endpoint.port,
      method: send.method,
      path: endpoint.basePath + send.path,
      headers,
    });
  }

  /** The headers of the answer. Afterwards `limit` still ends the body: the caller stops it. */
  async function answerTo(send: Send, limit: Limit, isRepeat = false): Promise<IncomingMessage> {
    const request = open(send);
    limit.destroys(request);
    try {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        request.once("response", resolve);
        // Stays for the whole life: an error after the answer began reaches the body's reader and this one.
        request.on("error", reject);
        // Node gives up a connection whose server switches protocols (101) without a word, and then no deadline can end it.
        request.once("close", () => reject(new Error("the connection ended before an answer")));
        request.setSocketKeepAlive(true, TCP_KEEPALIVE_MS);
        request.end(send.body);
      });
      options.onAnswer?.(send.action, String(response.statusCode ?? 0), response.headers.date);
      return response;
    } catch (error) {
      // The server closed a kept connection while we were about to use it; nothing was answered, a GET changes nothing.
      if (request.reusedSocket && !isRepeat && send.method === "GET" && !limit.isOver() && isReset(error)) {
        return await answerTo(send, limit, true);
      }
      options.onAnswer?.(send.action, "error");
      throw limit.reasonFor(error, send.action);
    }
  }

  async function exchange(send: Send, signal: AbortSignal): Promise<Uint8Array> {
    using limit = createLimit(signal, closing.signal, deadlineMs);
    let response: IncomingMessage | undefined;
    try {
      response = await answerTo(send, limit);
      const isSuccess = isSuccessful(response);
      const body = await readBody(response, isSuccess ? maxAnswerBytes : MAX_ERROR_BYTES, send.action, !isSuccess);
      if (isSuccess) return body;
      throw statusError(
        send.action,
        response.statusCode ?? 0,
        new TextDecoder().decode(body),
        retryAfterSeconds(response),
      );
    } catch (error) {
      response?.destroy();
      throw limit.reasonFor(error, send.action);
    }
  }

  async function exchangeJson(send: Send, signal: AbortSignal): Promise<unknown> {
    return parseJsonBody(send.action, await exchange(send, signal));
  }

  /** A body that is read by the caller; the limit of the request lives on in it. */
  async function stream(send: Send, signal: AbortSignal, bounds: StreamBounds): Promise<AsyncIterable<Uint8Array>> {
    const { action } = send;
    const limit = createLimit(signal, closing.signal, deadlineMs);
    try {
      const response = await answerTo(send, limit);
      if (isSuccessful(response)) return chunksOf(response, limit, bounds, action);
      const body = await readBody(response, MAX_ERROR_BYTES, action, true);
      throw statusError(action, response.statusCode ?? 0, new TextDecoder().decode(body), retryAfterSeconds(response));
    } catch (error) {
      const reason = limit.reasonFor(error, action);
      limit[Symbol.dispose]();
      throw reason;
    }
  }

  return {
    list: (ref, query, signal) => {
      const parameters = selectionParameters(query);
      parameters.set("limit", String(query.limit));
      if (query.resourceVersion !== "") parameters.set("resourceVersion", query.resourceVersion);
      if (query.continueToken !== "") parameters.set("continue", query.continueToken);
      const path = `${resourcePath(ref)}?${parameters}`;
      const accept = acceptOf(query, "PartialObjectMetadataList");
      return stream({ action: `list ${ref.plural}`, method: "GET", path, accept }, signal, { maxBytes: maxListBytes });
    },
    watch: (ref, query, signal) => {
      const path = `${resourcePath(ref)}?${watchParameters(query)}`;
      const accept = acceptOf(query, "PartialObjectMetadata");
      const { idleTimeoutMs } = query;
      return stream({ action: `watch ${ref.plural}`, method: "GET", path, accept }, signal, { idleTimeoutMs });
    },
    get: (ref, signal) =>
      exchangeJson({ action: `get ${nameOf(ref)}`, method: "GET", path: resourcePath(ref) }, signal),
    patch: (ref, mergePatch, signal) => {
      const contentType = "application/merge-patch+json";
      const body = JSON.stringify(mergePatch);
      return exchangeJson(
        { action: `patch ${nameOf(ref)}`, method: "PATCH", path: resourcePath(ref), contentType, body },
        signal,
      );
    },
    create: (ref, object, signal) => {
      const body = JSON.stringify(object);
      return exchangeJson({ action: `create ${nameOf(ref)}`, method: "POST", path: resourcePath(ref), body }, signal);
    },
    delete: async (ref, { propagation, ...preconditions }, signal) => {
      const options = { apiVersion: "v1", kind: "DeleteOptions", preconditions };
      const body = JSON.stringify({ ...options, ...(propagation && { propagationPolicy: propagation }) });
      await exchange({ action: `delete ${nameOf(ref)}`, method: "DELETE", path: resourcePath(ref), body }, signal);
    },
    refreshCredentials: () => credentials.refresh(),
    close: () => {
      closing.abort(
        new KubeApiError("KUBE_API_TRANSPORT", "Cannot go on: the client of the Kubernetes API was closed"),
      );
      agent?.destroy();
    },
  };
}

/** The generator owns the response and its limit: both end with the loop that reads it. */
async function* chunksOf(
  response: IncomingMessage,
  limit: Limit,
  { maxBytes = Number.POSITIVE_INFINITY, idleTimeoutMs }: StreamBounds,
  action: string,
): AsyncGenerator<Uint8Array> {
  let length = 0;
  try {
    if (idleTimeoutMs !== undefined) limit.becomeIdle(idleTimeoutMs);
    for await (const data of response) {
      if (idleTimeoutMs !== undefined) limit.touch();
      const chunk = toBytes(data);
      length += chunk.length;
      if (length > maxBytes) throw tooLarge(action, maxBytes);
      yield chunk;
    }
    // A destroyed request ends its body without error now and then; the limit knows better.
    if (limit.isOver()) throw limit.reasonFor(undefined, action);
  } catch (error) {
    throw limit.reasonFor(error, action);
  } finally {
    limit[Symbol.dispose]();
    response.destroy();
  }
}

async function readBody(
  response: IncomingMessage,
  maxBytes: number,
  action: string,
  isCut: boolean,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const data of response) {
    const chunk = toBytes(data);
    length += chunk.length;
    if (length > maxBytes) {
      if (isCut) break;
      throw tooLarge(action, maxBytes);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function tooLarge(action: string, maxBytes: number): KubeApiError {
  return new KubeApiError("KUBE_API_TOO_LARGE", `Cannot ${action}: the answer is larger than ${maxBytes} bytes`);
}

function toBytes(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  throw new KubeApiError("KUBE_API_GARBAGE", "Cannot read the answer: a chunk is no bytes");
}

function isSuccessful(response: IncomingMessage): boolean {
  const status = response.statusCode ?? 0;
  return status >= 200 && status < 300;
}

/** Retry-After in seconds; the form with a date is not used by the API server and reads as 0. */
function retryAfterSeconds(response: IncomingMessage): number {
  const text = response.headers["retry-after"] ?? "";
  return /^\d{1,6}$/.test(text) ? Number(text) : 0;
}

function isReset(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ECONNRESET" || code === "EPIPE";
}

function selectionParameters(selection: KubeSelection): URLSearchParams {
  const parameters = new URLSearchParams();
  if (selection.fieldSelector !== undefined) parameters.set("fieldSelector", selection.fieldSelector);
  if (selection.labelSelector !== undefined) parameters.set("labelSelector", selection.labelSelector);
  return parameters;
}

function watchParameters(query: KubeWatchQuery): URLSearchParams {
  const parameters = selectionParameters(query);
  parameters.set("watch", "true");
  parameters.set("allowWatchBookmarks", "true");
  parameters.set("resourceVersion", query.resourceVersion);
  parameters.set("timeoutSeconds", String(query.timeoutSeconds));
  return parameters;
}

/** The API's transformation of an answer, kubernetes.io "API concepts", "Metadata-only fetches". */
function acceptOf(selection: KubeSelection, as: "PartialObjectMetadata" | "PartialObjectMetadataList"): string {
  return selection.isMetadataOnly === true
    ? `application/json;as=${as};g=meta.k8s.io;v=v1,application/json`
    : "application/json";
}

function nameOf({ plural, namespace, name }: ResourceRef): string {
  return [plural, namespace, name].filter((part) => part !== undefined).join("/");
}

function retire(agent: HttpAgent): void {
  agent.maxFreeSockets = 0;
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
}
