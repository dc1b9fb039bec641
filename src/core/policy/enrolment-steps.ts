// What is to be done next for one pod of ambient mode, from what is wanted and what is there. Level-triggered: whoever
// carries the steps out comes back with new facts until nothing is left, whatever happened in between (docs/adr/0011).

/** What is wanted of a pod and what is there, each as somebody has just seen it. */
export interface EnrolmentFacts {
  /** By policy. `unknown`: its namespace has not been seen; nothing is concluded. `over`: deleted or finished. */
  readonly wanted: "in" | "out" | "over" | "unknown";
  /** It was in before, as a record of its ADD or of an earlier look tells; rules and annotation tell it too. */
  readonly wasIn: boolean;
  /** Whether anybody has a handle on the pod's network namespace. */
  readonly netns: "held" | "missing";
  /** Of the rules in it. `unknown`: nobody has looked since something changed. */
  readonly rules: "stand" | "absent" | "unknown";
  /** `refused`: by the newest ztunnel; `sent`: no word yet. */
  readonly ztunnel: "acknowledged" | "sent" | "refused" | "absent";
  /** Whether any ztunnel is connected and through with its snapshot. */
  readonly isConnected: boolean;
  /** Whether the node's probe set has all addresses of the pod under its UID, and no other. */
  readonly probes: "listed" | "partly" | "absent";
  /** Addresses of the pod are known, from its status or its namespace. */
  readonly hasAddress: boolean;
  /** `ambient.istio.io/redirection` as the API shows it. */
  readonly annotation: "enabled" | "pending" | "none";
}

export type EnrolmentStep =
  | "find-netns"
  | "list-probes"
  | "tell-ztunnel"
  | "capture"
  | "release"
  | "withdraw"
  | "unlist-probes"
  | "annotate-enabled"
  | "annotate-pending"
  | "annotate-none";

/** Why a pod that should be in is not wholly in, and no step of ours would change that now. */
export type EnrolmentWait = "no-address" | "no-ztunnel" | "ztunnel-silent" | "ztunnel-refused" | "unknown-namespace";

export interface EnrolmentPlan {
  /** In the order in which they are to be done; a step that fails ends the list for now. */
  readonly steps: readonly EnrolmentStep[];
  readonly waits: EnrolmentWait | undefined;
}

/**
 * The plan for one pod.
 *
 * A pod that runs outside the mesh is given to ztunnel first and redirected when ztunnel has said that it listens there:
 * in the other order its connections go to nobody meanwhile. A pod that was in is redirected whether or not ztunnel is
 * there: it stays inside, if need be without a network. On the way out it is the other way round: rules first.
 */
export function decideEnrolmentSteps(facts: EnrolmentFacts): EnrolmentPlan {
  const wasIn = facts.wasIn || facts.rules === "stand" || facts.annotation !== "none";
  switch (facts.wanted) {
    case "unknown":
      return { steps: [], waits: "unknown-namespace" };
    case "in":
      return enter({ ...facts, wasIn });
    case "out":
      return { steps: leave({ ...facts, wasIn }), waits: undefined };
    case "over":
      // Nothing of the pod runs any more: its namespace, and the rules in it, end by themselves.
      return { steps: forgetIt(facts), waits: undefined };
  }
}

function enter(facts: EnrolmentFacts): EnrolmentPlan {
  if (facts.netns === "missing") return { steps: ["find-netns"], waits: undefined };
  if (!facts.hasAddress) return { steps: [], waits: "no-address" };
  const isAcknowledged = facts.ztunnel === "acknowledged";
  const steps: EnrolmentStep[] = [];
  if (facts.probes !== "listed") steps.push("list-probes");
  if (facts.wasIn && facts.rules !== "stand") steps.push("capture");
  if (facts.ztunnel === "absent" || (facts.ztunnel === "refused" && facts.isConnected)) steps.push("tell-ztunnel");
  if (!facts.wasIn && facts.rules !== "stand" && isAcknowledged) steps.push("capture");
  if (facts.rules === "stand") {
    if (isAcknowledged && facts.annotation !== "enabled") steps.push("annotate-enabled");
    // A ztunnel that is only away for a moment takes nothing back; its refusal does.
    const mayClaim = facts.annotation === "enabled" && facts.ztunnel !== "refused";
    if (!isAcknowledged && !mayClaim && facts.annotation !== "pending") steps.push("annotate-pending");
  }
  return { steps, waits: isAcknowledged ? undefined : waitOf(facts) };
}

function waitOf({ ztunnel, isConnected }: EnrolmentFacts): EnrolmentWait {
  if (ztunnel === "refused") return "ztunnel-refused";
  return isConnected ? "ztunnel-silent" : "no-ztunnel";
}

/** The pod runs on, outside the mesh. */
function leave(facts: EnrolmentFacts): EnrolmentStep[] {
  const steps: EnrolmentStep[] = [];
  if (facts.wasIn && facts.rules !== "absent") {
    if (facts.netns === "missing") return ["find-netns"];
    steps.push("release");
  }
  return [...steps, ...forgetIt(facts)];
}

function forgetIt({ ztunnel, probes, annotation }: EnrolmentFacts): EnrolmentStep[] {
  return [
    ...(ztunnel === "absent" ? [] : (["withdraw"] as const)),
    ...(probes === "absent" ? [] : (["unlist-probes"] as const)),
    ...(annotation === "none" ? [] : (["annotate-none"] as const)),
  ];
}
