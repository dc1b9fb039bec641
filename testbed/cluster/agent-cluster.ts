// A cluster for the agent's own tests: images loaded, the pods' namespace made, and the DaemonSet at the test's command,
// so that a test can begin before the agent does.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readPath } from "../api-server/kube-object.ts";
import { REPOSITORY } from "../node/repository.ts";
import { renderAgentImage } from "./agent-image.ts";
import { type Cluster, createCluster, refuseIstio, until } from "./create-cluster.ts";
import { renderPodImage } from "./mesh-pod.ts";
import { waitZtunnelReady } from "./observe-ambient.ts";
import { AGENT_LABEL, AGENT_NAMESPACE, waitAgentReady } from "./observe-pods.ts";
import { renderZtunnelImage } from "./ztunnel-image.ts";

/** A folder of manifests/. */
export type AgentMode = "sidecar" | "ambient";

export interface AgentCluster extends AsyncDisposable {
  readonly cluster: Cluster;
  /** Applies the manifests of the mode: rights, configuration, DaemonSet, in ambient mode ztunnel's too. Waits until all
   * is Ready. Of another mode: changes to it, what only the former had stays. */
  installAgent(other?: AgentMode): Promise<void>;
  /** The agent did not become Ready when it was last installed: what needs it can only fail, and slowly. */
  isBroken(): boolean;
  /** Gives back the rights a test has taken. */
  applyRights(): Promise<void>;
  /** The same for what only ambient mode may. */
  applyAmbientRights(): Promise<void>;
  /** Deletes the agent's pods while the DaemonSet stays. Returns when they have ended; new ones are on their way. */
  deleteAgentPods(): Promise<void>;
  /** Deletes the DaemonSet and waits for the end of its pods. Plugin and chain stay on the node, as after every uninstall. */
  removeAgent(): Promise<void>;
  /** The way in which a chart would do it: runs `install-cni uninstall --all-nodes` as a job, waits for its end, and takes the
   * agents' rights away then. Returns what the job said. */
  uninstall(): Promise<string>;
  /** Puts the node's chain back to what it was before the first agent: pods start without the plugin. Only in the lab. */
  forgetPlugin(): void;
}

/** Of both modes, as manifests/ call them; roles and bindings. */
const RIGHTS = ["istio-cni", "istio-cni-repair-role", "istio-cni-repair-rolebinding", "istio-cni-ambient"];
const MANIFESTS = join(REPOSITORY, "testbed/cluster/manifests");

/** Finds a cluster without agent and prepares it. `podNamespace` is made for the test's pods.
 * @throws {Error} with a sentence that says what is missing. */
export async function createAgentCluster(mode: AgentMode, podNamespace: string): Promise<AgentCluster> {
  await using setup = new AsyncDisposableStack();
  const cluster = setup.use(await createCluster());
  await refuseIstio(cluster);
  await cluster.loadImage(await renderAgentImage());
  await cluster.loadImage(renderPodImage());
  if (mode === "ambient") await cluster.loadImage(renderZtunnelImage());
  await cluster.createNamespace(podNamespace);
  const conflist = cluster.lab && join(cluster.lab.nodeDisk, "etc/cni/net.d/10-lab.conflist");
  const original = conflist && readFileSync(conflist);
  const owned = setup.move();
  let isBroken = false;
  const inAgentNamespace = (...args: string[]) => cluster.kubectl(["-n", AGENT_NAMESPACE, ...args]);
  return {
    cluster,
    async installAgent(other = mode) {
      isBroken = true;
      await cluster.apply(join(MANIFESTS, other));
      await waitAgentReady(cluster);
      if (other === "ambient") await waitZtunnelReady(cluster);
      isBroken = false;
    },
    isBroken: () => isBroken,
    applyRights: () => cluster.apply(join(MANIFESTS, "common/rbac.yaml")),
    applyAmbientRights: () => cluster.apply(join(MANIFESTS, "ambient/rbac.yaml")),
    async deleteAgentPods() {
      await inAgentNamespace("delete", "pod", "-l", AGENT_LABEL, "--wait=true");
    },
    async removeAgent() {
      await inAgentNamespace("delete", "daemonset", "istio-cni-node", "--wait=true");
      await until("the end of the agent's pod", 60_000, async () => {
        const { items } = await cluster.get("-n", AGENT_NAMESPACE, "pods", "-l", AGENT_LABEL);
        return Array.isArray(items) && items.length === 0;
      });
    },
    async uninstall() {
      await cluster.apply(join(MANIFESTS, "uninstall"));
      const job = "job/istio-cni-uninstall";
      await until("the end of the agents", 120_000, async () => {
        const { status } = await cluster.get("-n", AGENT_NAMESPACE, job);
        const isOver = (type: string) => (readPath(status, type) ?? 0) !== 0;
        return isOver("succeeded") || isOver("failed");
      });
      const said = await inAgentNamespace("logs", job);
      await cluster.kubectl(["delete", "clusterroles,clusterrolebindings", ...RIGHTS, "--ignore-not-found"]);
      await cluster.kubectl(["delete", "-k", join(MANIFESTS, "uninstall")]);
      return said;
    },
    forgetPlugin() {
      if (conflist === undefined || original === undefined) throw new Error("Cannot change a node outside the lab");
      writeFileSync(`${conflist}.new`, original);
      renameSync(`${conflist}.new`, conflist);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
