// How many pods there are of each kind: the summary of the status document, and the gauges.

import { groupOf, needsAttention } from "./describe-pod.ts";
import { POD_GROUPS, type PodGroup, type PodStatus } from "./status-document.ts";

export interface PodCounts {
  /** Every pod is in one of them. */
  readonly groups: Readonly<Record<PodGroup, number>>;
  /** Pods with this family past the proxy. */
  readonly bypassed: Readonly<Record<"ipv4" | "ipv6", number>>;
  /** Pods with any family past the proxy. */
  readonly bypassing: number;
  readonly needAttention: number;
}

export function countPods(
  pods: Iterable<Pick<PodStatus, "state" | "bypassed"> & { readonly isInTrouble?: boolean }>,
): PodCounts {
  const groups = new Map<PodGroup, number>(POD_GROUPS.map((group) => [group, 0]));
  const bypassed = { ipv4: 0, ipv6: 0 };
  let bypassing = 0;
  let needAttention = 0;
  for (const pod of pods) {
    const group = groupOf(pod.state);
    groups.set(group, (groups.get(group) ?? 0) + 1);
    if (pod.bypassed.includes("ipv4")) bypassed.ipv4++;
    if (pod.bypassed.includes("ipv6")) bypassed.ipv6++;
    if (pod.bypassed.length > 0) bypassing++;
    if (needsAttention(pod)) needAttention++;
  }
  const of = (group: PodGroup): number => groups.get(group) ?? 0;
  return {
    groups: {
      outside: of("outside"),
      captured: of("captured"),
      uncaptured: of("uncaptured"),
      unverified: of("unverified"),
      waiting: of("waiting"),
      refused: of("refused"),
    },
    bypassed,
    bypassing,
    needAttention,
  };
}
