// What the enrolment loop needs of the services beside it, the same whether ambient mode is on or being left: what the
// verifier knows of a pod's rules, and what is counted.
import type { Enrolment, EnrolmentDeps } from "../agent/ambient/enrolment-api.ts";
import type { PodBackend } from "../agent/netfilter/pod-backend.ts";
import type { NetnsRegistry } from "../agent/netns/netns-registry.ts";
import type { Verifier } from "../agent/verify/verifier.ts";
import type { Pod } from "../core/kube/pod.ts";
import type { AgentMetrics } from "../core/metrics/agent-metrics.ts";
import { redirectionOf } from "../core/policy/ambient-redirection.ts";
import { addressesInUse } from "../core/policy/capture-families.ts";
import type { AmbientCapture } from "../core/rules/ambient-capture.ts";
import type { WiredDecisions } from "./wire-decisions.ts";

/** @param verifier is made after this */
export function ambientRulesOf(
  verifier: () => Pick<Verifier, "request" | "record">,
  netns: Pick<NetnsRegistry, "get">,
  backend: Pick<PodBackend, "addresses">,
): EnrolmentDeps["rules"] {
  return {
    request: (uid) => verifier().request(uid),
    state(uid) {
      const record = verifier().record(uid);
      switch (record?.state) {
        case "verified":
        case "repaired":
          return record.desired?.mode === "ambient" ? "stand" : "unknown";
        case "uncaptured":
        case "failed":
          return "broken";
        case "out":
          return record.finishing === undefined ? "absent" : "finishing";
        default:
          return "unknown";
      }
    },
    addresses(uid) {
      const held = netns.get({ uid, annotations: {} });
      try {
        return held === undefined ? [] : addressesInUse(backend.addresses(held.fd));
      } catch {
        // The kernel does not tell: the verifier is told the same, and says so.
        return [];
      }
    },
  };
}

/** Whether a pod is in, was, or has something left of that, as far as its annotation, its record or the loop tell. */
export function isOrWasIn(
  { uid, annotations }: Pod,
  decisions: Pick<WiredDecisions["ambient"], "wasIn">,
  enrolment: Pick<Enrolment, "record">,
): boolean {
  return (
    redirectionOf(annotations) !== "none" || decisions.wasIn(uid) || (enrolment.record(uid)?.state ?? "out") !== "out"
  );
}

/** What the loop counts. */
export function enrolmentMetrics(
  metrics: Pick<AgentMetrics, "reconcileEvents" | "enrolmentSteps">,
): EnrolmentDeps["metrics"] {
  return {
    handled: (type) => metrics.reconcileEvents.increment({ type }),
    step: (step, result) => metrics.enrolmentSteps.increment({ step, result }),
  };
}

/** Everything that ambient mode ever writes into a pod is found by this. */
export function anyAmbientCapture(probeSource: AmbientCapture["probeSource"]): AmbientCapture {
  return {
    mode: "ambient",
    families: { v4: true, v6: true },
    captureInbound: true,
    captureDns: true,
    virtualInterfaces: [],
    probeSource,
  };
}
