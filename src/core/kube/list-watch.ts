/**
 * The list-watch protocol of the Kubernetes API as a machine: what to ask next, what an answer changes,
 * when to wait, when to start over. It performs nothing and holds no objects; agent/informers runs it.
 * Source of the protocol: kubernetes.io "API concepts" (efficient detection of changes, chunked lists,
 * bookmarks, 410 Gone); the shape is that of kube-rs' watcher.
 */

import { doublingDelayMs } from "../doubling-delay.ts";
import { KubeApiError } from "./kube-api-error.ts";
import type { ListPage, UnreadableObject } from "./list-page.ts";
import type { WatchEvent } from "./watch-event.ts";

/** Between two requests the machine is `waiting`; `next` is what the wait leads to. */
export type ListWatchState = {
  readonly phase: "listing" | "watching" | "waiting";
  readonly next: "list" | "watch";
  /** Whether one list has been complete; never becomes false again. */
  readonly isSynced: boolean;
  /** Where the next watch begins; empty before the first complete list. */
  readonly resourceVersion: string;
  /** "0": any version the server has at hand (its cache); "": the newest. */
  readonly listVersion: "0" | "";
  readonly pageLimit: number;
  /** Of the list under way. */
  readonly continueToken: string;
  readonly pages: number;
  readonly firstPageVersion: string;
  /** Since the last proof that things work: an event, or a watch that lasted. */
  readonly failures: number;
  /** The last answer was 401, and the credentials have been read again since. */
  readonly isUnauthorized: boolean;
};

/** What happened. `page` belongs to phase listing, `watch-*` to watching, `waited` to waiting. */
export type ListWatchEvent<T> =
  | { readonly type: "page"; readonly page: ListPage<T> }
  | { readonly type: "watch-event"; readonly event: WatchEvent<T> }
  /**
   * The stream is over. "end": orderly; "truncated": within an event; "idle": nothing came for longer than bookmarks take.
   * `livedMs` since the request.
   */
  | { readonly type: "watch-ended"; readonly how: "end" | "truncated" | "idle"; readonly livedMs: number }
  /** A request or a stream failed. `livedMs` of the watch, 0 for a list. */
  | { readonly type: "failed"; readonly error: KubeApiError; readonly livedMs: number }
  | { readonly type: "waited" };

/** What to do, in this order. At most one of list, watch and wait is among them, as the last; it ends an open watch. */
export type ListWatchEffect<T> =
  | { readonly type: "begin-replace" }
  | { readonly type: "upsert"; readonly objects: readonly T[] }
  | { readonly type: "keep"; readonly uids: readonly string[] }
  | { readonly type: "delete"; readonly uid: string; readonly object?: T }
  | { readonly type: "end-replace" }
  /** The first list is complete. */
  | { readonly type: "synced" }
  | ListWatchReport
  | { readonly type: "refresh-credentials" }
  | {
      readonly type: "list";
      readonly limit: number;
      readonly resourceVersion: "0" | "";
      readonly continueToken: string;
    }
  | { readonly type: "watch"; readonly resourceVersion: string; readonly timeoutSeconds: number }
  | { readonly type: "wait"; readonly ms: number };

/** Something people may want to know; `count` of the same kind, told by one message. */
export type ListWatchReport = {
  readonly type: "report";
  /** `warn`: something is wrong now; `info`: the protocol takes its course. */
  readonly severity: "info" | "warn";
  readonly what: ReportKind;
  readonly message: string;
  readonly count: number;
};

/** For counters: closed, so that a metric has a bounded number of series. */
export type ReportKind = "relist" | "failure" | "unreadable-object" | "truncated-event" | "idle-watch";

/** Objects of one page. The API server ignores it for a list from its cache (resourceVersion 0). */
export const PAGE_LIMIT = 100;
/** A server that never ends its list is stopped at so many objects, counted as if every page were full. */
export const MAX_LISTED = 100_000;
export const BACKOFF_BASE_MS = 250;
export const BACKOFF_MAX_MS = 30_000;
/** Bound on what a server may ask by Retry-After: longer would look like a hung agent. */
export const RETRY_AFTER_MAX_MS = 60_000;
/** A watch that lasted this long worked: its end is no failure. */
export const WATCH_PROVEN_MS = 5000;
/** So many answered failures in a row of a watch, and its resourceVersion is doubted. */
export const RELIST_AFTER_FAILURES = 5;

/** The first step: list from the server's cache, as client-go's reflector does, so that a fleet's restart is no load on etcd. */
export function startListWatch<T>(): { state: ListWatchState; effects: ListWatchEffect<T>[] } {
  return list({
    phase: "listing",
    next: "list",
    isSynced: false,
    resourceVersion: "",
    listVersion: "0",
    pageLimit: PAGE_LIMIT,
    continueToken: "",
    pages: 0,
    firstPageVersion: "",
    failures: 0,
    isUnauthorized: false,
  });
}

