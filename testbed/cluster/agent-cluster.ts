// A cluster for the agent's own tests: images loaded, the pods' namespace made, and the DaemonSet of upstream's chart at the
// test's command, so that a test can begin before the agent does.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readPath, readText } from "../api-server/kube-object.ts";
import { renderObjects } from "../chart/render-chart.ts";
import { AGENT_IMAGE, renderAgentImage } from "./agent-image.ts";
import { type Cluster, createCluster, refuseIstio, until } from "./create-cluster.ts";
import { renderPodImage } from "./mesh-pod.ts";
import { waitZtunnelReady } from "./observe-ambient.ts";
import { AGENT_LABEL, AGENT_NAMESPACE, waitAgentReady } from "./observe-pods.ts";
import { renderUpstreamInstall, renderUpstreamRights } from "./upstream-install.ts";
import { applyZtunnel, renderZtunnelImage } from "./ztunnel-daemonset.ts";

export type AgentMode = "sidecar" | "ambient";

export interface AgentCluster extends AsyncDisposable {
  readonly cluster: Cluster;
  /** Applies what upstream's chart makes for the mode: rights, configuration, DaemonSet; in ambient mode ztunnel's too. Waits
   * until all is Ready. Of another mode: changes to it, what only the former had stays. */
  installAgent(other?: AgentMode): Promise<void>;
  /** The agent did not become Ready when it was last installed: what needs it can only fail, and slowly. */
  isBroken(): boolean;
  /** Gives back the rights a test has taken. */
  applyRights(): Promise<void>;
  /** Deletes the agent's pods while the DaemonSet stays. Returns when they have ended; new ones are on their way. */
  deleteAgentPods(): Promise<void>;
  /** Deletes the DaemonSet and waits for the end of its pods. Plugin and chain stay on the node, as after every uninstall. */
  removeAgent(): Promise<void>;
  /** As our chart does it: runs its pre-delete hook, waits for its end, and takes the agents' rights away then. Returns what
   * the hook's job said. */
  uninstall(): Promise<string>;
  /** Puts the node's chain back to what it was before the first agent: pods start without the plugin. Only in the lab. */
  forgetPlugin(): void;
}

const HOOK = "helm.sh/hook";
/** What upstream's chart is told for each mode. */
const CASES = { sidecar: "defaults", ambient: "ambient" } as const;

/** @throws {Error} when there is no cluster to test in, or its agent is none that could be tested. */
export function mustWork(cluster: AgentCluster | undefined): AgentCluster {
  if (cluster === undefined) throw new Error("Cannot test: the cluster could not be had");
  if (cluster.isBroken()) throw new Error("Cannot test: the agent did not become Ready, as an earlier test tells");
  return cluster;
}

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
      await cluster.apply(renderUpstreamInstall(CASES[other]));
      if (other === "ambient") await applyZtunnel(cluster);
      await waitAgentReady(cluster);
      if (other === "ambient") await waitZtunnelReady(cluster);
      isBroken = false;
    },
    isBroken: () => isBroken,
    applyRights: () => cluster.apply(renderUpstreamRights(CASES[mode])),
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
      const hooks = await renderObjects({ args: ["--set", `image=${AGENT_IMAGE},pullPolicy=IfNotPresent`] });
      await cluster.apply(hooks.filter((object) => readText(object, "metadata", "annotations", HOOK) === "pre-delete"));
      const job = "job/istio-cni-uninstall";
      await until("the end of the agents", 120_000, async () => {
        const { status } = await cluster.get("-n", AGENT_NAMESPACE, job);
        const isOver = (type: string) => (readPath(status, type) ?? 0) !== 0;
        return isOver("succeeded") || isOver("failed");
      });
      const said = await inAgentNamespace("logs", job);
      const rights = renderUpstreamRights(CASES[mode]).map(
        ({ kind, metadata }) => `${String(kind)}/${readText(metadata, "name")}`,
      );
      await cluster.kubectl(["delete", ...rights, "--ignore-not-found"]);
      await inAgentNamespace("delete", "serviceaccount,role,rolebinding,job", "istio-cni-uninstall");
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
