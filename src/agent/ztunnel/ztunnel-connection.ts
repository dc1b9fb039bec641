// One ztunnel's connection: its socket, its session machine, and one timer. What is told and what an answer means is decided
// by core/zds/session.ts; what is wanted comes from the server.
import type { Logger } from "../../core/log.ts";
import { encodeRequest, type WorkloadRequest, ZDS_VERSION } from "../../core/zds/messages.ts";
import {
  type Session,
  type SessionEffect,
  type SessionEvent,
  sessionDueMs,
  stepSession,
} from "../../core/zds/session.ts";
import type { SessionMessage } from "../../core/zds/session-items.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Poller } from "../../platform/linux/poller.ts";
import type { UnixConnection } from "../../platform/linux/unix-socket.ts";
import type { DesiredWorkload } from "./desired-workloads.ts";

export interface ConnectionDeps {
  readonly clock: Clock;
  readonly poller: Poller;
  readonly log: Logger;
  closeDescriptor(fd: number): void;
  workload(uid: string): DesiredWorkload | undefined;
  /** Something happened: acknowledged, refused, synced. Called when the connection is in its new state. */
  onEffect(connection: ZtunnelConnection, effect: SessionEffect): void;
  /** After every step, when all it led to is done. */
  onStep(): void;
  /** Once, when it is over. `message` is what was in flight. */
  onClosed(connection: ZtunnelConnection, why: "ack-timeout" | "send-failed" | "other", message?: SessionMessage): void;
}

export interface ZtunnelConnection {
  readonly id: number;
  readonly pid: number;
  session(): Session;
  step(event: SessionEvent): void;
  close(): void;
}

/** Longer than any answer; one that does not fit ends the connection. Read synchronously, so one for all. */
const BUFFER = new Uint8Array(64 * 1024);
/** ztunnel has one thing to say at a time. */
const READ_AT_ONCE = 4;
const TIMER_MAX_MS = 2_147_483_647;

/** Takes ownership of the socket. `session` is in its first state. @throws {ErrnoError} when the socket cannot be watched. */
export function openZtunnelConnection(
  deps: ConnectionDeps,
  id: number,
  socket: UnixConnection,
  session: Session,
): ZtunnelConnection {
  const labels = { connection: id, PID: socket.peer.pid };
  let state = session;
  let isOpen = true;
  let timer: NodeJS.Timeout | undefined;
  const watch = watchSocket();
  const connection: ZtunnelConnection = {
    id,
    pid: socket.peer.pid,
    session: () => state,
    step,
    close: () => end("other"),
  };
  arm();
  return connection;

  function watchSocket(): Disposable {
    try {
      return deps.poller.watch(socket.fd, { readable: true, writable: false }, readWaiting);
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  function step(event: SessionEvent): void {
    if (!isOpen) return;
    const before = state;
    const { state: next, effects } = stepSession(before, event, deps.clock.nowMs());
    state = next;
    // Sent before anybody hears of anything: who hears may change what is wanted, and what is sent is decided.
    for (const effect of effects) if (effect.type === "send") send(effect.message);
    for (const effect of effects) {
      if (effect.type === "close") {
        deps.log.warn("Closed a ztunnel connection", { ...labels, reason: effect.reason, detail: effect.detail });
        end(effect.reason === "ack-timeout" ? "ack-timeout" : "other", before.inFlight);
      } else report(effect);
    }
    arm();
    deps.onStep();
  }

  function report(effect: SessionEffect): void {
    if (effect.type === "greeted" && effect.version !== ZDS_VERSION)
      deps.log.warn("A ztunnel speaks a later version of the protocol: serving it all the same", {
        ...labels,
        version: effect.version,
      });
    deps.onEffect(connection, effect);
  }

  function send(message: SessionMessage): void {
    try {
      const { request, descriptors } = requestOf(message);
      const bytes = encodeRequest(request);
      // One small message at a time: a socket that does not take it has a peer that is not ztunnel.
      if (socket.send(bytes, descriptors) === bytes.length) return;
      deps.log.warn("Closed a ztunnel connection: its socket is full", labels);
    } catch (error) {
      deps.log.warn("Closed a ztunnel connection: cannot send", { ...labels, err: String(error) });
    }
    end("send-failed", message);
  }

  function requestOf(message: SessionMessage): { request: WorkloadRequest; descriptors: number[] } {
    if (message.kind !== "add") return { request: message, descriptors: [] };
    const entry = deps.workload(message.uid);
    if (entry?.netns === undefined || entry.generation !== message.generation)
      throw new Error(`Cannot add workload ${message.uid}: it has changed meanwhile`);
    return { request: { kind: "add", uid: entry.uid, info: entry.info }, descriptors: [entry.netns.fd] };
  }

  function readWaiting(): void {
    for (let count = 0; isOpen && count < READ_AT_ONCE; count++) {
      let received: ReturnType<UnixConnection["receive"]>;
      try {
        received = socket.receive(BUFFER);
      } catch (error) {
        deps.log.warn("Closed a ztunnel connection: cannot read", { ...labels, err: String(error) });
        end("other", state.inFlight);
        return;
      }
      if (received === undefined) return;
      for (const fd of received.descriptors) deps.closeDescriptor(fd);
      if (received.length === 0) {
        deps.log.info("A ztunnel hung up", labels);
        end("other", state.inFlight);
        return;
      }
      const bytes = BUFFER.slice(0, received.length);
      step({ type: "received", bytes, descriptors: received.descriptors.length });
    }
  }

  function arm(): void {
    clearTimeout(timer);
    timer = undefined;
    const dueMs = isOpen ? sessionDueMs(state) : Number.POSITIVE_INFINITY;
    if (dueMs === Number.POSITIVE_INFINITY) return;
    const leftMs = Math.ceil(dueMs - deps.clock.nowMs());
    timer = setTimeout(() => step({ type: "tick" }), Math.min(TIMER_MAX_MS, Math.max(0, leftMs)));
  }

  function end(why: Parameters<ConnectionDeps["onClosed"]>[1], message?: SessionMessage): void {
    if (!isOpen) return;
    isOpen = false;
    clearTimeout(timer);
    watch[Symbol.dispose]();
    socket.close();
    state = { ...state, phase: "closed" };
    deps.onClosed(connection, why, message);
  }
}
