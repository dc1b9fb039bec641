// What a connection is to be told next: for each workload, what is wanted of it beside what ztunnel has. Only choosing;
// when there is time for another message is session.ts.
import { doublingDelayMs } from "../doubling-delay.ts";

/** A workload that ztunnel shall serve. */
export interface Want {
  /** Greater with every change of the workload or its namespace, and never used twice. */
  readonly generation: number;
  /** Whether its namespace is at hand; without it ztunnel can only be asked to keep what it has. */
  readonly hasNetns: boolean;
  /** Somebody waits for it: it goes before all others. */
  readonly isUrgent: boolean;
  /** How often in a row it went wrong, and when it may be tried again; also from connections before this one. */
  readonly failures: number;
  readonly notBeforeMs: number;
}

/** What ztunnel has of a workload, as far as this connection tells. */
export type Has =
  | { readonly kind: "nothing" | "unknown" | "kept" }
  | { readonly kind: "acknowledged" | "failed"; readonly generation: number };

export interface Item {
  readonly want: Want | undefined;
  readonly has: Has;
  readonly failures: number;
  readonly retryAtMs: number;
}

export type SessionMessage =
  | { readonly kind: "add"; readonly uid: string; readonly generation: number }
  | { readonly kind: "keep" | "del"; readonly uid: string }
  | { readonly kind: "snapshot-sent" };

/** What the connection may be told: before the snapshot's end, or after it as the one that gets new workloads, or not. */
export type Role = "snapshot" | "primary" | "secondary";

/** ztunnel tries by itself every 5 s (workloadmanager.rs); asking it more often would not help. */
export const RETRY_MIN_MS = 5000;
export const RETRY_MAX_MS = 60_000;

export function retryDelayMs(failures: number): number {
  return doublingDelayMs(RETRY_MIN_MS, RETRY_MAX_MS, failures);
}

/** A workload of which nothing was said yet. */
export function itemOf(want: Want | undefined): Item {
  return { want, has: { kind: "nothing" }, failures: want?.failures ?? 0, retryAtMs: want?.notBeforeMs ?? 0 };
}

/** The item with `want` in place of what was wanted before. */
export function wanting(item: Item | undefined, want: Want): Item {
  return { ...itemOf(want), has: item?.has ?? { kind: "nothing" } };
}

/** The next message, or nothing to say now. One for which somebody waits goes first, then what is to be forgotten (a pod that
 * is gone keeps its namespace alive in ztunnel), then the rest in the order in which it came. */
export function nextMessage(items: ReadonlyMap<string, Item>, role: Role, nowMs: number): SessionMessage | undefined {
  let forgotten: string | undefined;
  let first: SessionMessage | undefined;
  for (const [uid, item] of items) {
    const { want } = item;
    if (want === undefined) {
      forgotten ??= uid;
      continue;
    }
    const message = role === "secondary" ? undefined : addOrKeep(uid, item, want, role, nowMs);
    if (message === undefined) continue;
    if (want.isUrgent && message.kind === "add") return message;
    first ??= message;
  }
  // A delete before the snapshot's end does not take a pending proxy away in every ztunnel: it waits until then.
  if (role === "snapshot") return first ?? { kind: "snapshot-sent" };
  return forgotten === undefined ? first : { kind: "del", uid: forgotten };
}

/** When the first of what went wrong may be tried again; Infinity when nothing did. */
export function nextRetryMs(items: ReadonlyMap<string, Item>): number {
  let earliest = Number.POSITIVE_INFINITY;
  for (const item of items.values()) {
    if (item.want?.hasNetns && !isServed(item, item.want)) earliest = Math.min(earliest, item.retryAtMs);
  }
  return earliest;
}

function addOrKeep(uid: string, item: Item, want: Want, role: Role, nowMs: number): SessionMessage | undefined {
  const { has, retryAtMs } = item;
  // A proxy that could not be started counts as part of the snapshot (statemanager.rs): once is enough.
  const wasTried = has.kind === "failed" && has.generation === want.generation && role === "snapshot";
  if (wasTried || isServed(item, want)) return undefined;
  if (want.hasNetns && nowMs >= retryAtMs) return { kind: "add", uid, generation: want.generation };
  return role === "snapshot" && has.kind === "nothing" ? { kind: "keep", uid } : undefined;
}

/** Wanted and served: nothing is to be said of it, whatever the time, until another want comes. */
export function isSettled(item: Item): boolean {
  return item.want !== undefined && isServed(item, item.want);
}

function isServed({ has }: Item, want: Want): boolean {
  return has.kind === "acknowledged" && has.generation === want.generation;
}
