// How many pods there are of each kind: the summary of the status document, and the gauges.

import { groupOf, needsAttention } from "./describe-pod.ts";
import type { PodGroup, PodStatus } from "./status-document.ts";

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
  const groups = { outside: 0, captured: 0, uncaptured: 0, unverified: 0, waiting: 0, refused: 0 };
  const bypassed = { ipv4: 0, ipv6: 0 };
  let bypassing = 0;
  let needAttention = 0;
  for (const pod of pods) {
    groups[groupOf(pod.state)]++;
    if (pod.bypassed.includes("ipv4")) bypassed.ipv4++;
    if (pod.bypassed.includes("ipv6")) bypassed.ipv6++;
    if (pod.bypassed.length > 0) bypassing++;
    if (needsAttention(pod)) needAttention++;
  }
  return { groups, bypassed, bypassing, needAttention };
}
