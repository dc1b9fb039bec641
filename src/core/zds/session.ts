// One connection of one ztunnel as a machine: hello, snapshot, then changes, one message in flight at a time. Level-triggered:
// what is wanted of the connection is compared with what it acknowledged, so nothing that changes meanwhile is lost.
// It holds no sockets, no namespaces and no clock. Protocol: ztunnel src/inpod/{protocol,statemanager}.rs@1.30.3.
import { cutText } from "../short-text.ts";
import { decodeHello, decodeResponse, type WorkloadResponse, ZDS_VERSION } from "./messages.ts";
import {
  type Has,
  type Item,
  isSettled,
  itemOf,
  nextMessage,
  nextRetryMs,
  retryDelayMs,
  type SessionMessage,
  type Want,
  wanting,
} from "./session-items.ts";
import { ZdsFormatError } from "./wire-format.ts";

export interface SessionLimits {
  /** From the connection to ztunnel's hello. */
  readonly helloTimeoutMs: number;
  /** From a message to its answer. */
  readonly ackTimeoutMs: number;
}

/** "greeting": nothing but the hello is expected. "snapshot": everything wanted is told, then the end of the snapshot.
 * "live": changes are told. "closed": whatever still comes is ignored. */
export type SessionPhase = "greeting" | "snapshot" | "live" | "closed";

export interface Session {
  readonly phase: SessionPhase;
  readonly limits: SessionLimits;
  /** What is wanted is complete; until then a snapshot would make ztunnel stop pods that we have yet to learn of. */
  readonly isAdmitted: boolean;
  /** Whether this is the connection that gets new workloads. Matters once it is live. */
  readonly isPrimary: boolean;
  readonly items: ReadonlyMap<string, Item>;
  /** Those of them of which something may have to be said, in the order in which that came up: on a full node all but a few
   * are served and stay so. */
  readonly open: ReadonlyMap<string, Item>;
  readonly inFlight: SessionMessage | undefined;
  /** Of the hello, or of the answer to what is in flight. */
  readonly deadlineMs: number;
}

export type SessionEvent =
  | { readonly type: "received"; readonly bytes: Uint8Array; readonly descriptors: number }
  /** Time has passed: deadlines, and what is to be tried again. */
  | { readonly type: "tick" }
  /** The workload is wanted, newly or with another namespace. */
  | { readonly type: "want"; readonly uid: string; readonly want: Want }
  /** The workload is not wanted; the connection is told in any case, as ztunnel may know more than we do. */
  | { readonly type: "unwant"; readonly uid: string }
  | { readonly type: "admit" }
  | { readonly type: "primary"; readonly isPrimary: boolean };

/** Why the agent gives a connection up; ztunnel connects again and gets a new snapshot. */
export type CloseReason =
  | "hello-timeout"
  /** A late answer would be taken for the next message's, so the connection is not used further. */
  | "ack-timeout"
  | "unreadable"
  | "no-version"
  | "unexpected-message"
  | "unexpected-descriptor"
  /** ztunnel refuses what it has no reason to refuse: the end of the snapshot, a keep, a delete. */
  | "out-of-step";

export type SessionEffect =
  | { readonly type: "send"; readonly message: SessionMessage }
  | { readonly type: "close"; readonly reason: CloseReason; readonly detail: string }
  | { readonly type: "greeted"; readonly version: number }
  | { readonly type: "acknowledged"; readonly uid: string; readonly generation: number }
  /** ztunnel could not start its proxy. It goes on trying by itself and does not tell when it succeeds, so the add is sent
   * again after a while as long as the workload is wanted. */
  | { readonly type: "refused"; readonly uid: string; readonly generation: number; readonly error: string }
  /** The snapshot is acknowledged: from now on the connection is live. */
  | { readonly type: "synced" };

interface Step {
  readonly state: Session;
  readonly effects: readonly SessionEffect[];
}

/** A connection that was just taken. `wants` are read once, in their order. */
export function startSession(
  wants: Iterable<readonly [string, Want]>,
  options: SessionLimits & { readonly isAdmitted: boolean },
  nowMs: number,
): Session {
  const { isAdmitted, ...limits } = options;
  const items = new Map([...wants].map(([uid, want]) => [uid, itemOf(want)]));
  return {
    phase: "greeting",
    limits,
    isAdmitted,
    isPrimary: false,
    items,
    // Nothing was said of any yet.
    open: items,
    inFlight: undefined,
    deadlineMs: nowMs + limits.helloTimeoutMs,
  };
}

/** Total: every event may come in every state. Effects are to be carried out in their order, after the state is taken. */
export function stepSession(state: Session, event: SessionEvent, nowMs: number): Step {
  if (state.phase === "closed") return { state, effects: [] };
  switch (event.type) {
    case "received":
      return received(state, event, nowMs);
    case "tick":
      if (nowMs < state.deadlineMs) return goOn(state, [], nowMs);
      return state.phase === "greeting"
        ? close(state, "hello-timeout", "it did not say hello")
        : close(state, "ack-timeout", `it did not answer to ${describe(state.inFlight)}`);
    case "want":
      return goOn(withItem(state, event.uid, wanting(state.items.get(event.uid), event.want)), [], nowMs);
    case "unwant":
      return goOn(withItem(state, event.uid, unwanted(state, event.uid)), [], nowMs);
    case "admit":
      return goOn({ ...state, isAdmitted: true }, [], nowMs);
    case "primary":
      return goOn({ ...state, isPrimary: event.isPrimary }, [], nowMs);
  }
}

