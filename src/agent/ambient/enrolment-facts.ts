// What is wanted of one pod in ambient mode and what is there, gathered from those who know: policy, the watch, ztunnel's
// server, the probe set, the verifier. Only reading.
import { formatIp, type IpAddress, parseIpAddress } from "../../core/address.ts";
import type { Pod } from "../../core/kube/pod.ts";
import { isSameNetns, type NetnsId } from "../../core/netns/netns-id.ts";
import type { AmbientDecision } from "../../core/policy/ambient-decision.ts";
import { type Redirection, redirectionOf } from "../../core/policy/ambient-redirection.ts";
import type { EnrolmentFacts } from "../../core/policy/enrolment-steps.ts";

/** A namespace, lent: `fd` is good until the next `await`. */
export interface LentNetns extends NetnsId {
  readonly fd: number;
}

export interface EnrolmentSources {
  /** By labels and annotations as they are now. */
  decide(pod: Pod): AmbientDecision;
  readonly netns: { get(pod: Pod): LentNetns | undefined };
  /** The verifier's view of a pod's namespace. `absent`: it looked, and what is wanted is not there. */
  readonly rules: {
    state(podUid: string): EnrolmentFacts["rules"];
    addresses(podUid: string): readonly IpAddress[];
  };
  readonly ztunnel: {
    isConnected(): boolean;
    workload(
      podUid: string,
    ): { readonly state: "served" | "kept" | "refused" | "waiting"; readonly netns: NetnsId | undefined } | undefined;
  };
  readonly probes: { listed(podUid: string): readonly IpAddress[] };
}

/** What this agent knows of the pod's past. */
export interface PodHistory {
  readonly wasIn: boolean;
  /** What we wrote and the watch has not shown yet. */
  readonly written: Redirection | undefined;
}

export interface GatheredFacts {
  readonly facts: EnrolmentFacts;
  readonly reason: string;
  /** Those the probe set should have. */
  readonly addresses: readonly IpAddress[];
}

/** @param pod as last seen. @param isGone it has been deleted. */
export function gatherFacts(sources: EnrolmentSources, pod: Pod, isGone: boolean, history: PodHistory): GatheredFacts {
  const isOver = isGone || pod.phase === "Succeeded" || pod.phase === "Failed";
  const decision = isOver ? undefined : sources.decide(pod);
  const netns = isOver ? undefined : sources.netns.get(pod);
  const addresses = addressesOf(sources, pod);
  const facts: EnrolmentFacts = {
    wanted: decision === undefined ? "over" : decision.kind,
    wasIn: history.wasIn,
    netns: netns === undefined ? "missing" : "held",
    rules: sources.rules.state(pod.uid),
    ztunnel: ztunnelOf(sources, pod.uid, netns),
    isConnected: sources.ztunnel.isConnected(),
    probes: compareAddresses(sources.probes.listed(pod.uid), addresses),
    hasAddress: addresses.length > 0,
    annotation: isGone ? "none" : (history.written ?? redirectionOf(pod.annotations)),
  };
  return { facts, reason: decision?.reason ?? "finished", addresses };
}

/** As the API tells, else as they were listed at the ADD, else as seen in the namespace: the kubelet reports them late, and by then a
 * pod may have given itself another one, the API server's for instance, to which nobody on the node would come through any more. */
function addressesOf({ rules, probes }: EnrolmentSources, pod: Pod): readonly IpAddress[] {
  const told = pod.podIps.flatMap((text) => parseIpAddress(text) ?? []);
  if (told.length > 0) return told;
  const listed = probes.listed(pod.uid);
  return listed.length > 0 ? listed : rules.addresses(pod.uid);
}

/** Its word on another namespace, or without one where we have one, is not its word on this pod. */
function ztunnelOf(
  { ztunnel }: EnrolmentSources,
  podUid: string,
  netns: NetnsId | undefined,
): EnrolmentFacts["ztunnel"] {
  const workload = ztunnel.workload(podUid);
  if (workload === undefined) return "absent";
  if (netns !== undefined && !(workload.netns && isSameNetns(workload.netns, netns))) return "absent";
  if (workload.state === "served") return "acknowledged";
  return workload.state === "refused" ? "refused" : "sent";
}

function compareAddresses(listed: readonly IpAddress[], wanted: readonly IpAddress[]): EnrolmentFacts["probes"] {
  if (listed.length === 0) return "absent";
  const keys = new Set(wanted.map(formatIp));
  const isSame = listed.length === keys.size && listed.every((ip) => keys.has(formatIp(ip)));
  return isSame ? "listed" : "partly";
}
