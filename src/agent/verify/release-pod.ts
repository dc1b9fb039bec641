// A pod that has left ambient mode: nothing new is redirected at once, and once ztunnel has finished what was, nothing of ours
// is left. Level-triggered: each call does what can be done now and says when to come back, so an agent that ends in between
// leaves a namespace with which its successor goes on.
import type { Pod } from "../../core/kube/pod.ts";
import type { AmbientCapture } from "../../core/rules/ambient-capture.ts";
import type { Clock } from "../../platform/clock.ts";
import type { VerifiedBackend } from "./look-at-pod.ts";
import type { PodState } from "./pod-state.ts";
import { hostUsersOf } from "./wanted.ts";

export interface ReleasePodDeps {
  readonly backend: Pick<VerifiedBackend, "release" | "remove">;
  readonly clock: Pick<Clock, "nowMs">;
  wallMs(): number;
}

/** `finishing`: connections are open, or may be; look again in so many milliseconds. */
export type ReleasePass = { readonly kind: "gone" } | { readonly kind: "finishing"; readonly againMs: number };

/** Where the kernel does not tell of connections. */
const UNSEEN_MS = 30_000;
/** What was on its way when the pod was let go has arrived by then. */
const FIRST_LOOK_MS = 500;
const NEXT_LOOK_MS = 2000;

/**
 * One pass. ztunnel is to be told of the pod's end only when it is "gone": it cuts what it has open then.
 *
 * @param netnsFd has to stay open. @param finishMs so long open connections are waited for, counted from the first pass.
 * @throws what the backend throws; the next pass goes on from there.
 */
export async function releasePod(
  deps: ReleasePodDeps,
  { pod, state, netnsFd }: { readonly pod: Pod; readonly state: PodState; readonly netnsFd: number },
  anyCapture: AmbientCapture,
  finishMs: number,
): Promise<ReleasePass> {
  const { changed, connections } = await deps.backend.release(netnsFd);
  const nowMs = deps.clock.nowMs();
  state.released ??= { atMs: nowMs, sinceMs: deps.wallMs(), formerly: state.applied, firstLookMs: nowMs };
  if (changed) state.released.firstLookMs = nowMs + FIRST_LOOK_MS;
  const { atMs, sinceMs, formerly, firstLookMs } = state.released;
  // Should it come back in, that is no repair.
  state.applied = undefined;
  Object.assign(state.record, { state: "out", message: undefined, desired: undefined, bypassed: [] });
  const untilMs = atMs + (connections === undefined ? UNSEEN_MS : finishMs);
  // Other events bring us here early, of which our own change is one.
  const earlyMs = firstLookMs - nowMs;
  if (nowMs < untilMs && (earlyMs > 0 || connections !== 0)) {
    state.record.finishing = { connections, sinceMs };
    return { kind: "finishing", againMs: earlyMs > 0 ? earlyMs : NEXT_LOOK_MS };
  }
  await deps.backend.remove(netnsFd, anyCapture, { ...hostUsersOf(pod), ...(formerly !== undefined && { formerly }) });
  state.released = undefined;
  state.failures = 0;
  state.record.finishing = undefined;
  return { kind: "gone" };
}