/**
 * The next state and what to do.
 * @param random in [0, 1), drawn anew for each step: jitter of waits and of the watch's duration.
 */
export function stepListWatch<T>(
  state: ListWatchState,
  event: ListWatchEvent<T>,
  random: number,
): { state: ListWatchState; effects: ListWatchEffect<T>[] } {
  switch (event.type) {
    case "page":
      return expectPhase(state, "listing", () => onPage(state, event.page, random));
    case "watch-event":
      return expectPhase(state, "watching", () => onWatchEvent(state, event.event, random));
    case "watch-ended":
      return expectPhase(state, "watching", () => onWatchEnded(state, event.how, event.livedMs, random));
    case "failed":
      return onFailure(state, event.error, event.livedMs, random);
    case "waited":
      return expectPhase(state, "waiting", () => (state.next === "watch" ? watch(state, random) : resumeList(state)));
  }
}

/** How long to stay away after so many failures in a row (1 or more): doubling, the upper half of it by chance. */
export function backoffMs(failures: number, random: number): number {
  return Math.round(doublingDelayMs(BACKOFF_BASE_MS, BACKOFF_MAX_MS, failures) * (0.5 + random / 2));
}

type Step<T> = { state: ListWatchState; effects: ListWatchEffect<T>[] };

function expectPhase<T>(state: ListWatchState, phase: ListWatchState["phase"], step: () => Step<T>): Step<T> {
  if (state.phase === phase) return step();
  throw new Error(`Cannot step the list-watch machine: the event belongs to ${phase}, the machine is ${state.phase}`);
}

function onPage<T>(state: ListWatchState, page: ListPage<T>, random: number): Step<T> {
  const effects: ListWatchEffect<T>[] = [{ type: "upsert", objects: page.objects }];
  if (page.unreadable.length > 0) {
    effects.push({ type: "keep", uids: page.unreadable.map(({ uid }) => uid).filter((uid) => uid !== "") });
    effects.push(unreadableReport(page.unreadable));
  }
  const pages = state.pages + 1;
  const firstPageVersion = state.pages === 0 ? page.resourceVersion : state.firstPageVersion;
  const answered: ListWatchState = { ...state, pages, firstPageVersion, isUnauthorized: false };
  if (page.continueToken !== "") {
    if (!isEndless(answered)) {
      const next = resumeList<T>({ ...answered, continueToken: page.continueToken });
      return { state: next.state, effects: [...effects, ...next.effects] };
    }
    const message = `Cannot list: the server has sent ${pages} pages and announces more`;
    const failed = onFailure<T>(answered, new KubeApiError("KUBE_API_GARBAGE", message), 0, random);
    return { state: failed.state, effects: [...effects, ...failed.effects] };
  }
  effects.push({ type: "end-replace" });
  if (!state.isSynced) effects.push({ type: "synced" });
  // Every page of one list shows the version of the first, so that is where the watch has to begin.
  const next = watch<T>({ ...answered, isSynced: true, resourceVersion: firstPageVersion, listVersion: "" }, random);
  return { state: next.state, effects: [...effects, ...next.effects] };
}

function onWatchEvent<T>(state: ListWatchState, event: WatchEvent<T>, random: number): Step<T> {
  switch (event.type) {
    case "upsert":
      return seen(state, event.resourceVersion, [{ type: "upsert", objects: [event.object] }]);
    case "delete": {
      const { uid, object } = event;
      return seen(state, event.resourceVersion, [{ type: "delete", uid, ...(object !== undefined && { object }) }]);
    }
    case "bookmark":
      return seen(state, event.resourceVersion, []);
    case "unreadable":
      return seen(state, event.unreadable.resourceVersion, [unreadableReport([event.unreadable])]);
    case "error":
      return onFailure(state, event.error, 0, random);
  }
}

function seen<T>(state: ListWatchState, resourceVersion: string, effects: ListWatchEffect<T>[]): Step<T> {
  const version = resourceVersion === "" ? state.resourceVersion : resourceVersion;
  return { state: { ...state, resourceVersion: version, failures: 0, isUnauthorized: false }, effects };
}

function onWatchEnded<T>(
  state: ListWatchState,
  how: "end" | "truncated" | "idle",
  livedMs: number,
  random: number,
): Step<T> {
  const effects: ListWatchEffect<T>[] = [];
  if (how === "truncated") {
    effects.push(report("info", "truncated-event", "The watch ended within an event, resuming before it"));
  } else if (how === "idle") {
    effects.push(report("info", "idle-watch", "The watch said nothing for too long, opening another"));
  }
  const rested: ListWatchState = { ...state, isUnauthorized: false };
  const next =
    livedMs >= WATCH_PROVEN_MS
      ? watch<T>({ ...rested, failures: 0 }, random)
      : wait<T>({ ...rested, failures: state.failures + 1, next: "watch" }, 0, random);
  return { state: next.state, effects: [...effects, ...next.effects] };
}

