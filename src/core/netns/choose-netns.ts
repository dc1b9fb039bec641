// Which of the network namespaces found on the node is a pod's. What holds none of the pod's addresses is never taken, nor
// what is the node's or the agent's, nor what processes of another pod live in; where two remain, none is taken.
import { formatIp, type IpAddress, isLinkLocalUnicast, isLoopback, parseIpAddress, unmapIp } from "../address.ts";
import type { Pod } from "../kube/pod.ts";
import type { CgroupFacts } from "./cgroup-text.ts";
import { isSameNetns, type NetnsId } from "./netns-id.ts";
import { podUidKeys } from "./pod-uid.ts";
import { type SandboxRuntime, sandboxOfProgram, sandboxOfRuntimeClass } from "./sandbox-runtime.ts";
import type { ProcessStat } from "./stat-text.ts";

/** One process, as far as it was looked at. */
export interface NetnsProcess extends ProcessStat, CgroupFacts {
  readonly pid: number;
  /** Target of /proc/PID/exe; undefined when not read. */
  readonly exe: string | undefined;
}

/** One network namespace of the node. */
export interface NetnsCandidate extends NetnsId {
  /** It has a file in the folder where runtimes keep the namespaces they made; pods cannot put one there. */
  readonly isNamed: boolean;
  /** As by `ipKey`. */
  readonly ips: ReadonlySet<string>;
  /** Oldest first; not all of them. */
  readonly processes: readonly NetnsProcess[];
}

/** The fields of a pod that are read here. */
export type NetnsPod = Pick<
  Pod,
  "uid" | "namespace" | "name" | "annotations" | "podIps" | "hostNetwork" | "phase" | "runtimeClassName"
>;

/** Why a pod has no namespace of its own here. `host-network` and `finished` are as they should be. */
export type NetnsAbsence =
  | "host-network"
  | "finished"
  | "no-process"
  | "address-missing"
  | "held-by-another-pod"
  | "proc-unavailable"
  | "scan-cut-short";

/** Pods without a namespace to be found, and why. `message` is a sentence that names the pod. */
export type NoNetns =
  | { readonly kind: "not-found"; readonly reason: NetnsAbsence; readonly message: string }
  | { readonly kind: "no-ip-yet"; readonly message: string }
  | { readonly kind: "ambiguous"; readonly message: string }
  | { readonly kind: "unsupported"; readonly runtime: SandboxRuntime; readonly message: string };

/** `by`: "uid" when cgroups of its processes name the pod, "ip" when they name nobody. */
export type NetnsChoice<C extends NetnsCandidate> =
  | NoNetns
  | { readonly kind: "found"; readonly by: "uid" | "ip"; readonly netns: C };

/** What is known without looking at the node; undefined: look. */
export function pardonPod(pod: NetnsPod): NoNetns | undefined {
  if (pod.hostNetwork) return notFound(pod, "host-network", "it uses the node's own");
  if (pod.phase === "Succeeded" || pod.phase === "Failed") {
    return notFound(pod, "finished", `its phase is ${pod.phase}, and its address may be another pod's by now`);
  }
  if (podIpKeys(pod).length > 0) return undefined;
  return { kind: "no-ip-yet", message: `${cannotFind(pod)}: its status has no address yet` };
}

/** Chooses the namespace of one pod among those of its node.
 * @param forbidden the node's own and the agent's. */
export function chooseNetns<C extends NetnsCandidate>(
  pod: NetnsPod,
  candidates: readonly C[],
  forbidden: readonly NetnsId[],
): NetnsChoice<C> {
  const pardon = pardonPod(pod);
  if (pardon !== undefined) return pardon;
  const allowed = candidates.filter((candidate) => !forbidden.some((other) => isSameNetns(candidate, other)));
  const uids = podUidKeys(pod);
  const ips = podIpKeys(pod);
  const holding = allowed.filter((candidate) => ips.some((ip) => candidate.ips.has(ip)));
  const own = holding.filter((candidate) => isOwn(candidate, uids));
  const unclaimed = holding.filter(isUnclaimed);
  const picked = pick(pod, own, unclaimed);
  if (picked === undefined) return explainAbsence(pod, uids, allowed, holding);
  if (picked.kind !== "found") return picked;
  const runtime = sandboxOf(picked.netns, pod.runtimeClassName !== undefined);
  return runtime === undefined ? picked : unsupported(pod, runtime);
}

/** Takes back what two pods were given both: it stays with the one that cgroups name, if that is only one. */
export function refuseSharedNetns<C extends NetnsCandidate>(
  choices: ReadonlyMap<NetnsPod, NetnsChoice<C>>,
): Map<NetnsPod, NetnsChoice<C>> {
  const claims = new Map<string, { pod: NetnsPod; by: "uid" | "ip" }[]>();
  for (const [pod, choice] of choices) {
    if (choice.kind !== "found") continue;
    const key = netnsText(choice.netns);
    claims.set(key, [...(claims.get(key) ?? []), { pod, by: choice.by }]);
  }
  const settled = new Map(choices);
  for (const [key, claimants] of claims) {
    if (claimants.length < 2) continue;
    const named = claimants.filter(({ by }) => by === "uid");
    for (const { pod } of claimants) {
      if (named.length === 1 && named[0]?.pod === pod) continue;
      const others = claimants.filter((claimant) => claimant.pod !== pod).map(({ pod: other }) => podText(other));
      settled.set(pod, ambiguous(pod, `${key} holds an address of ${others.slice(0, 3).join(", ")} too`));
    }
  }
  return settled;
}

/** The form in which addresses are compared here. */
export function ipKey(ip: IpAddress): string {
  return formatIp(unmapIp(ip));
}

