// What is to be done next for one pod of ambient mode, from what is wanted and what is there. Level-triggered: whoever
// carries the steps out comes back with new facts until nothing is left, whatever happened in between (docs/adr/0012).
import { decideRedirection, type Redirection, type RedirectionFacts } from "./ambient-redirection.ts";

/** What is wanted of a pod and what is there, each as somebody has just seen it. */
export interface EnrolmentFacts extends Omit<RedirectionFacts, "current"> {
  /** It was in before, as a record of its ADD or of an earlier look tells; rules and annotation tell it too. */
  readonly wasIn: boolean;
  /** Whether anybody has a handle on the pod's network namespace. */
  readonly netns: "held" | "missing";
  /** Whether any ztunnel is connected and through with its snapshot. */
  readonly isConnected: boolean;
  /** Whether the node's probe set has all addresses of the pod under its UID, and no other. */
  readonly probes: "listed" | "partly" | "absent";
  /** Addresses of the pod are known, from its status or its namespace. */
  readonly hasAddress: boolean;
  /** `ambient.istio.io/redirection` as the API shows it. */
  readonly annotation: Redirection;
}

export type EnrolmentStep =
  | "find-netns"
  | "list-probes"
  | "tell-ztunnel"
  | "capture"
  | "release"
  | "withdraw"
  | "unlist-probes"
  | "annotate";

/** Why a pod that should be in is not wholly in, and no step of ours would change that now. */
export type EnrolmentWait = "no-address" | "no-ztunnel" | "ztunnel-silent" | "ztunnel-refused" | "unknown-namespace";

export interface EnrolmentPlan {
  /** In the order in which they are to be done; a step that fails ends the list for now. */
  readonly steps: readonly EnrolmentStep[];
  /** What "annotate" is to write. */
  readonly annotation: Redirection;
  readonly waits: EnrolmentWait | undefined;
}

/**
 * The plan for one pod.
 *
 * A pod that runs outside the mesh is given to ztunnel first and redirected when ztunnel has said that it listens there:
 * in the other order its connections go to nobody meanwhile. A pod that was in is redirected whether or not ztunnel is
 * there: it stays inside, if need be without a network. On the way out it is the other way round: rules first. ztunnel cuts
 * what it has open when it is told that a pod is gone, so it is told when there is nothing to cut; the annotation goes before
 * that, else the mesh would go on making connections to ztunnel.
 */
export function decideEnrolmentSteps(facts: EnrolmentFacts): EnrolmentPlan {
  const stoodOnce = facts.rules === "stand" || facts.rules === "finishing";
  const wasIn = facts.wasIn || stoodOnce || facts.annotation !== "none";
  const annotation = decideRedirection({ ...facts, current: facts.annotation });
  const annotate: readonly EnrolmentStep[] = annotation === facts.annotation ? [] : ["annotate"];
  switch (facts.wanted) {
    case "unknown":
      return { steps: [], annotation, waits: "unknown-namespace" };
    case "in": {
      const waits = waitOf(facts);
      if (facts.netns === "missing") return { steps: ["find-netns"], annotation, waits };
      if (!facts.hasAddress) return { steps: [], annotation, waits };
      // What is not true any more is taken back before anything that may take its time.
      const steps = enter(facts, wasIn);
      return { steps: annotation === "enabled" ? [...steps, ...annotate] : [...annotate, ...steps], annotation, waits };
    }
    case "out": {
      if (!wasIn || facts.rules === "absent")
        return { steps: [...forget(facts), ...annotate], annotation, waits: undefined };
      if (facts.netns === "missing") return { steps: ["find-netns"], annotation, waits: undefined };
      if (facts.rules === "finishing") return { steps: [...annotate, "release"], annotation, waits: undefined };
      return { steps: ["release", ...forget(facts), ...annotate], annotation, waits: undefined };
    }
    case "over":
      // Nothing of the pod runs any more: its namespace, and the rules in it, end by themselves.
      return { steps: [...forget(facts), ...annotate], annotation, waits: undefined };
  }
}

function enter(facts: EnrolmentFacts, wasIn: boolean): EnrolmentStep[] {
  const capture: readonly EnrolmentStep[] = facts.rules === "stand" ? [] : ["capture"];
  return [
    ...(facts.probes === "listed" ? [] : (["list-probes"] as const)),
    ...(wasIn ? capture : []),
    ...(facts.ztunnel === "absent" ? (["tell-ztunnel"] as const) : []),
    ...(!wasIn && facts.ztunnel === "acknowledged" ? capture : []),
  ];
}

function waitOf({ hasAddress, netns, ztunnel, isConnected }: EnrolmentFacts): EnrolmentWait | undefined {
  if (netns === "held" && !hasAddress) return "no-address";
  if (ztunnel === "acknowledged") return undefined;
  if (ztunnel === "refused") return "ztunnel-refused";
  return isConnected ? "ztunnel-silent" : "no-ztunnel";
}

function forget({ ztunnel, probes }: EnrolmentFacts): EnrolmentStep[] {
  return [
    ...(ztunnel === "absent" ? [] : (["withdraw"] as const)),
    ...(probes === "absent" ? [] : (["unlist-probes"] as const)),
  ];
}