function onFailure<T>(state: ListWatchState, error: KubeApiError, livedMs: number, random: number): Step<T> {
  const effects: ListWatchEffect<T>[] = [];
  const failures = livedMs >= WATCH_PROVEN_MS ? 1 : state.failures + 1;
  const failed: ListWatchState = { ...state, failures, isUnauthorized: error.status === 401 };
  if (error.status === 401) {
    effects.push({ type: "refresh-credentials" });
    if (!state.isUnauthorized) {
      // Most often the token on disk is newer than the one we sent: ask again at once, report when that fails too.
      const again = state.phase === "watching" ? watch<T>(failed, random) : resumeList<T>(failed);
      return { state: again.state, effects: [...effects, ...again.effects] };
    }
  }
  const relist = relistReason(state, error, failures);
  const severity = error.status === 410 ? "info" : "warn";
  if (relist === undefined) effects.push(report(severity, "failure", error.message));
  else effects.push(report(severity, "relist", `${error.message}; listing anew: ${relist}`));
  const retryAfterMs = Math.min(error.retryAfterMs ?? 0, RETRY_AFTER_MAX_MS);
  const next = wait<T>(relist === undefined ? resumed(failed) : restarted(failed, error), retryAfterMs, random);
  return { state: next.state, effects: [...effects, ...next.effects] };
}

/** Why the list has to be made from its beginning; undefined when it is enough to repeat the request. */
function relistReason(state: ListWatchState, error: KubeApiError, failures: number): string | undefined {
  if (error.code === "KUBE_API_TOO_LARGE") return "in smaller pages";
  if (error.status === 410) return "the version we know is no longer served";
  if (state.phase === "listing") {
    if (isEndless(state)) return "the pages have no end";
    return error.status === 400 && state.continueToken !== "" ? "the page is refused" : undefined;
  }
  if (error.status === 400) return "the version we know is refused";
  const isAnswered = error.code === "KUBE_API_STATUS" || error.code === "KUBE_API_GARBAGE";
  return isAnswered && failures >= RELIST_AFTER_FAILURES ? `the watch failed ${failures} times` : undefined;
}

function isEndless(state: ListWatchState): boolean {
  return state.pages * state.pageLimit >= MAX_LISTED;
}

function resumed(state: ListWatchState): ListWatchState {
  return { ...state, next: state.phase === "watching" ? "watch" : "list" };
}

function restarted(state: ListWatchState, error: KubeApiError): ListWatchState {
  const isTooLarge = error.code === "KUBE_API_TOO_LARGE";
  const pageLimit = isTooLarge ? Math.max(1, Math.floor(state.pageLimit / 4)) : state.pageLimit;
  // From its cache the server may answer without pages and out of date; only the newest version is sure to do neither.
  return { ...state, next: "list", pageLimit, listVersion: "", continueToken: "", pages: 0, firstPageVersion: "" };
}

function list<T>(state: ListWatchState): Step<T> {
  const begun: ListWatchState = { ...state, phase: "listing", continueToken: "", pages: 0, firstPageVersion: "" };
  const request: ListWatchEffect<T> = {
    type: "list",
    limit: begun.pageLimit,
    resourceVersion: begun.listVersion,
    continueToken: "",
  };
  return { state: begun, effects: [{ type: "begin-replace" }, request] };
}

/** Asks for the next page, or again for the one that failed; the beginning when there is none yet. */
function resumeList<T>(state: ListWatchState): Step<T> {
  if (state.continueToken === "") return list(state);
  const { pageLimit: limit, continueToken } = state;
  // The version is part of the token; giving both is an error to the server.
  return {
    state: { ...state, phase: "listing" },
    effects: [{ type: "list", limit, resourceVersion: "", continueToken }],
  };
}

/** 4 to 6 minutes: the watches of a fleet that were opened together shall not end together. */
function watch<T>(state: ListWatchState, random: number): Step<T> {
  const timeoutSeconds = 240 + Math.floor(random * 120);
  return {
    state: { ...state, phase: "watching", continueToken: "" },
    effects: [{ type: "watch", resourceVersion: state.resourceVersion, timeoutSeconds }],
  };
}

function wait<T>(state: ListWatchState, atLeastMs: number, random: number): Step<T> {
  const ms = Math.max(atLeastMs, backoffMs(Math.max(1, state.failures), random));
  return { state: { ...state, phase: "waiting" }, effects: [{ type: "wait", ms }] };
}

function unreadableReport(objects: readonly UnreadableObject[]): ListWatchReport {
  const others = objects.length > 1 ? `; and ${objects.length - 1} more` : "";
  return report("warn", "unreadable-object", `${objects[0]?.message ?? ""}${others}`, objects.length);
}

function report(severity: "info" | "warn", what: ReportKind, message: string, count = 1): ListWatchReport {
  return { type: "report", severity, what, message, count };
}