/** The pod's addresses as keys, without text that is no address, and without those that every namespace has. */
export function podIpKeys(pod: Pick<Pod, "podIps">): readonly string[] {
  return pod.podIps.flatMap((text) => {
    const ip = parseIpAddress(text);
    return ip === undefined || isLoopback(ip) || isLinkLocalUnicast(ip) ? [] : [ipKey(ip)];
  });
}

function pick<C extends NetnsCandidate>(
  pod: NetnsPod,
  own: readonly C[],
  unclaimed: readonly C[],
): Exclude<NetnsChoice<C>, { kind: "unsupported" | "not-found" | "no-ip-yet" }> | undefined {
  const ownNamed = own.filter(({ isNamed }) => isNamed);
  const unclaimedNamed = unclaimed.filter(({ isNamed }) => isNamed);
  // Processes of a pod may make namespaces of their own and copy the address (rootless podman with pasta does), the
  // runtime's file is the better witness.
  if (ownNamed.length > 0) return only(pod, ownNamed, "uid");
  if (unclaimedNamed.length > 0) {
    return own.length > 0 ? ambiguous(pod, severalText([...own, ...unclaimedNamed])) : only(pod, unclaimedNamed, "ip");
  }
  if (own.length > 0) return oldest(pod, own);
  return unclaimed.length > 0 ? only(pod, unclaimed, "ip") : undefined;
}

function only<C extends NetnsCandidate>(pod: NetnsPod, among: readonly C[], by: "uid" | "ip") {
  const [first, ...rest] = among;
  if (first === undefined || rest.length > 0) return ambiguous(pod, severalText(among));
  return { kind: "found", by, netns: first } as const;
}

/** The sandbox is older than what its containers make. Upstream does the same (podcgroupns_linux.go@1.30: smallest start time). */
function oldest<C extends NetnsCandidate>(pod: NetnsPod, own: readonly C[]) {
  const age = (candidate: C): number => candidate.processes[0]?.startTime ?? Number.MAX_SAFE_INTEGER;
  const [first, second] = own.toSorted((left, right) => age(left) - age(right));
  if (first === undefined || (second !== undefined && age(first) === age(second)))
    return ambiguous(pod, severalText(own));
  return { kind: "found", by: "uid", netns: first } as const;
}

function explainAbsence(
  pod: NetnsPod,
  uids: readonly string[],
  allowed: readonly NetnsCandidate[],
  holding: readonly NetnsCandidate[],
): NoNetns {
  const withProcesses = allowed.filter((candidate) => isOwn(candidate, uids));
  for (const candidate of withProcesses) {
    // gVisor takes the address away from the namespace; a name is enough evidence when there is nothing to lose.
    const runtime = sandboxOf(candidate, true);
    if (runtime !== undefined) return unsupported(pod, runtime);
  }
  const byClass = sandboxOfRuntimeClass(pod.runtimeClassName);
  if (byClass !== undefined) return unsupported(pod, byClass);
  const ips = pod.podIps.join(", ");
  const [foreign] = holding;
  if (foreign !== undefined) {
    const owners = [...new Set(foreign.processes.flatMap(({ podUids }) => podUids))];
    return notFound(
      pod,
      "held-by-another-pod",
      `${netnsText(foreign)} holds ${ips}, but runs processes of pod ${owners.slice(0, 3).join(", ")}`,
    );
  }
  const [running] = withProcesses;
  if (running !== undefined) {
    return notFound(
      pod,
      "address-missing",
      `its processes run in ${withProcesses.map(netnsText).slice(0, 3).join(", ")}, which does not hold ${ips}`,
    );
  }
  return notFound(
    pod,
    "no-process",
    `no namespace that can be its own holds ${ips}, and no process of the node is its own`,
  );
}

/** @param trustNames whether the name of the oldest process is evidence: it is the sandbox itself, unless the runtime
 * makes none, and then the pod's own. */
function sandboxOf(candidate: NetnsCandidate, trustNames: boolean): SandboxRuntime | undefined {
  if (candidate.processes.some(({ isKata }) => isKata)) return "kata";
  const [first] = candidate.processes;
  return trustNames && first !== undefined ? sandboxOfProgram(first) : undefined;
}

function isOwn(candidate: NetnsCandidate, uids: readonly string[]): boolean {
  return candidate.processes.some(
    ({ podUids, isMonitor }) => !isMonitor && podUids.length === 1 && podUids.some((uid) => uids.includes(uid)),
  );
}

function isUnclaimed(candidate: NetnsCandidate): boolean {
  return candidate.processes.every(({ podUids }) => podUids.length === 0);
}

function notFound(pod: NetnsPod, reason: NetnsAbsence, detail: string): NoNetns {
  return { kind: "not-found", reason, message: `${cannotFind(pod)}: ${detail}` };
}

function ambiguous(pod: NetnsPod, detail: string) {
  return { kind: "ambiguous", message: `Cannot tell the network namespace of pod ${podText(pod)}: ${detail}` } as const;
}

function unsupported(pod: NetnsPod, runtime: SandboxRuntime): NoNetns {
  const message = `Cannot use the network namespace of pod ${podText(pod)}: its runtime is ${runtime}, which does not use the node's network stack`;
  return { kind: "unsupported", runtime, message };
}

function cannotFind(pod: NetnsPod): string {
  return `Cannot find the network namespace of pod ${podText(pod)}`;
}

function podText(pod: NetnsPod): string {
  return `${pod.namespace}/${pod.name}`;
}

function severalText(candidates: readonly NetnsCandidate[]): string {
  return `${candidates.length} hold its address: ${candidates.slice(0, 4).map(netnsText).join(", ")}`;
}

function netnsText({ ino }: NetnsId): string {
  return `net:[${ino}]`;
}
