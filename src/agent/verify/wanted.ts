// What is wanted in one pod's namespace, once that is open: the whole capture, what passes by it, and how a difference is to
// be taken: as somebody's doing, as a missed start, or as a pod on its way in.
import type { IpAddress } from "../../core/address.ts";
import type { Pod } from "../../core/kube/pod.ts";
import type { FamilyOptions } from "../../core/policy/capture-families.ts";
import { leaveAlone, type RepairOptions } from "../../core/policy/repair-decision.ts";
import type { SidecarSettings } from "../../core/policy/sidecar-decision.ts";
import type { NetnsHandle } from "../../platform/linux/netns.ts";
import { completeAmbient, isSameAmbient, type VerifiedAmbient } from "./ambient-rules.ts";
import { completeCapture, type Desired, type StartedWith } from "./desired-capture.ts";
import type { LookOutcome, PodState } from "./pod-state.ts";

export interface WantedDeps {
  readonly backend: {
    addresses(netnsFd: number): readonly IpAddress[];
    dialectFor(pod: Pod, netnsFd: number): FamilyOptions["dialect"];
  };
  readonly decisions: { keep(pod: Pod, decision: StartedWith, netns: NetnsHandle): void };
  readonly ambient?: VerifiedAmbient;
}

export interface WantedOptions {
  readonly settings: SidecarSettings;
  readonly strictFamilies: boolean;
  readonly repair: RepairOptions;
}

export interface Wanted extends Omit<LookOutcome, "result"> {
  readonly bypassed: readonly string[];
  /** For an agent after this one, once it was looked at. */
  remember(): void;
}

/** Undefined: the namespace has no address yet. */
export type WantedOf = (
  pod: Pod,
  state: PodState,
  desired: Exclude<Desired, { kind: "none" | "release" }>,
  netns: NetnsHandle,
) => Wanted | undefined;

export function createWanted(deps: WantedDeps, options: WantedOptions): WantedOf {
  /** Why a pod that nobody has seen captured is left as it is; undefined: it is repaired. */
  function whyNotRepaired(pod: Pod): string | undefined {
    if (options.repair.mode !== "repair") return "repair in place is off (REPAIR_REPAIR_PODS)";
    const reason = leaveAlone(pod, options.repair, options.settings);
    return reason === undefined ? undefined : `repair leaves this pod alone (${reason})`;
  }

  return (pod, state, desired, netns) => {
    const addresses = deps.backend.addresses(netns.fd);
    const { ambient } = deps;
    if (desired.kind === "ambient") {
      const complete = ambient === undefined ? undefined : completeAmbient(ambient, desired, addresses);
      if (complete === undefined) return undefined;
      const { capture } = complete;
      const isKnown = isSameAmbient(state.applied, capture);
      const remember = () => {
        if (isSameAmbient(state.applied, capture)) ambient?.inPlace(pod, capture, netns);
      };
      return { ...complete, isKnown, isNew: !isKnown, whyNot: desired.whyNotYet, remember };
    }
    const families = { dialect: deps.backend.dialectFor(pod, netns.fd), strict: options.strictFamilies };
    const complete = completeCapture(desired, addresses, families);
    if (complete === undefined) return undefined;
    const { capture } = complete;
    const { reason, source: decidedBy } = desired;
    if (desired.kind === "new") state.pinned = { reason, capture, decidedBy, wasInPlace: false };
    const isKnown = state.applied !== undefined || (desired.kind === "fixed" && desired.wasInPlace);
    const remember = () => {
      const wasInPlace = isKnown || state.applied !== undefined;
      deps.decisions.keep(pod, { reason, capture, decidedBy, wasInPlace }, netns);
    };
    return { ...complete, isKnown, isNew: false, whyNot: isKnown ? undefined : whyNotRepaired(pod), remember };
  };
}

/** What the backend wants to know of the pod beside its capture. */
export function hostUsersOf({ hostUsers }: Pod): { readonly hostUsers?: boolean } {
  return hostUsers === undefined ? {} : { hostUsers };
}
