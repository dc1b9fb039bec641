// What ztunnel makes of the agent's messages, as strict as the real one (ztunnel src/inpod/{protocol,statemanager,
// workloadmanager}.rs@1.30.3): which it acknowledges, after which it connects anew, after which it gives up. No sockets.
import {
  decodeRequest,
  MAX_REQUEST_BYTES,
  type WorkloadInfo,
  type WorkloadRequest,
} from "../../src/core/zds/messages.ts";
import { ZdsFormatError } from "../../src/core/zds/wire-format.ts";

/** One datagram with the namespaces that came with it. */
export interface Datagram<N> {
  readonly bytes: Uint8Array;
  readonly namespaces: readonly N[];
}

/** `error` is the answer's; afterwards ztunnel reads on, connects anew, or its manager ends for good. */
export interface Reaction {
  readonly request: WorkloadRequest | undefined;
  readonly error: string;
  readonly next: "read-on" | "connect-anew" | "end";
}

export interface Proxy<N> {
  readonly info: WorkloadInfo;
  readonly netns: N;
}

/** What outlives connections. Namespaces are handed over with the datagram; `release` gives them back. */
export interface ZtunnelState<N> {
  readonly proxies: ReadonlyMap<string, Proxy<N>>;
  /** Proxies that could not be started and are tried again. */
  readonly pending: ReadonlyMap<string, Proxy<N>>;
  /** Whether the real one would report ready. */
  isReady(): boolean;
  /** A new connection: its snapshot begins. */
  connected(): void;
  disconnected(): void;
  receive(datagram: Datagram<N>): Reaction;
  retryPending(): void;
}

export interface ZtunnelStateDeps<N> {
  /** Starts to serve; a text says why it cannot. */
  start(uid: string, proxy: Proxy<N>): string | undefined;
  stop(uid: string, proxy: Proxy<N>): void;
  isSame(a: N, b: N): boolean;
  release(netns: N): void;
}

export function createZtunnelState<N>(deps: ZtunnelStateDeps<N>): ZtunnelState<N> {
  const proxies = new Map<string, Proxy<N>>();
  const pending = new Map<string, Proxy<N>>();
  const snapshot = new Set<string>();
  let isSnapshotReceived = false;
  let isConnected = false;

  const forgetPending = (uid: string): void => {
    const proxy = pending.get(uid);
    if (proxy !== undefined && pending.delete(uid)) deps.release(proxy.netns);
  };
  const stop = (uid: string): void => {
    const proxy = proxies.get(uid);
    if (proxy === undefined) return;
    proxies.delete(uid);
    deps.stop(uid, proxy);
    deps.release(proxy.netns);
  };
  const start = (uid: string, proxy: Proxy<N>): string => {
    const existing = proxies.get(uid);
    if (existing !== undefined && deps.isSame(existing.netns, proxy.netns)) {
      forgetPending(uid);
      deps.release(proxy.netns);
      return "";
    }
    stop(uid);
    forgetPending(uid);
    const failure = deps.start(uid, proxy);
    (failure === undefined ? proxies : pending).set(uid, proxy);
    return failure === undefined ? "" : `failure to start proxy : ${failure}`;
  };

  /** Undefined: the protocol is broken. */
  const process = (request: WorkloadRequest, netns: N | undefined): string | undefined => {
    switch (request.kind) {
      case "add":
        if (request.info === undefined || netns === undefined) {
          if (netns !== undefined) deps.release(netns);
          return undefined;
        }
        if (!isSnapshotReceived) snapshot.add(request.uid);
        return start(request.uid, { info: request.info, netns });
      case "keep":
        if (isSnapshotReceived) return undefined;
        snapshot.add(request.uid);
        return "";
      case "del":
        forgetPending(request.uid);
        if (isSnapshotReceived) stop(request.uid);
        else snapshot.delete(request.uid);
        return "";
      case "snapshot-sent":
        if (isSnapshotReceived) return undefined;
        for (const uid of [...proxies.keys()]) if (!snapshot.has(uid)) stop(uid);
        snapshot.clear();
        isSnapshotReceived = true;
        return "";
    }
  };

  return {
    proxies,
    pending,
    isReady: () => isConnected && isSnapshotReceived && pending.size === 0,
    connected() {
      isConnected = true;
      isSnapshotReceived = false;
      snapshot.clear();
      for (const uid of [...pending.keys()]) forgetPending(uid);
    },
    disconnected: () => {
      isConnected = false;
    },
    receive({ bytes, namespaces }) {
      const read = readRequest(bytes, namespaces.length);
      if (typeof read === "string") {
        for (const netns of namespaces) deps.release(netns);
        return { request: undefined, error: `failure to read message : ${read}`, next: "connect-anew" };
      }
      const error = process(read, namespaces[0]);
      if (error !== undefined) return { request: read, error, next: "read-on" };
      return { request: read, error: `failure to process message : protocol error at "${read.kind}"`, next: "end" };
    },
    retryPending() {
      for (const [uid, proxy] of [...pending]) {
        if (deps.start(uid, proxy) !== undefined) continue;
        pending.delete(uid);
        proxies.set(uid, proxy);
      }
    },
  };
}

/** The request, or why it cannot be one. */
function readRequest(bytes: Uint8Array, namespaces: number): WorkloadRequest | string {
  if (namespaces > 1) return `Expected 1 FD, got ${namespaces}`;
  if (bytes.length > MAX_REQUEST_BYTES) return "received truncated message";
  try {
    const request = decodeRequest(bytes);
    if (request.kind === "add" && namespaces === 0) return "No control message";
    if (request.kind !== "add" && namespaces > 0) return "Unexpected control message";
    return request;
  } catch (error) {
    if (error instanceof ZdsFormatError) return error.message;
    throw error;
  }
}
