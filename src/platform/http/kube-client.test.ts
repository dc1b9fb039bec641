// Every way a request can go right or wrong, against a real TLS server in this process.
// Long because all cases share one server-and-client pair, and the table of what was tried is worth reading in one place.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer, type ServerOptions } from "node:https";
import { test } from "node:test";
import type { TLSSocket } from "node:tls";
import { type Certificates, createCertificates } from "../../../testbed/api-server/tls.ts";
import { codeOf } from "../../core/error-message.ts";
import { isNotFound, KubeApiError, type KubeApiErrorCode } from "../../core/kube/kube-api-error.ts";
import type { KubeCredentials, KubeIdentity } from "./credentials.ts";
import type { KubeWatchQuery } from "./kube-api.ts";
import { createKubeClient, type KubeClient, type KubeClientOptions } from "./kube-client.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const certificates: Certificates = await createCertificates(["127.0.0.1", "::1", "kubernetes.default.svc"]);
const never = new AbortController().signal;
const pods = { plural: "pods" } as const;
const pod = { plural: "pods", namespace: "shop", name: "web-0" } as const;
const page = { limit: 100, continueToken: "", resourceVersion: "0" };
const watching: KubeWatchQuery = { resourceVersion: "5", timeoutSeconds: 300, idleTimeoutMs: 60_000 };

type Setting = {
  readonly host?: string;
  readonly protocol?: "https:" | "http:";
  readonly identity?: Partial<KubeIdentity>;
  readonly server?: ServerOptions;
  readonly client?: Partial<KubeClientOptions>;
};

