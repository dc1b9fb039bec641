// What an agent would do with a pod that does not run yet: the decision with its reason, and the rules, made by the same
// policy and the same rules as at the pod's ADD. What only a node can tell (addresses, the kernel) is given.

import type { IpAddress } from "../address.ts";
import type { Pod } from "../kube/pod.ts";
import { type AmbientSettings, decideAmbient } from "../policy/ambient-decision.ts";
import { decideAmbientFamilies } from "../policy/ambient-families.ts";
import { type BackendDecision, dialectForPod } from "../policy/backend-decision.ts";
import type { BackendDialect } from "../policy/backend-features.ts";
import { decideFamilies, type FamilyDecision } from "../policy/capture-families.ts";
import { decideSidecar, type SidecarSettings } from "../policy/sidecar-decision.ts";
import type { PodCapture } from "../rules/pod-capture.ts";

export interface PreviewSettings {
  readonly sidecar: SidecarSettings;
  /** Undefined: the node is in sidecar mode. */
  readonly ambient: (AmbientSettings & { readonly ipv6: boolean }) | undefined;
  readonly strictFamilies: boolean;
  readonly backend: BackendDecision;
}

export interface PreviewedPod {
  readonly pod: Pod;
  /** Undefined: they are not known. */
  readonly namespaceLabels: Readonly<Record<string, string>> | undefined;
  /** Those that the pod will have. */
  readonly addresses: readonly IpAddress[];
}

export interface Preview {
  readonly decision: "in" | "out" | "refused" | "undecided";
  readonly reason: string;
  /** A sentence for `refused`. */
  readonly message: string | undefined;
  /** What in the manifest counts as something else than it says. */
  readonly notes: readonly string[];
  /** What to do, where a manifest is often not what its author thinks. */
  readonly hint: string | undefined;
  readonly capture: PodCapture | undefined;
  readonly bypassed: readonly string[];
  readonly dialect: BackendDialect | undefined;
}

const HINTS: Readonly<Record<string, string>> = {
  "no-proxy-container":
    "A manifest has no sidecar before its injection: in a cluster the injector's webhook adds it when the pod is made. Give the pod as the API server has it (kubectl get pod NAME -o yaml), or what the injector makes of the manifest (istioctl kube-inject -f FILE).",
  "not-injected":
    "The injector writes that annotation. Give the pod as the API server has it (kubectl get pod NAME -o yaml), or what the injector makes of the manifest (istioctl kube-inject -f FILE).",
  "not-selected":
    "Labels of the namespace are given by --namespace-label KEY=VALUE, or by a Namespace in the manifest; what puts a pod into ambient mode is AMBIENT_ENABLEMENT_SELECTOR.",
  "namespace-unknown":
    "Whether it is in ambient mode is decided by the labels of its namespace. Give them by --namespace-label KEY=VALUE, or by a Namespace in the manifest.",
};

export function previewPod(previewed: PreviewedPod, settings: PreviewSettings): Preview {
  const { ambient } = settings;
  if (ambient === undefined) return previewSidecar(previewed, settings);
  const { pod, namespaceLabels, addresses } = previewed;
  const namespace = namespaceLabels === undefined ? undefined : { labels: namespaceLabels };
  const decision = decideAmbient(pod, namespace, ambient);
  const { kind, reason } = decision;
  // As at ADD: a pod with a sidecar is the other mode's.
  if (kind === "out" && reason === "sidecar-present") return previewSidecar(previewed, settings);
  if (kind !== "in") return { ...uncaptured(reason), decision: kind === "out" ? "out" : "undecided" };
  const families = decideAmbientFamilies(addresses, { ipv6: ambient.ipv6, strict: settings.strictFamilies });
  const { hints, plan } = decision;
  return captured(previewed, settings, {
    reason,
    notes: hints,
    families,
    plan: (both) => ({ ...plan, families: both }),
  });
}

function previewSidecar(previewed: PreviewedPod, settings: PreviewSettings): Preview {
  const decision = decideSidecar(previewed.pod, settings.sidecar);
  const { reason } = decision;
  if (decision.kind === "pass") return { ...uncaptured(reason), decision: "out" };
  if (decision.kind === "refuse") return { ...uncaptured(reason), decision: "refused", message: decision.message };
  const { dualStack, ...plan } = decision.plan;
  // The node's dialect decides, also for a pod that is written in another.
  const dialect = settings.backend.dialect === "nftables" ? "nftables" : "iptables";
  const families = decideFamilies(previewed.addresses, { dialect, dualStack, strict: settings.strictFamilies });
  return captured(previewed, settings, {
    reason,
    notes: decision.hints,
    families,
    plan: (both) => ({ ...plan, families: both }),
  });
}

function captured(
  { pod }: PreviewedPod,
  { backend }: PreviewSettings,
  found: {
    readonly reason: string;
    readonly notes: readonly string[];
    readonly families: FamilyDecision;
    readonly plan: (families: PodCapture["families"]) => PodCapture;
  },
): Preview {
  const { reason, notes, families } = found;
  if (families.kind === "no-address") {
    const message = "The pod would have no address beyond loopback and link-local, and is refused until it has one";
    return { ...uncaptured(reason), decision: "refused", notes, message };
  }
  const capture = found.plan({ v4: families.v4, v6: families.v6 });
  const writable = dialectForPod(backend, pod, capture.mode);
  if (writable === undefined) {
    const message = "It has a user namespace of its own (hostUsers: false), which needs nf_tables on its node";
    return { ...uncaptured(reason), decision: "refused", notes, message };
  }
  const { bypassed } = families;
  return { ...uncaptured(reason), decision: "in", notes, capture, bypassed, dialect: writable.dialect };
}

function uncaptured(reason: string): Omit<Preview, "decision"> {
  const hint = Object.hasOwn(HINTS, reason) ? HINTS[reason] : undefined;
  return { reason, message: undefined, notes: [], hint, capture: undefined, bypassed: [], dialect: undefined };
}
