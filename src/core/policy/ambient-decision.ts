// Decides whether a pod belongs into ambient mode, and how it is captured: contract 7.2, 7.3, as one value with its reason.
// The same for a pod that starts and for one that runs. Who asks, and what follows, is not decided here.

import type { Namespace } from "../kube/namespace.ts";
import type { Pod } from "../kube/pod.ts";
import type { AmbientCapture } from "../rules/ambient-capture.ts";
import { parseAmbientAnnotations } from "./ambient-annotations.ts";
import { type EnablementSelectors, matchEnablement } from "./enablement-selectors.ts";
import { OWN_POD_PREFIX, STATUS_ANNOTATION } from "./sidecar-decision.ts";

/** Why a pod is in: its own labels were enough, or its namespace's were needed. */
export type AmbientInReason = "pod-label" | "namespace-label";

/** Why a pod is out; stable words, used in logs, metrics, Events and status. */
export type AmbientOutReason =
  | "own-agent"
  | "excluded-namespace"
  | "host-network"
  | "ztunnel"
  | "sidecar-present"
  | "finished"
  | "not-selected"
  | "mode-off";

export type AmbientReason = AmbientInReason | AmbientOutReason | "namespace-unknown";

/** Everything the capture needs but the families, which only the pod's network namespace can tell (ambient-families.ts). */
export type AmbientPlan = Omit<AmbientCapture, "families">;

/** `unknown` is no kind of "out": who asks waits for the namespace. */
export type AmbientDecision =
  | {
      readonly kind: "in";
      readonly reason: AmbientInReason;
      readonly plan: AmbientPlan;
      readonly hints: readonly string[];
    }
  | { readonly kind: "out"; readonly reason: AmbientOutReason }
  | { readonly kind: "unknown"; readonly reason: "namespace-unknown" };

/** What the operator set for all pods of the node. */
export interface AmbientSettings {
  readonly selectors: EnablementSelectors;
  readonly excludedNamespaces: readonly string[];
  /** The agent's own namespace. */
  readonly agentNamespace: string;
  /** Where pods labelled `app=ztunnel` are ztunnels. */
  readonly systemNamespace: string;
  /** `AMBIENT_DNS_CAPTURE`. */
  readonly dnsCapture: boolean;
  readonly probeSource: AmbientCapture["probeSource"];
}

/** Of every pod while ambient mode is switched off: what a former agent took in is let go. */
export const AMBIENT_IS_OFF: AmbientDecision = { kind: "out", reason: "mode-off" };

/** The same of a pod whose decision is known: one that is out anyway stays out for its own reason, since with "sidecar-present"
 * sidecar mode decides. */
export function decideWhileOff(decision: AmbientDecision): AmbientDecision {
  return decision.kind === "out" ? decision : AMBIENT_IS_OFF;
}

/** Whether this pod is a ztunnel (contract 7.4): it is never enrolled, and its node's workloads depend on it. */
export function isZtunnelPod(pod: Pick<Pod, "namespace" | "labels">, systemNamespace: string): boolean {
  return pod.namespace === systemNamespace && pod.labels["app"] === "ztunnel";
}

/** What a sandbox proves alone, before anybody is asked for the pod: what the plugin decides too (ADR 5). Undefined: nothing. */
export function decideAmbientEarly(
  sandbox: {
    readonly podNamespace: string;
    readonly podName: string;
    readonly annotations: Readonly<Record<string, string>> | undefined;
  },
  settings: Pick<AmbientSettings, "agentNamespace" | "excludedNamespaces">,
): AmbientOutReason | undefined {
  const { podNamespace, podName, annotations } = sandbox;
  if (podName.startsWith(OWN_POD_PREFIX) && podNamespace === settings.agentNamespace) return "own-agent";
  if (settings.excludedNamespaces.includes(podNamespace)) return "excluded-namespace";
  return annotations !== undefined && annotations[STATUS_ANNOTATION] !== undefined ? "sidecar-present" : undefined;
}

/** Decides for `pod`. `annotations` are those the runtime passed, which belong to the very sandbox that starts; without them
 * the pod's own. A namespace that is not known makes the answer `unknown` where its labels matter, and only there. */
export function decideAmbient(
  pod: Pod,
  namespace: Pick<Namespace, "labels"> | undefined,
  settings: AmbientSettings,
  annotations: Readonly<Record<string, string>> = pod.annotations,
): AmbientDecision {
  const settled = decideByItself(pod, settings, annotations);
  if (settled !== undefined) return { kind: "out", reason: settled };
  const match = matchEnablement(settings.selectors, pod.labels, namespace?.labels);
  if (match.kind === "unknown") return { kind: "unknown", reason: "namespace-unknown" };
  if (match.kind === "out") return { kind: "out", reason: "not-selected" };
  const { hints, ...options } = parseAmbientAnnotations(annotations, settings.dnsCapture);
  return {
    kind: "in",
    reason: match.by === "pod" ? "pod-label" : "namespace-label",
    plan: { mode: "ambient", ...options, probeSource: settings.probeSource },
    hints,
  };
}

/** What keeps a pod out whatever the labels say. The first three are what the plugin decides alone, too (ADR 5). */
function decideByItself(
  pod: Pod,
  settings: AmbientSettings,
  annotations: Readonly<Record<string, string>>,
): AmbientOutReason | undefined {
  if (pod.name.startsWith(OWN_POD_PREFIX) && pod.namespace === settings.agentNamespace) return "own-agent";
  if (settings.excludedNamespaces.includes(pod.namespace)) return "excluded-namespace";
  if (pod.hostNetwork) return "host-network";
  if (isZtunnelPod(pod, settings.systemNamespace)) return "ztunnel";
  if (annotations[STATUS_ANNOTATION] !== undefined) return "sidecar-present";
  return pod.phase === "Succeeded" || pod.phase === "Failed" ? "finished" : undefined;
}
