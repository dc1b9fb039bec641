// Pods made at a pace, and something done to the agent between two of them.
import { setTimeout as sleep } from "node:timers/promises";
import type { JsonObject } from "../../testbed/api-server/kube-object.ts";
import type { Cluster } from "../../testbed/cluster/create-cluster.ts";

/** As baseline.md 8 measures upstream: 20 pods, 0.4 s apart, the agent's pod deleted before the fifth. */
const PACE_MS = 400;
export const BURST = 20;
export const DELETED_BEFORE = 4;

/** Makes the pods one after the other, and does `act` before the one with that index. */
export async function applyPaced(
  cluster: Cluster,
  pods: readonly JsonObject[],
  before: number,
  act: () => Promise<void>,
): Promise<void> {
  const begunMs = performance.now();
  const work: Promise<void>[] = [];
  for (const [index, each] of pods.entries()) {
    await sleep(Math.max(0, begunMs + index * PACE_MS - performance.now()));
    if (index === before) work.push(act());
    work.push(cluster.apply([each]));
  }
  await Promise.all(work);
}
