/**
 * Runs the list-watch machine of core/kube against the API: sends what it asks for, feeds it what comes
 * back, hands every change to a sink. All decisions are the machine's.
 */

import { KubeApiError } from "../../core/kube/kube-api-error.ts";
import { createListPageReader } from "../../core/kube/list-page.ts";
import {
  type ListWatchEffect,
  type ListWatchEvent,
  type ListWatchReport,
  type ListWatchState,
  MAX_LISTED,
  startListWatch,
  stepListWatch,
} from "../../core/kube/list-watch.ts";
import type { ResourceRef } from "../../core/kube/resource-path.ts";
import { parseWatchEvent } from "../../core/kube/watch-event.ts";
import { createWatchFrames } from "../../core/kube/watch-frames.ts";
import type { Clock } from "../../platform/clock.ts";
import type { KubeApi, KubeSelection } from "../../platform/http/kube-api.ts";

export type ListWatchDeps = {
  readonly api: Pick<KubeApi, "list" | "watch" | "refreshCredentials">;
  readonly clock: Clock;
  /** In [0, 1). */
  random(): number;
};

export type ListWatchOptions<T> = {
  readonly ref: ResourceRef;
  readonly selection: KubeSelection;
  /** Throws KubeObjectError for what it refuses. */
  parse(value: unknown): T;
};

/** Receives the changes, synchronously and in order. It must not throw. */
export interface ListWatchSink<T> {
  beginReplace(): void;
  upsert(objects: readonly T[]): void;
  keep(uids: readonly string[]): void;
  remove(uid: string, last: T | undefined): void;
  endReplace(): void;
  synced(): void;
  report(report: ListWatchReport): void;
  /** After every step. */
  stateChanged(state: ListWatchState): void;
}

/** Bound of one watch event, and of one item of a list. etcd takes 1.5 MiB, so nothing honest comes near. */
export const MAX_OBJECT_BYTES = 16 * 1024 * 1024;

/**
 * The API server sends bookmarks about once a minute, "not guaranteed" (kubernetes.io "API concepts"): so long without
 * anything, and another watch is cheaper than doubt.
 */
export const IDLE_WATCH_MS = 150_000;

type Action<T> = Extract<ListWatchEffect<T>, { type: "list" | "watch" | "wait" }>;

/**
 * Lists and watches until the signal aborts, then returns. Rejects only for defects of this program.
 */
export async function runListWatch<T>(
  deps: ListWatchDeps,
  options: ListWatchOptions<T>,
  sink: ListWatchSink<T>,
  signal: AbortSignal,
): Promise<void> {
  const { api, clock } = deps;
  const { ref, selection, parse } = options;
  const first = startListWatch<T>();
  let state = first.state;
  let action = perform(first.effects);
  while (!signal.aborted) {
    if (action === undefined) throw new Error("Cannot run the list-watch machine: it asks for nothing");
    try {
      action = await act(action);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
  }

  function act(next: Action<T>): Promise<Action<T> | undefined> {
    if (next.type === "list") return list(next);
    if (next.type === "watch") return watch(next);
    return wait(next.ms);
  }

  async function list(query: Extract<Action<T>, { type: "list" }>): Promise<Action<T> | undefined> {
    const { limit, resourceVersion, continueToken } = query;
    try {
      const reader = createListPageReader(parse, { maxItemBytes: MAX_OBJECT_BYTES, maxItems: MAX_LISTED });
      const chunks = await api.list(ref, { ...selection, limit, resourceVersion, continueToken }, signal);
      for await (const chunk of chunks) reader.push(chunk);
      return step({ type: "page", page: reader.end() });
    } catch (error) {
      return step({ type: "failed", error: asKubeApiError(error), livedMs: 0 });
    }
  }

  async function watch(query: Extract<Action<T>, { type: "watch" }>): Promise<Action<T> | undefined> {
    const { resourceVersion, timeoutSeconds } = query;
    const openedAtMs = clock.nowMs();
    const livedMs = (): number => clock.nowMs() - openedAtMs;
    let isOpen = false;
    try {
      const request = { ...selection, resourceVersion, timeoutSeconds, idleTimeoutMs: IDLE_WATCH_MS };
      const chunks = await api.watch(ref, request, signal);
      isOpen = true;
      const frames = createWatchFrames(MAX_OBJECT_BYTES);
      for await (const chunk of chunks) {
        const lines = frames.push(chunk);
        if (lines === undefined) throw tooLarge();
        for (const line of lines) {
          const next = step({ type: "watch-event", event: parseWatchEvent(line, parse) });
          if (next !== undefined) return next;
        }
      }
      const how = frames.pendingBytes() > 0 ? "truncated" : "end";
      return step({ type: "watch-ended", how, livedMs: livedMs() });
    } catch (cause) {
      const error = asKubeApiError(cause);
      if (isOpen && error.code === "KUBE_API_TIMEOUT")
        return step({ type: "watch-ended", how: "idle", livedMs: livedMs() });
      return step({ type: "failed", error, livedMs: isOpen ? livedMs() : 0 });
    }
  }

  async function wait(ms: number): Promise<Action<T> | undefined> {
    await clock.sleep(ms, signal);
    return step({ type: "waited" });
  }

  function step(event: ListWatchEvent<T>): Action<T> | undefined {
    const next = stepListWatch(state, event, deps.random());
    state = next.state;
    const nextAction = perform(next.effects);
    sink.stateChanged(state);
    return nextAction;
  }

  function perform(effects: readonly ListWatchEffect<T>[]): Action<T> | undefined {
    let next: Action<T> | undefined;
    for (const effect of effects) {
      if (effect.type === "begin-replace") sink.beginReplace();
      else if (effect.type === "upsert") sink.upsert(effect.objects);
      else if (effect.type === "keep") sink.keep(effect.uids);
      else if (effect.type === "delete") sink.remove(effect.uid, effect.object);
      else if (effect.type === "end-replace") sink.endReplace();
      else if (effect.type === "synced") sink.synced();
      else if (effect.type === "report") sink.report(effect);
      else if (effect.type === "refresh-credentials") api.refreshCredentials();
      else next = effect;
    }
    return next;
  }

  function tooLarge(): KubeApiError {
    return new KubeApiError(
      "KUBE_API_TOO_LARGE",
      `Cannot watch ${ref.plural}: an event exceeds ${MAX_OBJECT_BYTES} bytes`,
    );
  }
}

/** What is no KubeApiError is the end of the signal or a defect: both end the run. */
function asKubeApiError(error: unknown): KubeApiError {
  if (error instanceof KubeApiError) return error;
  throw error;
}
