// A ztunnel within the test's process: it connects to the agent's socket and answers as the real one does (ztunnel-state.ts),
// unless it was told to misbehave. It proxies nothing; ztunnel.c does.
import { isSameNetns } from "../../src/core/netns/netns-id.ts";
import {
  decodeRequest,
  encodeHello,
  encodeResponse,
  MAX_REQUEST_BYTES,
  type WorkloadRequest,
} from "../../src/core/zds/messages.ts";
import { ErrnoError } from "../../src/platform/linux/errno-error.ts";
import { adoptNetns, type NetnsHandle } from "../../src/platform/linux/netns.ts";
import type { Poller, Watch } from "../../src/platform/linux/poller.ts";
import { SOCK_SEQPACKET } from "../../src/platform/linux/socket-numbers.ts";
import { connectUnix, type UnixConnection } from "../../src/platform/linux/unix-socket.ts";
import { createZtunnelState, type ZtunnelState } from "./ztunnel-state.ts";

/** What to do instead of answering: nothing at all ("ignore", and "hold" until `release`), hang up before or after the
 * message is taken in, or send bytes that are no answer. */
export type Fault =
  | "ignore"
  | "hold"
  | "die-before"
  | "die-after"
  | { readonly bytes: Uint8Array; readonly descriptors?: readonly number[] };

export interface StandInOptions {
  readonly path: string;
  readonly poller: Poller;
  /** The first bytes; the hello of version 1 unless told. Undefined: none. */
  readonly hello?: Uint8Array | undefined;
  /** Never reads, whatever comes. */
  readonly isDeaf?: boolean;
  /** Asked for every request, in order; undefined: as the real one. */
  fault?(request: WorkloadRequest | undefined, index: number): Fault | undefined;
  /** Connect again after a connection ends, as the real one. Default true. */
  readonly isPersistent?: boolean;
}

export interface ZtunnelStandIn extends Disposable {
  readonly state: ZtunnelState<NetnsHandle>;
  /** Every request on every connection, as "add UID", "keep UID", "del UID", "snapshot-sent", "?", in order. */
  readonly requests: readonly string[];
  /** Pods whose proxy does not start. */
  readonly failing: Set<string>;
  isConnected(): boolean;
  /** Its manager has ended for good: the agent broke the protocol. */
  hasGivenUp(): boolean;
  /** Sends what is held. */
  release(): void;
  send(bytes: Uint8Array, descriptors?: readonly number[]): void;
  hangUp(): void;
}

/** workloadmanager.rs: 10 ms, doubled before it is waited for, to 15 s. */
const BACKOFF_FIRST_MS = 10;
const BACKOFF_MAX_MS = 15_000;
const EMSGSIZE = 90;

export function startZtunnelStandIn(options: StandInOptions): ZtunnelStandIn {
  const requests: string[] = [];
  const failing = new Set<string>();
  const held: Uint8Array[] = [];
  let connection: UnixConnection | undefined;
  let watch: Watch | undefined;
  let timer: NodeJS.Timeout | undefined;
  let backoffMs = BACKOFF_FIRST_MS;
  let isOver = false;
  const state = createZtunnelState<NetnsHandle>({
    start: (uid) => (failing.has(uid) ? "Address in use" : undefined),
    stop() {},
    isSame: isSameNetns,
    release: (netns) => netns[Symbol.dispose](),
  });
  connect();

  function connect(): void {
    if (isOver || connection !== undefined) return;
    try {
      connection = connectUnix(options.path, SOCK_SEQPACKET);
    } catch (error) {
      if (!(error instanceof ErrnoError)) throw error;
      backoffMs = Math.min(BACKOFF_MAX_MS, backoffMs * 2);
      timer = setTimeout(connect, backoffMs);
      return;
    }
    backoffMs = BACKOFF_FIRST_MS;
    held.length = 0;
    state.connected();
    if (options.isDeaf !== true)
      watch = options.poller.watch(connection.fd, { readable: true, writable: false }, readOne);
    const hello = "hello" in options ? options.hello : encodeHello(1);
    if (hello !== undefined) send(hello);
  }

  function readOne(): void {
    if (connection === undefined) return;
    const buffer = new Uint8Array(MAX_REQUEST_BYTES);
    let bytes: Uint8Array;
    let namespaces: NetnsHandle[] = [];
    try {
      const received = connection.receive(buffer);
      if (received === undefined) return;
      namespaces = received.descriptors.map(adoptNetns);
      bytes = buffer.subarray(0, received.length);
      if (received.length === 0) {
        hangUp();
        return;
      }
    } catch (error) {
      if (!(error instanceof ErrnoError)) throw error;
      // Cut: told to the state as what does not fit.
      bytes = new Uint8Array(MAX_REQUEST_BYTES + 1);
      if (error.errno !== EMSGSIZE) {
        hangUp();
        return;
      }
    }
    take(bytes, namespaces);
  }

  function take(bytes: Uint8Array, namespaces: NetnsHandle[]): void {
    const request = requestIn(bytes);
    requests.push(request === undefined ? "?" : "uid" in request ? `${request.kind} ${request.uid}` : request.kind);
    const fault = options.fault?.(request, requests.length - 1);
    if (fault === "die-before") {
      for (const netns of namespaces) netns[Symbol.dispose]();
      hangUp();
      return;
    }
    const reaction = state.receive({ bytes, namespaces });
    if (fault === "die-after") {
      hangUp();
      return;
    }
    const answer = encodeResponse(reaction);
    if (fault === "hold") held.push(answer);
    else if (fault === undefined) send(answer);
    else if (fault !== "ignore") send(fault.bytes, fault.descriptors);
    if (reaction.next === "end") isOver = true;
    if (reaction.next !== "read-on") hangUp();
  }

  function send(bytes: Uint8Array, descriptors: readonly number[] = []): void {
    try {
      connection?.send(bytes, descriptors);
    } catch (error) {
      if (!(error instanceof ErrnoError)) throw error;
    }
  }

  function hangUp(): void {
    watch?.[Symbol.dispose]();
    watch = undefined;
    connection?.close();
    connection = undefined;
    state.disconnected();
    if (options.isPersistent === false) isOver = true;
    if (!isOver) timer = setTimeout(connect, 0);
  }

  return {
    state,
    requests,
    failing,
    isConnected: () => connection !== undefined,
    hasGivenUp: () => isOver && options.isPersistent !== false,
    release() {
      for (const answer of held.splice(0)) send(answer);
    },
    send,
    hangUp,
    [Symbol.dispose]() {
      isOver = true;
      clearTimeout(timer);
      hangUp();
      for (const { netns } of [...state.proxies.values(), ...state.pending.values()]) netns[Symbol.dispose]();
    },
  };
}

function requestIn(bytes: Uint8Array): WorkloadRequest | undefined {
  try {
    return decodeRequest(bytes);
  } catch {
    return undefined;
  }
}
