// Which decisions a later agent could not repeat. Thousands of pods have no proxy at all; their containers, which nobody can
// edit, say so to every agent, and a file for each would be waste.
import type { Pod } from "../kube/pod.ts";
import {
  decideSidecar,
  type SidecarReason,
  type SidecarSettings,
  STATUS_ANNOTATION,
} from "../policy/sidecar-decision.ts";

/** Decided by annotations and labels, which may be edited, or by options of the agent. */
const MAY_CHANGE: readonly SidecarReason[] = [
  "excluded-namespace",
  "inject-disabled",
  "interception-mode-none",
  "not-injected",
];

/** Whether a pod that was left outside for this reason would be captured with other annotations, labels or options. What is
 * captured always needs a record. */
export function needsRecord(pod: Pod, reason: SidecarReason, settings: SidecarSettings): boolean {
  if (!MAY_CHANGE.includes(reason)) return false;
  const bare = { ...pod, labels: {}, annotations: {} };
  const open = { ...settings, excludedNamespaces: [] };
  return decideSidecar(bare, open, { [STATUS_ANNOTATION]: "{}" }).kind === "capture";
}
