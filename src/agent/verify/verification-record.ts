// What is known of the redirection of each pod: what it should be and why, and what was found when somebody last looked.
import type { AmbientReason } from "../../core/policy/ambient-decision.ts";
import type { SidecarReason } from "../../core/policy/sidecar-decision.ts";
import type { VerificationFacts } from "../../core/status/describe-pod.ts";

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

/** One pod, as status and `explain` show it, with what only verification asks. Plain data: it can be printed as JSON. */
export interface VerificationRecord extends VerificationFacts {
  readonly podNamespace: string;
  readonly podName: string;
  readonly state: VerificationState;
  /** The rule of policy that puts the pod in or out. */
  readonly reason: SidecarReason | AmbientReason | "finished" | undefined;
  /** Of nf_tables in the namespace when it was last verified. */
  readonly generation: number | undefined;
}