/** When the machine wants a tick; Infinity when nothing but events moves it. */
export function sessionDueMs(state: Session): number {
  if (state.phase === "closed") return Number.POSITIVE_INFINITY;
  if (state.deadlineMs !== Number.POSITIVE_INFINITY) return state.deadlineMs;
  return state.phase === "live" && state.isPrimary ? nextRetryMs(state.open) : Number.POSITIVE_INFINITY;
}

/** Whether this connection served `generation` of the workload when it last spoke of it. */
export function hasAcknowledged(state: Session, uid: string, generation: number): boolean {
  const has = state.items.get(uid)?.has;
  return state.phase !== "closed" && has?.kind === "acknowledged" && has.generation === generation;
}

/** Whether this ztunnel may still serve a workload that is no longer wanted. */
export function isForgetting(state: Session, uid: string): boolean {
  const item = state.items.get(uid);
  return state.phase !== "closed" && item !== undefined && item.want === undefined;
}

function received(state: Session, event: Extract<SessionEvent, { type: "received" }>, nowMs: number): Step {
  if (event.descriptors > 0) return close(state, "unexpected-descriptor", "it sent a descriptor");
  try {
    if (state.phase === "greeting") {
      const version = decodeHello(event.bytes);
      if (version < ZDS_VERSION) return close(state, "no-version", `its hello has version ${version}`);
      return goOn({ ...idle(state), phase: "snapshot" }, [{ type: "greeted", version }], nowMs);
    }
    const response = decodeResponse(event.bytes);
    if (state.inFlight === undefined) return close(state, "unexpected-message", "it answered to nothing");
    return answered(idle(state), state.inFlight, response, nowMs);
  } catch (error) {
    if (error instanceof ZdsFormatError) return close(state, "unreadable", error.message);
    throw error;
  }
}

function answered(state: Session, message: SessionMessage, { error }: WorkloadResponse, nowMs: number): Step {
  if (message.kind === "add") return addAnswered(state, message, error, nowMs);
  if (error !== "") return close(state, "out-of-step", `it answered to ${describe(message)}: ${plain(error)}`);
  if (message.kind === "snapshot-sent") return goOn({ ...state, phase: "live" }, [{ type: "synced" }], nowMs);
  const item = state.items.get(message.uid);
  const has: Has = { kind: message.kind === "keep" ? "kept" : "nothing" };
  const isOver = item === undefined || (has.kind === "nothing" && item.want === undefined);
  return goOn(withItem(state, message.uid, isOver ? undefined : { ...item, has }), [], nowMs);
}

function addAnswered(state: Session, message: SessionMessage & { kind: "add" }, error: string, nowMs: number): Step {
  const { uid, generation } = message;
  const item = state.items.get(uid) ?? itemOf(undefined);
  const isCurrent = item.want?.generation === generation;
  if (error === "") {
    const has: Has = { kind: "acknowledged", generation };
    const settled = isCurrent ? { ...item, has, failures: 0, retryAtMs: 0 } : { ...item, has };
    return goOn(withItem(state, uid, settled), [{ type: "acknowledged", uid, generation }], nowMs);
  }
  const has: Has = { kind: "failed", generation };
  const failures = item.failures + 1;
  const failed = isCurrent ? { ...item, has, failures, retryAtMs: nowMs + retryDelayMs(failures) } : { ...item, has };
  return goOn(withItem(state, uid, failed), [{ type: "refused", uid, generation, error: plain(error) }], nowMs);
}

/** Sends what is next, unless an answer is still to come. */
function goOn(state: Session, effects: readonly SessionEffect[], nowMs: number): Step {
  const mayTalk = state.inFlight === undefined && (state.phase === "live" || state.phase === "snapshot");
  if (!mayTalk || !state.isAdmitted) return { state, effects };
  const message = nextMessage(state.open, state.phase === "snapshot" ? "snapshot" : primacy(state), nowMs);
  if (message === undefined) return { state, effects };
  return {
    state: { ...state, inFlight: message, deadlineMs: nowMs + state.limits.ackTimeoutMs },
    effects: [...effects, { type: "send", message }],
  };
}

const primacy = (state: Session): "primary" | "secondary" => (state.isPrimary ? "primary" : "secondary");

function close(state: Session, reason: CloseReason, detail: string): Step {
  return { state: { ...idle(state), phase: "closed" }, effects: [{ type: "close", reason, detail }] };
}

function idle(state: Session): Session {
  return { ...state, inFlight: undefined, deadlineMs: Number.POSITIVE_INFINITY };
}

/** Nothing needs to be said of a workload that this snapshot has not come to: what is not in it is dropped at its end. */
function unwanted(state: Session, uid: string): Item | undefined {
  const item = state.items.get(uid);
  const isInFlight = state.inFlight !== undefined && "uid" in state.inFlight && state.inFlight.uid === uid;
  const wasTold = isInFlight || (item !== undefined && item.has.kind !== "nothing");
  if (state.phase !== "live" && !wasTold) return undefined;
  return { ...itemOf(undefined), has: wasTold && item !== undefined ? item.has : { kind: "unknown" } };
}

function withItem(state: Session, uid: string, item: Item | undefined): Session {
  const [items, open] = [new Map(state.items), new Map(state.open)];
  if (item === undefined) items.delete(uid);
  else items.set(uid, item);
  if (item === undefined || isSettled(item)) open.delete(uid);
  else open.set(uid, item);
  return { ...state, items, open };
}

function describe(message: SessionMessage | undefined): string {
  if (message === undefined) return "nothing";
  return "uid" in message ? `"${message.kind}" of ${message.uid}` : `"${message.kind}"`;
}

const MAX_ERROR_LENGTH = 512;

/** A text from outside, fit for a log line and an Event. */
function plain(text: string): string {
  return cutText(text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " "), MAX_ERROR_LENGTH);
}
