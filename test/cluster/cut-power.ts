// A power cut of the lab's node, seen from its pods.
import { readText } from "../../testbed/api-server/kube-object.ts";
import { type Cluster, until } from "../../testbed/cluster/create-cluster.ts";
import type { Lab } from "../../testbed/cluster/lab.ts";
import type { PodChoice } from "../../testbed/cluster/mesh-pod.ts";
import { containerStatus, isReady, readPods, waitAgentReady } from "../../testbed/cluster/observe-pods.ts";

/** Cuts the power, starts the node, and waits until the applications of these pods run anew and the agent is Ready.
 * Returns when the power was cut, as Date tells. */
export async function cutPower(cluster: Cluster, lab: Lab, pods: readonly PodChoice[]): Promise<number> {
  const containers = async (): Promise<readonly string[]> =>
    (await readPods(cluster, pods)).map((each) =>
      isReady(each) ? readText(containerStatus(each, "app"), "containerID") : "",
    );
  const before = await containers();
  const cutMs = Date.now();
  await lab.powerCut();
  await until("pods that run anew", 120_000, async () =>
    (await containers()).every((id, index) => id !== "" && id !== before[index]),
  );
  await waitAgentReady(cluster);
  return cutMs;
}
