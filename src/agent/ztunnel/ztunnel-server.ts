// Serves ztunnel: holds the workloads that it shall have and makes every connection converge to them. New workloads go to the
// newest connection that has its snapshot, deletes to all, so that two ztunnels can overlap (rolling upgrade).
// A ztunnel that is slow, silent or gone costs those who wait for it their deadline, and nobody else anything.
import type { Logger } from "../../core/log.ts";
import { isSameNetns } from "../../core/netns/netns-id.ts";
import { encodeRequest, MAX_REQUEST_BYTES, type WorkloadInfo } from "../../core/zds/messages.ts";
import {
  hasAcknowledged,
  isForgetting,
  type SessionEffect,
  type SessionEvent,
  startSession,
} from "../../core/zds/session.ts";
import type { SessionMessage } from "../../core/zds/session-items.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Acceptor } from "../../platform/linux/acceptor.ts";
import type { NetnsHandle } from "../../platform/linux/netns.ts";
import type { Poller } from "../../platform/linux/poller.ts";
import type { UnixConnection } from "../../platform/linux/unix-socket.ts";
import { type DesiredWorkload, DesiredWorkloads, noteFailure, settleAll, wantOf } from "./desired-workloads.ts";
import type {
  EnrollOutcome,
  WithdrawOutcome,
  WorkloadStatus,
  ZtunnelChange,
  ZtunnelServer,
  ZtunnelWorkload,
} from "./ztunnel-api.ts";
import { openZtunnelConnection, type ZtunnelConnection } from "./ztunnel-connection.ts";

export interface ZtunnelServerDeps {
  readonly clock: Clock;
  readonly poller: Poller;
  readonly log: Logger;
  /** Of ztunnel's socket. */
  readonly accept: Acceptor;
  dupNetns(fd: number): NetnsHandle;
  closeDescriptor(fd: number): void;
}

export interface ZtunnelServerOptions {
  /** Who may connect. The chart runs ztunnel as uid 0 with few capabilities. */
  readonly allowedUids: readonly number[];
  readonly helloTimeoutMs: number;
  /** For one message. After it the connection is given up. */
  readonly ackTimeoutMs: number;
  /** For an enrolment, the wait for a ztunnel included. */
  readonly enrollTimeoutMs: number;
  /** Connections at once; above it the oldest gives way, one that has not said hello before others. */
  readonly maxConnections: number;
  /** Accepted in one second: a ztunnel that fails connects again at once, for ever. */
  readonly maxAcceptsPerSecond: number;
  readonly maxWorkloads: number;
  /** How often it is looked whether the socket's file is still there. */
  readonly recheckMs: number;
}

export const ZTUNNEL_SERVER_DEFAULTS: ZtunnelServerOptions = {
  allowedUids: [0],
  helloTimeoutMs: 5000,
  ackTimeoutMs: 10_000,
  enrollTimeoutMs: 20_000,
  maxConnections: 8,
  maxAcceptsPerSecond: 5,
  maxWorkloads: 4096,
  recheckMs: 2000,
};

const infoOf = ({ name, namespace, serviceAccount }: ZtunnelWorkload): WorkloadInfo => ({
  name,
  namespace,
  serviceAccount,
});

