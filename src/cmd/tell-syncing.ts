// Whether the API has shown what is to be followed, as a condition of readiness: as long as it has not, with the reason, so that
// whoever looks at /readyz of an agent without its RBAC reads which right is missing.
import type { Informers } from "../agent/informers/informers.ts";
import type { Condition } from "../agent/status/readiness.ts";
import type { Clock } from "../platform/clock.ts";
import { ignoreAbort } from "./ignore-abort.ts";

const LOOK_MS = 1000;

export interface TellSyncingDeps {
  readonly informers: Pick<Informers, "health"> & {
    readonly pods: Pick<Informers["pods"], "waitSynced">;
    readonly namespaces: Pick<Informers["namespaces"], "waitSynced">;
  };
  readonly synced: Condition;
  readonly clock: Pick<Clock, "sleep">;
}

/** Until all is shown, or the signal aborts. Rejects for nothing else. */
export async function tellSyncing({ informers, synced, clock }: TellSyncingDeps, ending: AbortSignal): Promise<void> {
  const shown = new AbortController();
  const waiting = Promise.all([informers.pods.waitSynced(ending), informers.namespaces.waitSynced(ending)])
    .then(synced.ready, ignoreAbort(ending))
    .finally(() => shown.abort());
  const over = AbortSignal.any([ending, shown.signal]);
  while (!over.aborted) {
    const reasons = informers
      .health()
      .filter(({ isSynced }) => !isSynced)
      .map(({ kind, lastFailure }) => reasonOf(kind, lastFailure));
    if (reasons.length > 0) synced.notReady(reasons.join("; "));
    await clock.sleep(LOOK_MS, over).catch(() => undefined);
  }
  await waiting;
}

function reasonOf(kind: string, failure: string | undefined): string {
  const what = `the API server has not shown the ${kind} of this node yet`.replace(
    "namespaces of this node",
    "namespaces",
  );
  if (failure === undefined) return what;
  const hint = /\b403\b/.test(failure)
    ? `; the agent's service account has to be allowed to get, list and watch ${kind}`
    : /\b401\b/.test(failure)
      ? "; the API server does not take the token of the agent's service account"
      : "";
  return `${what}: ${failure}${hint}`;
}