/** A server that answers by `handler`, and a client of it. */
async function createPair(handler: Handler, setting: Setting = {}) {
  const { host = "127.0.0.1", protocol = "https:" } = setting;
  const { caPem, certPem, keyPem } = certificates;
  const server =
    protocol === "http:"
      ? createHttpServer(handler)
      : createServer({ cert: certPem, key: keyPem, ...setting.server }, handler);
  server.listen(0, host);
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  let identity: KubeIdentity = { token: "t1", ca: caPem, isInsecure: false, ...setting.identity };
  let refreshes = 0;
  const credentials: KubeCredentials = {
    endpoint: { protocol, host, port: address.port, basePath: "" },
    read: () => identity,
    refresh: () => {
      refreshes += 1;
    },
  };
  const client = createKubeClient(credentials, { userAgent: "test/1", ...setting.client });
  return {
    server,
    client,
    setIdentity: (next: Partial<KubeIdentity>): void => {
      identity = { ...identity, ...next };
    },
    refreshes: (): number => refreshes,
    [Symbol.asyncDispose]: async () => {
      client.close();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

const answer = (response: ServerResponse, value: unknown, status = 200): void => {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(typeof value === "string" ? value : JSON.stringify(value));
};

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text;
}

async function rejectsWith(promise: Promise<unknown>, code: KubeApiErrorCode, message: RegExp): Promise<KubeApiError> {
  const error: unknown = await promise.then(
    () => assert.fail("it resolved"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof KubeApiError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  return error;
}

/** Reads a body to its end; its length. */
async function drain(chunks: Promise<AsyncIterable<Uint8Array>>): Promise<number> {
  let length = 0;
  for await (const chunk of await chunks) length += chunk.length;
  return length;
}

async function firstChunk(client: KubeClient): Promise<string> {
  for await (const chunk of await client.watch(pods, watching, never)) return new TextDecoder().decode(chunk);
  return "";
}

test("get() asks with token and user agent, and reads the object", async () => {
  const seen: unknown[] = [];
  await using pair = await createPair((request, response) => {
    const { authorization, accept } = request.headers;
    seen.push([request.method, request.url, authorization, accept, request.headers["user-agent"]]);
    answer(response, { kind: "Pod" });
  });
  assert.deepEqual(await pair.client.get(pod, never), { kind: "Pod" });
  assert.deepEqual(seen, [["GET", "/api/v1/namespaces/shop/pods/web-0", "Bearer t1", "application/json", "test/1"]]);
});

test("list() and watch() write their queries as the API spells them", async () => {
  const seen: (string | undefined)[] = [];
  await using pair = await createPair((request, response) => {
    seen.push(request.url, request.headers.accept);
    answer(response, "{}\n");
  });
  const selection = { fieldSelector: "spec.nodeName=n1", labelSelector: "a=b" };
  await drain(pair.client.list(pods, { ...selection, limit: 100, continueToken: "t+/=", resourceVersion: "" }, never));
  const namespaces = { plural: "namespaces" } as const;
  await drain(pair.client.list(namespaces, { ...page, isMetadataOnly: true }, never));
  await drain(pair.client.watch(namespaces, { ...watching, isMetadataOnly: true }, never));
  const metadata = "g=meta.k8s.io;v=v1,application/json";
  assert.deepEqual(seen, [
    "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&labelSelector=a%3Db&limit=100&continue=t%2B%2F%3D",
    "application/json",
    "/api/v1/namespaces?limit=100&resourceVersion=0",
    `application/json;as=PartialObjectMetadataList;${metadata}`,
    "/api/v1/namespaces?watch=true&allowWatchBookmarks=true&resourceVersion=5&timeoutSeconds=300",
    `application/json;as=PartialObjectMetadata;${metadata}`,
  ]);
});

test("patch(), create() and delete() send their bodies", async () => {
  const seen: unknown[] = [];
  await using pair = await createPair(async (request, response) => {
    seen.push([request.method, request.url, request.headers["content-type"], await bodyOf(request)]);
    answer(response, {});
  });
  await pair.client.patch({ ...pod, subresource: "status" }, { metadata: { annotations: { é: null } } }, never);
  await pair.client.create({ plural: "events", namespace: "shop" }, { kind: "Event" }, never);
  await pair.client.delete(pod, { uid: "u1" }, never);
  await pair.client.delete(pod, { propagation: "Foreground" }, never);
  const path = "/api/v1/namespaces/shop/pods/web-0";
  assert.deepEqual(seen, [
    ["PATCH", `${path}/status`, "application/merge-patch+json", '{"metadata":{"annotations":{"é":null}}}'],
    ["POST", "/api/v1/namespaces/shop/events", "application/json", '{"kind":"Event"}'],
    ["DELETE", path, "application/json", '{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"u1"}}'],
    [
      "DELETE",
      path,
      "application/json",
      '{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{},"propagationPolicy":"Foreground"}',
    ],
  ]);
});

test("requests share a connection, and a new token needs no new one", async () => {
  const tokens: (string | undefined)[] = [];
  let connections = 0;
  await using pair = await createPair((request, response) => {
    tokens.push(request.headers.authorization);
    answer(response, {});
  });
  pair.server.on("secureConnection", () => {
    connections += 1;
  });
  await pair.client.get(pod, never);
  pair.setIdentity({ token: "t2" });
  await pair.client.get(pod, never);
  assert.deepEqual([tokens, connections], [["Bearer t1", "Bearer t2"], 1]);
});

test("a new CA is used from the next request on", async () => {
  const other = await createCertificates(["127.0.0.1", "other"]);
  await using pair = await createPair((_request, response) => answer(response, {}), { identity: { ca: other.caPem } });
  await rejectsWith(pair.client.get(pod, never), "KUBE_API_TRANSPORT", /certificate/);
  pair.setIdentity({ ca: certificates.caPem });
  assert.deepEqual(await pair.client.get(pod, never), {});
});

test("an IPv6 address is reached and verified", async () => {
  await using pair = await createPair((_request, response) => answer(response, {}), { host: "::1" });
  assert.deepEqual(await pair.client.get(pod, never), {});
});

test("a certificate for another host is refused, unless the name to expect is configured", async () => {
  const foreign = await createCertificates(["api.elsewhere"]);
  const { certPem: cert, keyPem: key, caPem: ca } = foreign;
  await using pair = await createPair((_request, response) => answer(response, {}), {
    server: { cert, key },
    identity: { ca },
  });
  await rejectsWith(pair.client.get(pod, never), "KUBE_API_TRANSPORT", /IP: 127.0.0.1 is not in the cert's list/);
  const askedFor = (request: IncomingMessage): unknown => (request.socket as TLSSocket).servername;
  await using named = await createPair((request, response) => answer(response, { askedFor: askedFor(request) }), {
    server: { cert, key },
    identity: { ca, tlsServerName: "api.elsewhere" },
  });
  assert.deepEqual(await named.client.get(pod, never), { askedFor: "api.elsewhere" });
  await using insecure = await createPair((_request, response) => answer(response, {}), {
    server: { cert, key },
    identity: { isInsecure: true },
  });
  assert.deepEqual(await insecure.client.get(pod, never), {});
});

test("a client certificate is shown to a server that asks for one", async () => {
  const { caPem: ca, certPem: cert, keyPem: key } = certificates;
  const subjects: unknown[] = [];
  await using pair = await createPair(
    (request, response) => {
      subjects.push((request.socket as TLSSocket).getPeerCertificate().subject?.CN);
      answer(response, {});
    },
    { server: { requestCert: true, rejectUnauthorized: false, ca }, identity: { cert, key } },
  );
  await pair.client.get(pod, never);
  assert.deepEqual(subjects, ["kube-apiserver"]);
});

test("plain HTTP is spoken where the endpoint says so", async () => {
  await using pair = await createPair((_request, response) => answer(response, { a: 1 }), { protocol: "http:" });
  assert.deepEqual(await pair.client.get(pod, never), { a: 1 });
});

test("an answer that is no success is an error with status, reason and waiting time", async () => {
  await using pair = await createPair((request, response) => {
    if (request.method === "GET") answer(response, { kind: "Status", reason: "NotFound", message: "no such pod" }, 404);
    else {
      response.setHeader("retry-after", "7");
      answer(response, "<html>busy", 429);
    }
  });
  const missing = await rejectsWith(
    pair.client.get(pod, never),
    "KUBE_API_STATUS",
    /^Cannot get pods\/shop\/web-0: the API answered 404, no such pod$/,
  );
  assert.ok(isNotFound(missing));
  const busy = await rejectsWith(pair.client.patch(pod, {}, never), "KUBE_API_STATUS", /answered 429, "<html>busy"/);
  assert.equal(busy.retryAfterMs, 7000);
});

test("a redirection is not followed, as the token belongs to one server", async () => {
  let requests = 0;
  await using pair = await createPair((_request, response) => {
    requests += 1;
    response.writeHead(302, { location: "/elsewhere" }).end();
  });
  await rejectsWith(pair.client.get(pod, never), "KUBE_API_STATUS", /answered 302/);
  assert.equal(requests, 1);
});

test("an answer that is not JSON is garbage", async () => {
  await using pair = await createPair((_request, response) => answer(response, "<html>hello"));
  await rejectsWith(pair.client.get(pod, never), "KUBE_API_GARBAGE", /^Cannot get .* begins with "<html>hello"$/);
});

test("an answer above the bound is refused while it arrives", async () => {
  await using pair = await createPair(
    (_request, response) => {
      response.on("error", () => undefined);
      const more = (): void => {
        while (!response.destroyed && response.write("x".repeat(1000)));
        response.once("drain", more);
      };
      more();
    },
    { client: { maxAnswerBytes: 10_000, maxListBytes: 20_000 } },
  );
  await rejectsWith(pair.client.get(pod, never), "KUBE_API_TOO_LARGE", /larger than 10000 bytes/);
  await rejectsWith(drain(pair.client.list(pods, page, never)), "KUBE_API_TOO_LARGE", /larger than 20000 bytes/);
});

test("an endless error page is cut, not refused", async () => {
  await using pair = await createPair((_request, response) => {
    response.writeHead(500);
    const more = (): void => {
      while (!response.destroyed && response.write("x".repeat(10_000)));
      response.once("drain", more);
    };
    more();
  });
  await rejectsWith(pair.client.get(pod, never), "KUBE_API_STATUS", /answered 500, "xxx/);
});

test("the deadline ends a request without answer, and one whose body does not end", async () => {
  const client = { deadlineMs: 50 };
  await using silent = await createPair(() => undefined, { client });
  await rejectsWith(silent.client.get(pod, never), "KUBE_API_TIMEOUT", /no complete answer within 50 ms/);
  await using slow = await createPair((_request, response) => void response.write("{"), { client });
  await rejectsWith(slow.client.get(pod, never), "KUBE_API_TIMEOUT", /no complete answer/);
  await rejectsWith(drain(slow.client.list(pods, page, never)), "KUBE_API_TIMEOUT", /no complete answer/);
  await rejectsWith(silent.client.watch(pods, watching, never), "KUBE_API_TIMEOUT", /no complete answer/);
});

test("the signal ends a request with its own reason, before, during and after the headers", async () => {
  const reason = new Error("enough");
  await using silent = await createPair(() => undefined);
  await assert.rejects(silent.client.get(pod, AbortSignal.abort(reason)), reason);
  const abort = new AbortController();
  silent.server.once("request", () => abort.abort(reason));
  await assert.rejects(silent.client.get(pod, abort.signal), reason);

  await using streaming = await createPair((_request, response) => void response.write("{}\n"));
  const ending = new AbortController();
  const read = async (): Promise<void> => {
    for await (const _ of await streaming.client.watch(pods, watching, ending.signal)) ending.abort(reason);
  };
  await assert.rejects(read(), reason);
});

test("a lost connection is a failure of transport", async () => {
  await using reset = await createPair((request) => request.socket.destroy());
  await rejectsWith(reset.client.get(pod, never), "KUBE_API_TRANSPORT", /^Cannot get pods\/shop\/web-0: /);
  await using half = await createPair((_request, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write("{", () => response.destroy());
  });
  await rejectsWith(half.client.get(pod, never), "KUBE_API_TRANSPORT", /aborted|hang up|ECONNRESET/);
});

test("a server that switches protocols instead of answering is a failure of transport, at once", async () => {
  const switching: Handler = ({ socket }) =>
    void socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
  await using pair = await createPair(switching, { protocol: "http:" });
  await rejectsWith(pair.client.get(pod, never), "KUBE_API_TRANSPORT", /ended before an answer$/);
  await rejectsWith(drain(pair.client.watch(pods, watching, never)), "KUBE_API_TRANSPORT", /ended before an answer$/);
});

test("an identity that nobody can connect with is a failure of transport", async () => {
  await using pair = await createPair(() => undefined, { identity: { cert: "no PEM", key: "no PEM" } });
  await rejectsWith(pair.client.get(pod, never), "KUBE_API_TRANSPORT", /^Cannot get pods\/shop\/web-0: .*PEM/);
});

test("a server that is not there is a failure of transport", async () => {
  const pair = await createPair(() => undefined);
  await pair[Symbol.asyncDispose]();
  const credentials: KubeCredentials = {
    endpoint: { protocol: "https:", host: "127.0.0.1", port: 1, basePath: "" },
    read: () => ({ isInsecure: false }),
    refresh: () => undefined,
  };
  const client = createKubeClient(credentials, { userAgent: "test/1" });
  await rejectsWith(client.get(pod, never), "KUBE_API_TRANSPORT", /ECONNREFUSED/);
  client.close();
});

test("a GET that meets a connection the server has just closed is asked again", async () => {
  let requests = 0;
  await using pair = await createPair((request, response) => {
    requests += 1;
    if (requests === 2) request.socket.destroy();
    else answer(response, { requests });
  });
  await pair.client.get(pod, never);
  assert.deepEqual(await pair.client.get(pod, never), { requests: 3 });
});

test("a PATCH on such a connection is not, as it may have been carried out", async () => {
  let requests = 0;
  await using pair = await createPair((request, response) => {
    requests += 1;
    if (requests === 2) request.socket.destroy();
    else answer(response, {});
  });
  await pair.client.get(pod, never);
  await rejectsWith(pair.client.patch(pod, {}, never), "KUBE_API_TRANSPORT", /./);
  assert.equal(requests, 2);
});

test("watch() gives the body as it arrives and closes the connection when the loop is left", async () => {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  await using pair = await createPair((_request, response) => {
    response.on("close", resolve);
    response.write('{"type":"BOOKMARK"}\n');
  });
  assert.equal(await firstChunk(pair.client), '{"type":"BOOKMARK"}\n');
  await closed;
});

test("watch() ends with the body, and fails when the connection is cut", async () => {
  await using pair = await createPair((_request, response) => answer(response, "{}\n"));
  const chunks: number[] = [];
  for await (const chunk of await pair.client.watch(pods, watching, never)) chunks.push(chunk.length);
  assert.deepEqual(chunks, [3]);

  await using cut = await createPair((_request, response) => void response.write("{}\n", () => response.destroy()));
  const read = async (): Promise<void> => {
    await drain(cut.client.watch(pods, watching, never));
  };
  await rejectsWith(read(), "KUBE_API_TRANSPORT", /Cannot watch pods/);
});

test("watch() says what became of its connection", async () => {
  const handler: Handler = (request, response) => {
    response.write("{}\n", () => setImmediate(() => request.socket.resetAndDestroy()));
  };
  await using pair = await createPair(handler, { protocol: "http:" });
  const read = async (): Promise<void> => {
    await drain(pair.client.watch(pods, watching, never));
  };
  const { cause } = await rejectsWith(read(), "KUBE_API_TRANSPORT", /^Cannot watch pods: read ECONNRESET$/);
  assert.equal(codeOf(cause), "ECONNRESET");
});

test("watch() fails when nothing arrives for too long, counted anew with every chunk", async () => {
  await using pair = await createPair((_request, response) => void response.write("{}\n"));
  let chunks = 0;
  const read = async (): Promise<void> => {
    for await (const _ of await pair.client.watch(pods, { ...watching, idleTimeoutMs: 50 }, never)) chunks += 1;
  };
  await rejectsWith(read(), "KUBE_API_TIMEOUT", /nothing arrived for 50 ms/);
  assert.equal(chunks, 1);
});

test("watch() rejects when the server does not accept it", async () => {
  await using pair = await createPair((_request, response) => {
    answer(response, { kind: "Status", code: 410, reason: "Expired", message: "too old" }, 410);
  });
  const error = await rejectsWith(pair.client.watch(pods, watching, never), "KUBE_API_STATUS", /answered 410, too old/);
  assert.equal(error.reason, "Expired");
});

test("close() ends what is under way", async () => {
  await using pair = await createPair((_request, response) => void response.write("{"));
  const { promise: arrived, resolve } = Promise.withResolvers<void>();
  pair.server.once("request", () => resolve());
  const get = rejectsWith(pair.client.get(pod, never), "KUBE_API_TRANSPORT", /was closed/);
  await arrived;
  pair.client.close();
  await get;
});

test("refreshCredentials() is handed on", async () => {
  await using pair = await createPair(() => undefined);
  pair.client.refreshCredentials();
  assert.equal(pair.refreshes(), 1);
});

test("no listener is left on the caller's signal", async () => {
  await using pair = await createPair((_request, response) => answer(response, "{}\n"));
  const signal = new AbortController().signal;
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...parameters: Parameters<typeof add>): void => {
    listeners += 1;
    add(...parameters);
  };
  signal.removeEventListener = (...parameters: Parameters<typeof remove>): void => {
    listeners -= 1;
    remove(...parameters);
  };
  await pair.client.get(pod, signal);
  await drain(pair.client.list(pods, page, signal));
  await drain(pair.client.watch(pods, watching, signal));
  assert.equal(listeners, 0);
});
