// What the verifier has to know of ambient mode: what is wanted of a pod's namespace, completed by the families it holds.
// Whether a pod is in, and when its rules may be written or have to go, is decided elsewhere (core/policy/rules-wish.ts).
import type { IpAddress } from "../../core/address.ts";
import type { Pod } from "../../core/kube/pod.ts";
import type { NetnsId } from "../../core/netns/netns-id.ts";
import type { FamilyDecision } from "../../core/policy/capture-families.ts";
import type { RulesWish } from "../../core/policy/rules-wish.ts";
import type { AmbientCapture } from "../../core/rules/ambient-capture.ts";
import type { PodCapture } from "../../core/rules/pod-capture.ts";
import type { Desired } from "./desired-capture.ts";

/** Ambient mode, as far as the rules of running pods are concerned. */
export interface VerifiedAmbient {
  wishFor(pod: Pod): RulesWish;
  /** By the addresses in the pod's namespace. */
  decideFamilies(addresses: readonly IpAddress[]): FamilyDecision;
  /** Everything ambient mode ever writes is found by this capture, whatever a pod had. */
  readonly anyCapture: AmbientCapture;
  /** These rules stand in the pod's namespace; telling it again costs nothing. */
  inPlace(pod: Pod, capture: AmbientCapture, netns: NetnsId & { readonly fd: number }): void;
  /** They are gone from it. */
  released(pod: Pod): void;
  /** A look at this pod has ended, whatever it found. */
  settled(podUid: string): void;
}

/** Undefined: the pod has a sidecar, or ambient mode is off: no business of this mode. */
export function ambientDesired(ambient: VerifiedAmbient, pod: Pod): Desired | undefined {
  const wish = ambient.wishFor(pod);
  const source = "labels";
  switch (wish.kind) {
    case "none":
      if (wish.reason === "sidecar-present" || wish.reason === "mode-off") return undefined;
      return { kind: "none", state: "out", reason: wish.reason, source };
    case "hold":
      return { kind: "none", state: "waiting", reason: wish.reason, source };
    case "release":
      return { kind: "release", reason: wish.reason, source };
    case "capture":
      return { kind: "ambient", reason: wish.reason, source, plan: wish.plan, whyNotYet: wish.whyNotYet };
  }
}

/** The whole capture and what passes by it; undefined: the namespace has no address yet. */
export function completeAmbient(
  ambient: VerifiedAmbient,
  { plan }: Extract<Desired, { kind: "ambient" }>,
  addresses: readonly IpAddress[],
): { readonly capture: AmbientCapture; readonly bypassed: readonly string[] } | undefined {
  const families = ambient.decideFamilies(addresses);
  if (families.kind === "no-address") return undefined;
  const { v4, v6, bypassed } = families;
  return { capture: { ...plan, families: { v4, v6 } }, bypassed };
}

/** Whether rules of `left` are rules of `right`. */
export function isSameAmbient(left: PodCapture | undefined, right: AmbientCapture): boolean {
  return left !== undefined && JSON.stringify(left) === JSON.stringify(right);
}
