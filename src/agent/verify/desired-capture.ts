// What one pod should have: what its sandbox was started with where that is known, else what its annotations said when an
// agent first saw it (ADR 0007), completed by the families its namespace holds.
import type { IpAddress } from "../../core/address.ts";
import type { Pod } from "../../core/kube/pod.ts";
import { needsRecord } from "../../core/pod-record/needs-record.ts";
import type { AmbientPlan, AmbientReason } from "../../core/policy/ambient-decision.ts";
import { decideFamilies, type FamilyOptions } from "../../core/policy/capture-families.ts";
import { decideSidecar, type SidecarReason, type SidecarSettings } from "../../core/policy/sidecar-decision.ts";
import type { SidecarCapture } from "../../core/rules/sidecar-capture.ts";

/** `labels`: ambient mode, where what is wanted changes with the labels of pod and namespace. */
export type DesiredSource = "add" | "annotations" | "labels";

/** What was decided before: at the ADD of the pod's present sandbox, or when an agent first saw it. */
export interface StartedWith {
  readonly reason: SidecarReason;
  /** Undefined: the pod is out. */
  readonly capture: SidecarCapture | undefined;
  readonly decidedBy: "add" | "annotations";
  /** It was seen in place once. */
  readonly wasInPlace: boolean;
}

export type Desired =
  | {
      readonly kind: "none";
      readonly state: "out" | "refused" | "waiting";
      readonly reason: SidecarReason | AmbientReason | "finished";
      readonly source: DesiredSource | undefined;
      readonly message?: string;
      /** Decided just now from what may be edited, while the pod's containers would allow otherwise: to be remembered. */
      readonly pin?: StartedWith;
    }
  /** Decided before, families and all. */
  | {
      readonly kind: "fixed";
      readonly reason: SidecarReason;
      readonly source: "add" | "annotations";
      readonly capture: SidecarCapture;
      readonly wasInPlace: boolean;
    }
  | {
      readonly kind: "new";
      readonly reason: SidecarReason;
      readonly source: "annotations";
      readonly capture: Omit<SidecarCapture, "families">;
      readonly dualStack: boolean;
    }
  /** `whyNotYet`: what is missing is left missing for now. */
  | {
      readonly kind: "ambient";
      readonly reason: AmbientReason;
      readonly source: "labels";
      readonly plan: AmbientPlan;
      readonly whyNotYet: string | undefined;
    }
  /** No rules of ambient mode. */
  | { readonly kind: "release"; readonly reason: AmbientReason; readonly source: "labels" };

/** What sidecar mode wants in a namespace. */
export type DesiredSidecar = Extract<Desired, { kind: "fixed" | "new" }>;

/** @param started what was decided before: later edits do not count. */
export function decideDesired(pod: Pod, started: StartedWith | undefined, settings: SidecarSettings): Desired {
  if (pod.phase === "Succeeded" || pod.phase === "Failed") {
    return { kind: "none", state: "out", reason: "finished", source: undefined };
  }
  if (started !== undefined) {
    const { reason, capture, decidedBy: source, wasInPlace } = started;
    if (capture === undefined) return { kind: "none", state: "out", reason, source };
    return { kind: "fixed", reason, source, capture, wasInPlace };
  }
  const source = "annotations";
  const decision = decideSidecar(pod, settings);
  const { reason } = decision;
  if (decision.kind === "refuse") return { kind: "none", state: "refused", reason, source, message: decision.message };
  if (decision.kind === "pass") {
    const pin = { reason, capture: undefined, decidedBy: source, wasInPlace: false } as const;
    return { kind: "none", state: "out", reason, source, ...(needsRecord(pod, reason, settings) && { pin }) };
  }
  const { dualStack, ...capture } = decision.plan;
  return { kind: "new", reason, source, capture, dualStack };
}

/** The whole capture, and the families that pass by it. A family that was captured stays so; with `strict` one that came
 * later joins. Undefined: the namespace has no address yet, and nobody has decided on its families before. */
export function completeCapture(
  desired: DesiredSidecar,
  addresses: readonly IpAddress[],
  families: Omit<FamilyOptions, "dualStack">,
): { readonly capture: SidecarCapture; readonly bypassed: readonly string[] } | undefined {
  const present = decideFamilies(addresses, { dialect: "iptables", dualStack: true, strict: true });
  const chosen = decideFamilies(addresses, { ...families, dualStack: desired.kind === "new" && desired.dualStack });
  if (present.kind === "no-address" || chosen.kind === "no-address") {
    // Some networks keep the address elsewhere, and a pod may take its own away.
    return desired.kind === "fixed" ? { capture: desired.capture, bypassed: [] } : undefined;
  }
  const capture = desired.kind === "new" ? { ...desired.capture, families: pick(chosen) } : desired.capture;
  const isLate = families.strict && present.v6 && !capture.families.v6;
  return {
    capture: isLate ? { ...capture, families: { ...capture.families, v6: true } } : capture,
    bypassed: present.v6 && !capture.families.v6 && !isLate ? ["ipv6"] : [],
  };
}

function pick({ v4, v6 }: SidecarCapture["families"]): SidecarCapture["families"] {
  return { v4, v6 };
}
