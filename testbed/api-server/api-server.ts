// An embedded stand-in for kube-apiserver: HTTPS, tokens, list/watch and writes for the few kinds we use, and faults on
// demand. Responsible for the server's life (start, stop, freeze, sockets) and for the handle tests hold; what is
// answered is in answer.ts. It shares no code with src/core/kube: a reader must not be tested against its own mirror.

import { createServer as createHttpsServer } from "node:https";
import { createServer as createTcpServer, isIPv6, type Server, type Socket } from "node:net";
import { fillIn } from "./admission.ts";
import { statusForCode } from "./api-error.ts";
import { createCredentials, renderKubeconfig, type User, writeServiceAccountFiles } from "./credentials.ts";
import { createFaults, type Fault, type FaultAction, type FaultMatch } from "./faults.ts";
import { createGate } from "./gate.ts";
import { isJsonObject, type JsonObject, type KubeObject, readPath } from "./kube-object.ts";
import { createRequestLog, type LoggedRequest } from "./request-log.ts";
import { resourceOfObject, type StorageName } from "./resources.ts";
import { createServe } from "./serve.ts";
import { createStore } from "./store.ts";
import { createCertificates } from "./tls.ts";
import { createWatches } from "./watch.ts";
import { createWrites, mergeInto, putTrusted } from "./writes.ts";

/** How the stand-in is to behave; all of it has defaults. */
export interface ApiServerOptions {
  /** Address to listen on; 127.0.0.1. */
  readonly host?: string;
  /** Further names and addresses the certificate is to be valid for, besides `host` and the usual ones. */
  readonly certificateNames?: readonly string[];
  /** 0, the default: one the system picks, kept over stop() and start(). */
  readonly port?: number;
  /** Allows sendInitialEvents on watches, as Kubernetes does from 1.34; false refuses it as older ones do. */
  readonly watchList?: boolean;
  /** Pods on a node linger with a deletionTimestamp until deleted with grace period 0; false: they are gone at once. */
  readonly gracefulPods?: boolean;
  /** How often bookmarks come by themselves; 60,000. */
  readonly bookmarkIntervalMs?: number;
  /** How many writes are kept for watches that start at an earlier version; 10,000. */
  readonly historyLimit?: number;
}

/** A running stand-in. Keys are `namespace/name`, or `name` for namespaces and nodes. */
export interface ApiServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** `https://127.0.0.1:PORT` */
  readonly url: string;
  readonly caPem: string;
  /** A token that is valid from the start. */
  readonly token: string;
  issueToken(user?: User): string;
  revokeToken(token: string): void;
  /** A new token in every service-account folder written; the old one stays valid until revoked. Returns the new one. */
  rotateToken(): Promise<string>;
  /** Writes token, ca.crt and namespace as the kubelet projects them. */
  writeServiceAccount(dir: string, namespace?: string): Promise<void>;
  kubeconfig(): string;

  /** Creates or replaces an object as somebody inside the cluster (no checks; uid and times are filled in). */
  put(object: JsonObject): KubeObject;
  /** Lays a merge patch over an object, status included. Throws when there is none. */
  patch(storage: StorageName, key: string, patch: JsonObject): KubeObject;
  /** Removes an object; false when there was none. */
  remove(storage: StorageName, key: string): boolean;
  get(storage: StorageName, key: string): KubeObject | undefined;
  list(storage: StorageName): readonly KubeObject[];

  /** Every request so far, oldest first, those matching `filter`. */
  requests(filter?: Partial<LoggedRequest>): readonly LoggedRequest[];
  clearRequests(): void;
  /** Resolves as soon as the condition holds (looked at whenever the server did something). */
  waitFor(condition: (server: ApiServer) => boolean, what: string, timeoutMs?: number): Promise<void>;
  /** Open watches, of one resource or of all. */
  watches(plural?: string): number;

  /** Makes every version handed out so far too old: 410 for continue tokens and for watches that start there. */
  compact(): void;
  bookmark(): void;
  /** Ends all watches: cleanly, by TCP reset, or with an in-stream ERROR 410. */
  closeWatches(how: "end" | "reset" | "expired"): void;
  fault(match: FaultMatch, action: FaultAction, count?: number): Fault;
  clearFaults(): void;
  /** Stops to read and to write; connections are accepted by the kernel only. */
  freeze(): void;
  thaw(): void;
  /** Cuts every connection and stops listening; objects stay. Idempotent. */
  stop(): Promise<void>;
  /** Listens again on the same port. */
  start(): Promise<void>;
}

