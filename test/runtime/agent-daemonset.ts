// The agent's DaemonSet in the API, by which an agent knows at its end whether it is the end of all (ADR 16).
import type { ApiServer } from "../../testbed/api-server/api-server.ts";
import type { JsonObject } from "../../testbed/api-server/kube-object.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";

export const AGENT_DAEMON_SET: JsonObject = {
  apiVersion: "apps/v1",
  kind: "DaemonSet",
  metadata: { namespace: "istio-system", name: "istio-cni-node" },
  spec: {
    selector: { matchLabels: { "k8s-app": "istio-cni-node" } },
    template: { metadata: { labels: { "k8s-app": "istio-cni-node" } }, spec: { containers: [] } },
  },
};

/** Resolves once the agent has heard what the API server said of its DaemonSet, for which it asks at its start. */
export async function untilDaemonSetSeen(api: ApiServer, agent: TestAgent): Promise<void> {
  const path = "/apis/apps/v1/namespaces/istio-system/daemonsets/istio-cni-node";
  await api.waitFor(
    (server) => server.requests({ path }).some(({ endedMs }) => endedMs !== undefined),
    "the agent's look at its DaemonSet to be answered",
  );
  // What was sent before is read before: the second is answered in a later turn of the agent's loop than that.
  for (let times = 0; times < 2; times++) await agent.get(8000, "/readyz");
}
