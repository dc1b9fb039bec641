/**
 * Waits for an object that the watch is to show, and asks the API for it when that takes long. For the one moment in which the
 * runtime is faster than the watch; whoever can wait for good uses the store's own waitFor.
 */

import { isUnauthorized, KubeApiError } from "../../core/kube/kube-api-error.ts";
import { KubeObjectError } from "../../core/kube/object-fields.ts";
import type { ResourceRef } from "../../core/kube/resource-path.ts";
import type { Clock } from "../../platform/clock.ts";
import type { KubeApi } from "../../platform/http/kube-api.ts";

export type AskDeps = {
  readonly api: Pick<KubeApi, "get" | "refreshCredentials">;
  readonly clock: Clock;
};

export type WantedObject<T> = {
  readonly ref: ResourceRef;
  /** How long those wait who ask, at most, for the watch and the API together. */
  readonly patienceMs: number;
  /** The watch's object, now or later; rejects when the signal aborts. */
  watched(signal: AbortSignal): Promise<T>;
  /** Throws KubeObjectError for what it refuses. */
  parse(value: unknown): T;
  /** Whether the API's object of that name is the wanted one. */
  accepts(object: T): boolean;
};

/** What the API's last answer was, when it was not the object. */
export type Asked = "not-asked" | "no-such-name" | "other-object" | KubeApiError | KubeObjectError;

export type WatchedOrAsked<T> =
  | { readonly found: true; readonly object: T; readonly source: "watch" | "api" }
  | { readonly found: false; readonly asked: Asked };

/** Patience with the watch before the API is asked; half of what there is where that is less. */
const ASK_AFTER_MS = 300;
/** A request may take so long; after one that failed, the next comes so much later, or when the server says. */
const TRY_MS = 3000;
const RETRY_AFTER_MS = 500;

/** Ends with `found: false` when the signal aborts. Asks until the API has said something about that name; faults are no answer. */
export async function watchOrAsk<T>(
  deps: AskDeps,
  wanted: WantedObject<T>,
  signal: AbortSignal,
): Promise<WatchedOrAsked<T>> {
  let asked: Asked = "not-asked";
  const ending = new AbortController();
  const onAbort = (): void => ending.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    const watched = wanted.watched(ending.signal).then((object) => ({ found: true, object, source: "watch" }) as const);
    const answered = ask(deps, wanted, ending.signal, (outcome) => {
      asked = outcome;
    });
    // An answer that is not the object leaves the watch to go on; a failure of either but by the signal is a defect.
    return await Promise.race([watched, answered.then((result) => result ?? watched)]);
  } catch (error) {
    if (!signal.aborted) throw error;
    return { found: false, asked };
  } finally {
    signal.removeEventListener("abort", onAbort);
    ending.abort();
  }
}

async function ask<T>(
  deps: AskDeps,
  { ref, patienceMs, parse, accepts }: WantedObject<T>,
  signal: AbortSignal,
  note: (outcome: Asked) => void,
): Promise<WatchedOrAsked<T> | undefined> {
  for (let waitMs = Math.min(ASK_AFTER_MS, patienceMs / 2); ; ) {
    await deps.clock.sleep(waitMs, signal);
    try {
      const object = parse(await getWithin(deps, TRY_MS, ref, signal));
      if (accepts(object)) return { found: true, object, source: "api" };
      note("other-object");
      return undefined;
    } catch (error) {
      if (!(error instanceof KubeApiError || error instanceof KubeObjectError)) throw error;
      note(error instanceof KubeApiError && error.status === 404 ? "no-such-name" : error);
      if (!(error instanceof KubeApiError) || error.status === 404) return undefined;
      // The token on disk may be newer than the one that was refused.
      if (isUnauthorized(error)) deps.api.refreshCredentials();
      // A server that asks for patience gets it: a hundred pods that wait are not to ask it twice a second each.
      waitMs = Math.max(RETRY_AFTER_MS, error.retryAfterMs ?? 0);
    }
  }
}

/** One request with a limit of its own: a server that accepts and says nothing must not take the whole deadline. */
async function getWithin({ api, clock }: AskDeps, limitMs: number, ref: ResourceRef, signal: AbortSignal) {
  const attempt = new AbortController();
  const onAbort = (): void => attempt.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  const what = `${ref.plural.replace(/s$/, "")} ${ref.name}`;
  const late = new KubeApiError("KUBE_API_TIMEOUT", `Cannot get ${what}: no answer within ${limitMs} ms`);
  clock.sleep(limitMs, attempt.signal).then(
    () => attempt.abort(late),
    () => undefined,
  );
  try {
    return await api.get(ref, attempt.signal);
  } finally {
    signal.removeEventListener("abort", onAbort);
    attempt.abort();
  }
}
