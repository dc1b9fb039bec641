// Tells about pods by Kubernetes Events, never at the expense of anything else: recording returns at once, memory and
// requests are bounded, repetitions are counted in one Event, and a missing right is said once and ends it.

import { doublingDelayMs } from "../../core/doubling-delay.ts";
import { messageOf } from "../../core/error-message.ts";
import { isAlreadyExists, isConflict, isForbidden, isNotFound, KubeApiError } from "../../core/kube/kube-api-error.ts";
import type { Logger } from "../../core/log.ts";
import type { Clock } from "../../platform/clock.ts";
import type { KubeApi } from "../../platform/http/kube-api.ts";
import { DEFAULT_COMPONENT, eventName, type PodEventInput, renderEvent, renderRepetition } from "./event-object.ts";

export interface EventRecorderDeps {
  readonly api: Pick<KubeApi, "create" | "patch">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Wall time in milliseconds since 1970. */
  wallMs(): number;
  /** In [0, 1). */
  random(): number;
  /** Once per Event, or repetition of one, that nobody will see. */
  dropped(why: EventDropReason, count: number): void;
}

/** `full`: the queue was; `forbidden`: the right is missing; `refused`: the API does not take it; `expired`: the API was not
 * reached in time; `ended`: the agent ended before. */
export type EventDropReason = "full" | "forbidden" | "refused" | "expired" | "ended";

export interface EventRecorderOptions {
  readonly nodeName: string;
  /** Events not yet sent. @default 256 */
  readonly maxQueued?: number;
  /** Repetitions within this time are counted in the Event that is there. @default 600000 */
  readonly windowMs?: number;
  /** An Event's count is renewed at most this often. @default 10000 */
  readonly repeatEveryMs?: number;
  /** Requests in a row, and their steady rate. @default 20, and 2 a second */
  readonly burst?: number;
  readonly perSecond?: number;
  /** What could not be sent for so long is dropped. @default 300000 */
  readonly maxAgeMs?: number;
}

export interface EventRecorder {
  /** Returns at once. What is recorded before `run` waits for it. */
  record(event: PodEventInput): void;
  /** Sends until the signal aborts, then resolves. To be called once. */
  run(signal: AbortSignal): Promise<void>;
}

/** All that happened to one pod for one reason within a window. */
interface Series {
  readonly key: string;
  event: PodEventInput;
  readonly suffix: string;
  count: number;
  /** Of `count`, how many the API has seen; 0: not created yet. */
  toldCount: number;
  readonly firstMs: number;
  lastMs: number;
  /** Monotonic. */
  readonly openedMs: number;
  dueMs: number;
  waitsSinceMs: number;
  failures: number;
}

const MAX_SERIES = 1024;
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;
const IDLE_MS = 60_000;

