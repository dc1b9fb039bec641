// What is known of the redirection of each pod: what it should be and why, and what was found when somebody last looked.
import type { AmbientReason } from "../../core/policy/ambient-decision.ts";
import type { SidecarReason } from "../../core/policy/sidecar-decision.ts";
import type { PodCapture } from "../../core/rules/pod-capture.ts";

/**
 * - `waiting`: nobody has looked yet, or nobody can tell what should be there.
 * - `out`: the pod is to be left alone; `reason` says why. Rules of ambient mode that were there are gone.
 * - `refused`: its annotations cannot be followed.
 * - `verified`: what should be there is there. `repaired`: it was not, and is now.
 * - `uncaptured`: it is not there, and no mode of repair allows to put it there; or, in ambient mode, not yet.
 * - `failed`: it is not there, and could not be put there.
 * - `unverifiable`: the pod's network namespace cannot be found or looked into.
 */
export type VerificationState =
  | "waiting"
  | "out"
  | "refused"
  | "verified"
  | "repaired"
  | "uncaptured"
  | "failed"
  | "unverifiable";

/** One pod, as status and `explain` show it. Plain data: it can be printed as JSON. Times are milliseconds since 1970. */
export interface VerificationRecord {
  readonly podUid: string;
  readonly podNamespace: string;
  readonly podName: string;
  readonly state: VerificationState;
  /** The rule of policy that puts the pod in or out. */
  readonly reason: SidecarReason | AmbientReason | "finished" | undefined;
  /** Where `desired` comes from: the ADD of its sandbox, its annotations as an agent first saw them, or, in ambient mode, its
   * labels and those of its namespace as they are now. */
  readonly decidedBy: "add" | "annotations" | "labels" | undefined;
  readonly desired: PodCapture | undefined;
  /** Families with an address that pass by the proxy. */
  readonly bypassed: readonly string[];
  /** A sentence for `refused`, `uncaptured`, `failed` and `unverifiable`. */
  readonly message: string | undefined;
  readonly lastVerifiedMs: number | undefined;
  /** Of nf_tables in the namespace when it was last verified. */
  readonly generation: number | undefined;
  /** What was different the last time anything was, and when that was. */
  readonly lastDrift: readonly string[];
  readonly lastDriftMs: number | undefined;
  readonly repairs: number;
  readonly netns: { readonly ino: string; readonly source: "add" | "uid" | "ip" } | undefined;
  /** Whether the kernel tells of changes; without that only the timer finds them. */
  readonly isMonitored: boolean;
  /** The pod has left ambient mode: nothing new is redirected, and what was is being finished. How many connections that are;
   * `undefined` where the kernel does not tell. */
  readonly finishing: { readonly connections: number | undefined; readonly sinceMs: number } | undefined;
}