/** Starts a stand-in with the four namespaces every cluster has. Throws when openssl or the port is not to be had. */
export async function createApiServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  const host = options.host ?? "127.0.0.1";
  const names = new Set([
    "localhost",
    "kubernetes.default.svc",
    "127.0.0.1",
    "::1",
    host,
    ...(options.certificateNames ?? []),
  ]);
  const { caPem, certPem, keyPem } = await createCertificates(
    [...names].filter((name) => name !== "0.0.0.0" && name !== "::"),
  );
  const store = createStore({ historyLimit: options.historyLimit ?? 10_000, firstRevision: 100 });
  const watches = createWatches(store, { bookmarkIntervalMs: options.bookmarkIntervalMs ?? 60_000 });
  const writes = createWrites(store, { gracefulPods: options.gracefulPods ?? false });
  const credentials = createCredentials();
  const faults = createFaults();
  const log = createRequestLog();
  const gate = createGate();
  const accounts = new Map<string, string>();
  const rawSockets = new Map<string, Socket>();
  let token = credentials.issue();
  let port = options.port ?? 0;
  let listener: Server | undefined;

  const serve = createServe({
    ...{ store, writes, watches, credentials, faults, log, gate },
    watchList: options.watchList ?? true,
    address: () => `${host}:${port}`,
    reset: (socket) => void rawSockets.get(nameOf(socket))?.resetAndDestroy(),
  });
  const https = createHttpsServer({ key: keyPem, cert: certPem, minVersion: "TLSv1.2" }, serve);
  // As kube-apiserver's IdleTimeout: Node's five seconds would race with clients that keep connections.
  https.keepAliveTimeout = 90_000;
  https.on("tlsClientError", (_error, socket) => socket.destroy());

  // A plain TCP listener in front keeps hold of the raw sockets: to reset them, and to leave them unread when frozen.
  const accept = (socket: Socket): void => {
    const name = nameOf(socket);
    rawSockets.set(name, socket);
    socket.once("close", () => rawSockets.delete(name));
    socket.on("error", () => socket.destroy());
    gate.pass(() => {
      if (!socket.destroyed) https.emit("connection", socket);
    });
  };

  const server: ApiServer = {
    host,
    get port() {
      return port;
    },
    get url() {
      return `https://${isIPv6(host) ? `[${host}]` : host}:${port}`;
    },
    caPem,
    get token() {
      return token;
    },
    issueToken: (user) => credentials.issue(user),
    revokeToken: (revoked) => credentials.revoke(revoked),
    async rotateToken() {
      token = credentials.issue();
      for (const [dir, namespace] of accounts)
        await writeServiceAccountFiles(dir, { token, "ca.crt": caPem, namespace });
      return token;
    },
    async writeServiceAccount(dir, namespace = "istio-system") {
      accounts.set(dir, namespace);
      await writeServiceAccountFiles(dir, { token, "ca.crt": caPem, namespace });
    },
    kubeconfig: () => renderKubeconfig(server.url, caPem, token),

    put: (object) => putTrusted(store, mustKnow(object), asKubeObject(object)),
    patch(storage, key, patch) {
      const stored = store.get(storage, key);
      if (stored === undefined) throw new Error(`Cannot patch ${storage} ${key}: there is none`);
      return store.put(storage, fillIn(mergeInto(stored, patch), stored));
    },
    remove: (storage, key) => store.remove(storage, key) !== undefined,
    get: (storage, key) => store.get(storage, key),
    list: (storage) => store.list(storage),

    requests: (filter = {}) =>
      log
        .all()
        .filter((request) =>
          Object.entries(filter).every(([name, value]) =>
            Object.entries(request).some(([n, v]) => n === name && v === value),
          ),
        ),
    clearRequests: () => log.clear(),
    waitFor: (condition, what, timeoutMs = 60_000) => log.waitFor(() => condition(server), what, timeoutMs),
    watches: (plural) => watches.count(plural),

    compact: () => store.compact(),
    bookmark: () => watches.bookmark(),
    closeWatches: (how) => watches.closeAll(how === "expired" ? statusForCode(410) : how),
    fault: (match, action, count) => faults.add(match, action, count),
    clearFaults: () => faults.clear(),
    freeze: () => gate.close(),
    thaw: () => gate.open(),

    async stop() {
      const closing = listener;
      listener = undefined;
      for (const socket of rawSockets.values()) socket.destroy();
      gate.open();
      if (closing !== undefined) await new Promise<void>((resolve) => closing.close(() => resolve()));
    },
    async start() {
      if (listener !== undefined) return;
      const starting = createTcpServer({ pauseOnConnect: true }, accept);
      await new Promise<void>((resolve, reject) => {
        starting.once("error", (cause) =>
          reject(new Error(`Cannot listen on ${host}:${port}: ${cause.message}`, { cause })),
        );
        starting.listen(port, host, resolve);
      });
      const bound = starting.address();
      if (typeof bound === "object" && bound !== null) port = bound.port;
      listener = starting;
    },
    [Symbol.asyncDispose]: () => server.stop(),
  };

  for (const name of ["default", "kube-node-lease", "kube-public", "kube-system"]) {
    server.put({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
  }
  await server.start();
  return server;
}

function mustKnow(object: JsonObject): { readonly resource: NonNullable<ReturnType<typeof resourceOfObject>> } {
  const resource = resourceOfObject(asKubeObject(object));
  if (resource !== undefined) return { resource };
  throw new Error(
    `Cannot put a ${String(object["kind"])} of ${String(object["apiVersion"])}: the stand-in has no such resource`,
  );
}

function asKubeObject(object: JsonObject): KubeObject {
  const { apiVersion, kind, metadata } = object;
  const name = readPath(metadata, "name");
  if (
    typeof apiVersion === "string" &&
    typeof kind === "string" &&
    isJsonObject(metadata) &&
    typeof name === "string"
  ) {
    return { ...object, apiVersion, kind, metadata: { ...metadata, name } };
  }
  throw new Error("Cannot put this object: it needs apiVersion, kind and metadata.name");
}

const nameOf = (socket: { remoteAddress?: string | undefined; remotePort?: number | undefined }): string =>
  `${socket.remoteAddress}:${socket.remotePort}`;