export function createEventRecorder(deps: EventRecorderDeps, options: EventRecorderOptions): EventRecorder {
  const { maxQueued = 256, windowMs = 600_000, repeatEveryMs = 10_000, burst = 20, perSecond = 2 } = options;
  const { maxAgeMs = 300_000 } = options;
  const series = new Map<string, Series>();
  /** Series with something to tell, in the order in which it happened. */
  const queue = new Set<Series>();
  let isOff = false;
  let tokens = burst;
  let tokensAtMs = deps.clock.nowMs();
  let wake = new AbortController();

  function record(event: PodEventInput): void {
    if (isOff) {
      deps.dropped("forbidden", 1);
      return;
    }
    const { pod, reason, type, component = DEFAULT_COMPONENT } = event;
    const key = JSON.stringify([pod.namespace, pod.name, pod.uid, component, type, reason]);
    const nowMs = deps.clock.nowMs();
    const wallMs = deps.wallMs();
    let found = series.get(key);
    if (found !== undefined && nowMs - found.openedMs > windowMs && !queue.has(found)) found = undefined;
    if (found === undefined) {
      if (queue.size >= maxQueued) {
        deps.dropped("full", 1);
        return;
      }
      const suffix = uniqueSuffix(wallMs);
      const times = { firstMs: wallMs, lastMs: wallMs, openedMs: nowMs, dueMs: nowMs, waitsSinceMs: nowMs };
      found = { key, event, suffix, count: 1, toldCount: 0, failures: 0, ...times };
      remember(found);
    } else {
      if (!queue.has(found)) {
        if (queue.size >= maxQueued) {
          deps.dropped("full", 1);
          return;
        }
        found.waitsSinceMs = nowMs;
      }
      found.count++;
      found.event = event;
      found.lastMs = wallMs;
    }
    queue.add(found);
    wake.abort();
  }

  function remember(opened: Series): void {
    series.delete(opened.key);
    series.set(opened.key, opened);
    if (series.size <= MAX_SERIES) return;
    for (const old of series.values()) {
      if (queue.has(old)) continue;
      series.delete(old.key);
      return;
    }
  }

  async function run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !isOff) {
      wake = new AbortController();
      const nowMs = deps.clock.nowMs();
      const next = [...queue].find(({ dueMs }) => dueMs <= nowMs);
      if (next === undefined) await pause(untilNext(nowMs), signal);
      else if (!takeToken(nowMs)) await pause(Math.ceil(1000 / perSecond), signal);
      else await send(next, signal);
    }
    drop(isOff ? "forbidden" : "ended");
  }

  async function send(told: Series, signal: AbortSignal): Promise<void> {
    const { event, count } = told;
    const occurrences = { count, firstMs: told.firstMs, lastMs: told.lastMs };
    const ref = { plural: "events", namespace: event.pod.namespace } as const;
    try {
      if (told.toldCount > 0) {
        const name = eventName(event.pod.name, told.suffix);
        await deps.api.patch({ ...ref, name }, renderRepetition(event.message, occurrences), signal);
      } else {
        const names = { nodeName: options.nodeName, suffix: told.suffix };
        await deps.api.create(ref, renderEvent(event, occurrences, names), signal);
      }
      settle(told, count);
    } catch (error) {
      if (!signal.aborted) fail(told, error);
    }
  }

  function settle(told: Series, count: number): void {
    const nowMs = deps.clock.nowMs();
    told.toldCount = count;
    told.failures = 0;
    told.dueMs = nowMs + repeatEveryMs;
    told.waitsSinceMs = nowMs;
    if (told.count === count) queue.delete(told);
  }

  function fail(told: Series, error: unknown): void {
    const untold = told.count - told.toldCount;
    const forget = (why: EventDropReason): void => {
      queue.delete(told);
      series.delete(told.key);
      deps.dropped(why, untold);
    };
    if (isRightMissing(error)) {
      isOff = true;
      deps.log.warn("Cannot write Events: the right is missing, none will be written until the agent restarts", {
        hint: "grant create and patch of events to the agent's service account, as our chart does, and upstream's with repair.enabled",
        err: messageOf(error),
      });
      return;
    }
    // A repeated name was ours, created by a request whose answer got lost.
    if (isAlreadyExists(error)) {
      settle(told, told.count);
      return;
    }
    if (isNotFound(error) && told.toldCount > 0) {
      // The cluster forgets Events after an hour by default; somebody may delete one.
      told.toldCount = 0;
      return;
    }
    const nowMs = deps.clock.nowMs();
    if (isNotFound(error) || isLasting(error)) forget("refused");
    else if (nowMs - told.waitsSinceMs > maxAgeMs) forget("expired");
    else {
      const retryMs = doublingDelayMs(FIRST_RETRY_MS, MAX_RETRY_MS, ++told.failures);
      told.dueMs = nowMs + Math.max(retryMs * (0.5 + deps.random()), retryAfterOf(error));
      deps.log.debug("Cannot write an Event yet", { reason: told.event.reason, err: messageOf(error) });
    }
  }

  function drop(why: EventDropReason): void {
    for (const { count, toldCount } of queue) deps.dropped(why, count - toldCount);
    queue.clear();
    series.clear();
  }

  function takeToken(nowMs: number): boolean {
    tokens = Math.min(burst, tokens + ((nowMs - tokensAtMs) / 1000) * perSecond);
    tokensAtMs = nowMs;
    if (tokens < 1) return false;
    tokens--;
    return true;
  }

  function untilNext(nowMs: number): number {
    return Math.max(1, Math.min(IDLE_MS, ...[...queue].map(({ dueMs }) => dueMs - nowMs)));
  }

  async function pause(ms: number, signal: AbortSignal): Promise<void> {
    await deps.clock.sleep(ms, AbortSignal.any([signal, wake.signal])).catch(() => undefined);
  }

  function uniqueSuffix(wallMs: number): string {
    const random = Math.floor(deps.random() * 0x1_0000_0000);
    return `${Math.floor(wallMs).toString(16)}${random.toString(16).padStart(8, "0")}`;
  }

  return { record, run };
}

/** The API has the same status for what it does not let into one namespace: a quota, an admission webhook, a namespace that is
 * being deleted. No tenant may silence the node by that: only the authorizer's sentence (apiserver pkg/endpoints/handlers/
 * responsewriters/errors.go, forbiddenMessage) speaks of our rights. */
function isRightMissing(error: unknown): boolean {
  return isForbidden(error) && /\bUser "[^"]*" cannot [a-z]+ resource "events"/.test(error.message);
}

/** Nothing that asking again would change: 4xx except time-outs, throttling, a lost token and a race. */
function isLasting(error: unknown): boolean {
  if (!(error instanceof KubeApiError) || error.status < 400 || error.status >= 500) return false;
  return ![401, 408, 429].includes(error.status) && !isConflict(error);
}

function retryAfterOf(error: unknown): number {
  return error instanceof KubeApiError ? (error.retryAfterMs ?? 0) : 0;
}