/** Nothing happens before `run`; what is declared and enrolled before it waits. */
export function createZtunnelServer(deps: ZtunnelServerDeps, options: ZtunnelServerOptions): ZtunnelServer {
  const { clock, log } = deps;
  const desired = new DesiredWorkloads(deps);
  /** In the order in which they came. */
  let connections: ZtunnelConnection[] = [];
  const forgetting = new Set<{ readonly uid: string; settle(outcome: WithdrawOutcome): void }>();
  const listeners = new Set<(change: ZtunnelChange) => void>();
  let isAdmitted = false;
  let hasEnded = false;
  let lastId = 0;

  return {
    async run(signal) {
      try {
        const { allowedUids, maxAcceptsPerSecond: perSecond, recheckMs } = options;
        const atMost = { perSecond, nowMs: clock.nowMs };
        await deps.accept({ name: "ztunnel socket", allowedUids, atMost, recheckMs, take: open }, signal);
      } finally {
        end();
      }
    },
    admitSnapshots() {
      isAdmitted = true;
      tellAll({ type: "admit" });
    },
    declare(workload, netnsFd) {
      if (hasEnded) return { result: "agent-ends" };
      const problem = problemOf(workload);
      if (problem !== undefined) return { result: "invalid", problem };
      const { entry, hasChanged } = desired.put(workload.uid, infoOf(workload), netnsFd, false);
      if (hasChanged) tellAll({ type: "want", uid: entry.uid, want: wantOf(entry) });
      return { result: "declared" };
    },
    async enroll(workload, netnsFd, signal) {
      if (hasEnded) return { result: "agent-ends" };
      if (signal.aborted) return { result: "aborted" };
      const problem = problemOf(workload);
      if (problem !== undefined) return { result: "invalid", problem };
      const { entry } = desired.put(workload.uid, infoOf(workload), netnsFd, true);
      if (primary()?.isServing(entry)) return { result: "acknowledged" };
      return await acknowledged(entry, signal);
    },
    async withdraw(uid, signal, only) {
      if (hasEnded) return { result: "agent-ends" };
      const netns = desired.get(uid)?.netns;
      if (only !== undefined && netns !== undefined && !isSameNetns(netns, only)) return { result: "superseded" };
      desired.remove(uid, { result: "superseded" });
      tellAll({ type: "unwant", uid });
      return await forgotten(uid, signal);
    },
    workload: (uid) => {
      const entry = desired.get(uid);
      return entry === undefined ? undefined : statusOf(entry);
    },
    workloads: () => [...desired.all()].map(statusOf),
    connections: () =>
      connections.map((connection) => {
        const { phase, isPrimary, items } = connection.session();
        return { id: connection.id, pid: connection.pid, phase, isPrimary, workloads: items.size };
      }),
    isConnected: () => primary() !== undefined,
    subscribe(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
  };

  /** Why a workload can never be told; a text that is cut would name another pod, so nothing is cut. */
  function problemOf({ uid, ...info }: ZtunnelWorkload): string | undefined {
    if (uid === "") return "it has no UID";
    if (!desired.get(uid) && desired.size >= options.maxWorkloads)
      return `there are ${desired.size} workloads already, as many as are accepted`;
    const { length } = encodeRequest({ kind: "add", uid, info });
    return length <= MAX_REQUEST_BYTES
      ? undefined
      : `its UID and names take ${length} bytes, and ztunnel reads ${MAX_REQUEST_BYTES}`;
  }

  /** Waits for ztunnel's answer, which is the same for all who wait for this namespace of this workload. */
  function acknowledged(entry: DesiredWorkload, signal: AbortSignal): Promise<EnrollOutcome> {
    const { promise, resolve } = Promise.withResolvers<EnrollOutcome>();
    const giveUp = (outcome: EnrollOutcome): void => {
      entry.waiters.delete(waiter);
      waiter.settle(outcome);
      if (entry.isProvisional && entry.waiters.size === 0) drop(entry, outcome);
    };
    const onAbort = (): void => giveUp({ result: "aborted" });
    const timer = setTimeout(
      () => giveUp({ result: primary() === undefined ? "no-connection" : "timed-out" }),
      options.enrollTimeoutMs,
    );
    const waiter = {
      settle(outcome: EnrollOutcome): void {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        resolve(outcome);
      },
    };
    signal.addEventListener("abort", onAbort, { once: true });
    entry.waiters.add(waiter);
    // Somebody asks now: what went wrong before is tried again at once.
    tellAll({ type: "want", uid: entry.uid, want: { ...wantOf(entry), notBeforeMs: 0 } });
    return promise;
  }

  /** Takes out what was wanted only if ztunnel takes it. */
  function drop(entry: DesiredWorkload, outcome: EnrollOutcome): void {
    if (desired.get(entry.uid) !== entry) return;
    desired.remove(entry.uid, outcome);
    tellAll({ type: "unwant", uid: entry.uid });
  }

  function forgotten(uid: string, signal: AbortSignal): Promise<WithdrawOutcome> {
    const { promise, resolve } = Promise.withResolvers<WithdrawOutcome>();
    const onAbort = (): void => withdrawal.settle({ result: "aborted" });
    const withdrawal = {
      uid,
      settle(outcome: WithdrawOutcome): void {
        forgetting.delete(withdrawal);
        signal.removeEventListener("abort", onAbort);
        resolve(outcome);
      },
    };
    forgetting.add(withdrawal);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    else settleWithdrawals();
    return promise;
  }

  function settleWithdrawals(): void {
    for (const withdrawal of forgetting) {
      const { uid } = withdrawal;
      if (desired.get(uid) !== undefined) withdrawal.settle({ result: "superseded" });
      else if (!connections.some((connection) => isForgetting(connection.session(), uid)))
        withdrawal.settle({ result: "withdrawn" });
    }
  }

  function open(socket: UnixConnection): void {
    if (connections.length >= options.maxConnections) {
      log.warn("Closed the oldest ztunnel connection: there are too many", { connections: connections.length });
      const silent = connections.find((connection) => connection.session().phase === "greeting");
      (silent ?? connections[0])?.close();
    }
    const session = startSession(desired.wants(), { ...options, isAdmitted }, clock.nowMs());
    const workload = (uid: string): DesiredWorkload | undefined => desired.get(uid);
    const connection = openZtunnelConnection(
      { ...deps, workload, onEffect, onClosed, onStep: settleWithdrawals },
      ++lastId,
      socket,
      session,
    );
    connections.push(connection);
    log.info("A ztunnel connected", { connection: connection.id, PID: connection.pid, workloads: desired.size });
  }

  function onEffect(connection: ZtunnelConnection, effect: SessionEffect): void {
    if (effect.type === "synced") {
      log.info("A ztunnel has its snapshot", { connection: connection.id, workloads: desired.size });
      choosePrimary();
      notify({ type: "connected", connection: connection.id });
    } else if (effect.type === "acknowledged") onAcknowledged(connection, effect.uid, effect.generation);
    else if (effect.type === "refused") onRefused(connection, effect);
  }

  function onAcknowledged(connection: ZtunnelConnection, uid: string, generation: number): void {
    const entry = desired.get(uid);
    if (entry?.generation !== generation) return;
    entry.isProvisional = false;
    entry.failures = 0;
    entry.notBeforeMs = 0;
    entry.lastError = undefined;
    settleAll(entry, { result: "acknowledged" });
    notify({ type: "acknowledged", uid, connection: connection.id });
  }

  function onRefused(connection: ZtunnelConnection, effect: Extract<SessionEffect, { type: "refused" }>): void {
    const { uid, generation, error } = effect;
    const entry = desired.get(uid);
    if (entry?.generation !== generation) return;
    log.warn("ztunnel refused a workload", { connection: connection.id, uid, err: error });
    noteFailure(entry, clock.nowMs(), false, error);
    // While another ztunnel is the one that gets new workloads, its word counts.
    const counts = primary() === undefined || connection.session().isPrimary;
    if (counts) {
      if (entry.isProvisional) drop(entry, { result: "refused", error });
      else settleAll(entry, { result: "refused", error });
    }
    notify({ type: "refused", uid, connection: connection.id });
  }

  function onClosed(
    connection: ZtunnelConnection,
    why: "ack-timeout" | "send-failed" | "other",
    message: SessionMessage | undefined,
  ): void {
    connections = connections.filter((other) => other !== connection);
    const entry = message?.kind === "add" ? desired.get(message.uid) : undefined;
    if (entry !== undefined && message?.kind === "add" && entry.generation === message.generation) {
      // Perhaps it is this very workload that ztunnel cannot bear: then it must not keep the others from their snapshot.
      noteFailure(entry, clock.nowMs(), why === "other");
      if (why === "ack-timeout" && entry.isProvisional) drop(entry, { result: "timed-out" });
    }
    choosePrimary();
    settleWithdrawals();
    notify({ type: "disconnected", connection: connection.id });
  }

  /** The newest one that has its snapshot. */
  function primaryConnection(): ZtunnelConnection | undefined {
    return connections.findLast((connection) => connection.session().phase === "live");
  }

  function choosePrimary(): void {
    const chosen = primaryConnection();
    for (const connection of [...connections]) {
      const isPrimary = connection === chosen;
      if (connection.session().isPrimary !== isPrimary) connection.step({ type: "primary", isPrimary });
    }
  }

  function primary(): { isServing(entry: DesiredWorkload): boolean } | undefined {
    const connection = primaryConnection();
    if (connection === undefined) return undefined;
    return { isServing: ({ uid, generation }) => hasAcknowledged(connection.session(), uid, generation) };
  }

  function tellAll(event: SessionEvent): void {
    for (const connection of [...connections]) connection.step(event);
  }

  function statusOf(entry: DesiredWorkload): WorkloadStatus {
    const { uid, info, generation, netns, failures, lastError } = entry;
    const isServing = (connection: ZtunnelConnection): boolean =>
      hasAcknowledged(connection.session(), uid, generation);
    const chosen = primaryConnection();
    const has = chosen?.session().items.get(uid)?.has;
    const { name, namespace, serviceAccount } = info;
    return {
      ...{ uid, name, namespace, serviceAccount, failures, lastError },
      netns: netns === undefined ? undefined : { dev: netns.dev, ino: netns.ino },
      state:
        chosen !== undefined && isServing(chosen)
          ? "served"
          : has?.kind === "failed" && has.generation === generation
            ? "refused"
            : has?.kind === "kept"
              ? "kept"
              : "waiting",
      servedBy: connections.filter(isServing).map(({ id }) => id),
    };
  }

  function notify(change: ZtunnelChange): void {
    for (const listener of [...listeners]) {
      try {
        listener(change);
      } catch (error) {
        log.error("A listener to ztunnel failed", { err: String(error) });
      }
    }
  }

  function end(): void {
    hasEnded = true;
    // Before the connections are closed, which would look like ztunnel having forgotten: it goes on with what it has.
    for (const withdrawal of forgetting) withdrawal.settle({ result: "agent-ends" });
    for (const connection of [...connections]) connection.close();
    desired[Symbol.dispose]();
  }
}
