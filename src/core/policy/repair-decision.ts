// What is to be done about a pod that started without its redirection: contract 6.1 and 6.2. The pod is judged by its init
// container, and by what may never be touched. Missing rules themselves are the verifier's to see, it asks here for leave.
import type { ContainerStatus, Pod, Terminated } from "../kube/pod.ts";
import type { PodSelector } from "./repair-selectors.ts";
import { decideSidecar, type SidecarReason, type SidecarSettings } from "./sidecar-decision.ts";

/** "repair": in place. "none": repair is off, or no mode was chosen. */
export type RepairMode = "repair" | "delete" | "label" | "none";

/** Which pods are looked at, what counts as broken, and what is done then. */
export interface RepairOptions {
  readonly mode: RepairMode;
  readonly selects: PodSelector;
  /** A pod must have this annotation; "": any pod. */
  readonly sidecarAnnotation: string;
  /** "": any init container. */
  readonly initContainerName: string;
  /** Without blanks around; "": any message. */
  readonly terminationMessage: string;
  /** 0: any. */
  readonly exitCode: number;
  readonly labelKey: string;
}

/** Why a pod is left alone. */
export type LeaveReason = SidecarReason | "terminating" | "not-selected" | "no-annotation" | "not-broken" | "labelled";

export type RepairDecision =
  | { readonly kind: "leave"; readonly reason: LeaveReason }
  /** `evidence` is a sentence. */
  | { readonly kind: "broken"; readonly action: RepairMode; readonly evidence: string };

/** The switches; the first that is true wins (upstream cni/pkg/repair/repaircontroller.go:89-96@1.30.3). */
export function chooseRepairMode(switches: {
  readonly enabled: boolean;
  readonly repairPods: boolean;
  readonly deletePods: boolean;
  readonly labelPods: boolean;
}): RepairMode {
  if (!switches.enabled) return "none";
  if (switches.repairPods) return "repair";
  if (switches.deletePods) return "delete";
  return switches.labelPods ? "label" : "none";
}

/** Decides by the pod alone. Unlike upstream the first crash counts (D25: a Job's pod has no second), terminating pods are
 * left alone, and so is every pod that is not in the mesh by a rule of policy, however its init containers end. */
export function decideRepair(pod: Pod, options: RepairOptions, settings: SidecarSettings): RepairDecision {
  const reason = leaveAlone(pod, options, settings);
  if (reason !== undefined) return { kind: "leave", reason };
  const evidence = findCrash(pod, options);
  if (evidence === undefined) return { kind: "leave", reason: "not-broken" };
  // Whatever the value: somebody has said already what there is to say (contract 6.2).
  if (options.mode === "label" && pod.labels[options.labelKey] !== undefined)
    return { kind: "leave", reason: "labelled" };
  return { kind: "broken", action: options.mode, evidence };
}

/** Why no mode of repair may touch this pod; undefined: it may. */
export function leaveAlone(pod: Pod, options: RepairOptions, settings: SidecarSettings): LeaveReason | undefined {
  if (pod.deletionTimestamp !== undefined) return "terminating";
  const decision = decideSidecar(pod, settings);
  // Whoever names another annotation, or none, means pods that our injector has not marked.
  const isBeyondPolicy = decision.reason === "not-injected" || decision.reason === "no-proxy-container";
  if (decision.kind === "pass" && !isBeyondPolicy) return decision.reason;
  if (options.sidecarAnnotation !== "" && pod.annotations[options.sidecarAnnotation] === undefined)
    return "no-annotation";
  return options.selects(pod) ? undefined : "not-selected";
}

function findCrash(pod: Pod, options: RepairOptions): string | undefined {
  for (const status of pod.initContainerStatuses) {
    if (options.initContainerName !== "" && status.name !== options.initContainerName) continue;
    const crash = crashOf(status, options);
    if (crash !== undefined) return `init container ${status.name} ended with ${crash.exitCode}`;
  }
  return undefined;
}

function crashOf({ state, lastState }: ContainerStatus, options: RepairOptions): Terminated | undefined {
  if (state !== undefined && (state.reason === "Completed" || state.exitCode === 0)) return undefined;
  return [state, lastState].find(
    (ended) =>
      ended !== undefined &&
      (options.terminationMessage === "" || ended.message.trim() === options.terminationMessage) &&
      (options.exitCode === 0 || ended.exitCode === options.exitCode),
  );
}
