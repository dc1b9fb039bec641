// What the tests of the chart share: one cluster without agent, the chart in it by helm, and what the API server says of the
// agent's requests.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { JsonObject } from "../../testbed/api-server/kube-object.ts";
import { readPath, readText } from "../../testbed/api-server/kube-object.ts";
import { findHelm } from "../../testbed/chart/find-helm.ts";
import { CHART } from "../../testbed/chart/render-chart.ts";
import { AGENT_IMAGE, renderAgentImage } from "../../testbed/cluster/agent-image.ts";
import { type Audit, startAudit } from "../../testbed/cluster/audit.ts";
import { type Cluster, createCluster, refuseIstio, until } from "../../testbed/cluster/create-cluster.ts";
import type { Lab } from "../../testbed/cluster/lab.ts";
import { type PodChoice, renderPodImage } from "../../testbed/cluster/mesh-pod.ts";
import { AGENT_NAMESPACE, readAgentPod, waitAgentReady } from "../../testbed/cluster/observe-pods.ts";
import { renderZtunnelImage } from "../../testbed/cluster/ztunnel-daemonset.ts";
import { type CommandResult, mustRun, runCommand } from "../../testbed/node/command.ts";

export const NAMESPACE = "shop";
export const MESH_NAMESPACE = "mesh";
export const pod = (name: string, namespace = NAMESPACE): PodChoice => ({ name, namespace });
/** Outside the mesh, through all tests. */
export const plain = pod("plain");

const RELEASE = "istio-cni";
const account = (name: string): string => `system:serviceaccount:${AGENT_NAMESPACE}:${name}`;
/** As the API server names them. */
export const AGENT_ACCOUNT = account("istio-cni");
export const HOOK_ACCOUNT = account("istio-cni-uninstall");

/** Opened before the first test and closed after the last. */
export interface ChartScene extends AsyncDisposable {
  open(): Promise<void>;
  readonly cluster: Cluster;
  /** Undefined in a cluster that KUBECONFIG names. */
  readonly lab: Lab | undefined;
  /** Of what the two service accounts ask for, since before the first request; only in the lab. */
  readonly audit: Audit | undefined;
  /** Runs helm against the cluster. @throws {Error} with its words unless it ends with 0. */
  helm(...args: readonly string[]): Promise<string>;
  /** Installs or upgrades the release with these values and no others, and waits until the new agent is Ready. */
  release(...values: readonly string[]): Promise<void>;
  /** Runs `install-cni` in the agent's container, whatever its status. */
  exec(...args: readonly string[]): Promise<CommandResult>;
  /** One request to the API server with a token, whatever is answered; a PATCH is a merge patch. */
  request(token: string, method: string, path: string, body: JsonObject): Promise<{ code: number; message: string }>;
  /** A token of the service account; with the claims of the agent's pod, or of none. */
  token(isOfPod: boolean): Promise<string>;
  /** The node's chain as it is now; only in the lab. */
  readChain(): string;
  /** Ends the API server's process and waits for the next; only in the lab. */
  restartApiServer(): Promise<void>;
}

export function createChartScene(): ChartScene {
  let opened: { cluster: Cluster; audit: Audit | undefined; helm: readonly string[] } | undefined;
  const scene = () => {
    if (opened === undefined) throw new Error("Cannot test: the cluster could not be had");
    return opened;
  };
  const cluster = (): Cluster => scene().cluster;
  const helm: ChartScene["helm"] = (...args) => {
    const env = Object.fromEntries(["CACHE", "CONFIG", "DATA"].map((kind) => [`HELM_${kind}_HOME`, "/nonexistent"]));
    return mustRun([...scene().helm, ...args], { timeoutMs: 320_000, env });
  };
  const untilApiServer = (known: Cluster): Promise<void> =>
    until("an API server", 60_000, async () => (await known.tryKubectl(["get", "--raw", "/readyz"])).status === 0);

  return {
    async open() {
      await using setup = new AsyncDisposableStack();
      const program = await findHelm();
      const made = setup.use(await createCluster());
      await refuseIstio(made);
      const { lab } = made;
      const audit = lab && (await startAudit(lab, [AGENT_ACCOUNT, HOOK_ACCOUNT]));
      await untilApiServer(made);
      for (const image of [await renderAgentImage(), renderPodImage(), renderZtunnelImage()])
        await made.loadImage(image);
      for (const name of [AGENT_NAMESPACE, NAMESPACE, MESH_NAMESPACE]) await made.createNamespace(name);
      const inNode = lab === undefined ? [] : [lab.script, "node"];
      opened = {
        cluster: made,
        audit,
        helm: [...inNode, program, "--kubeconfig", made.kubeconfig, "-n", AGENT_NAMESPACE],
      };
      setup.move();
    },
    get cluster() {
      return cluster();
    },
    get lab() {
      return cluster().lab;
    },
    get audit() {
      return scene().audit;
    },
    helm,
    async release(...values) {
      const set = [`image=${AGENT_IMAGE}`, "pullPolicy=IfNotPresent", ...values].flatMap((value) => ["--set", value]);
      await helm("upgrade", "--install", RELEASE, CHART, ...set);
      await waitAgentReady(cluster());
    },
    async exec(...args) {
      const name = readText(await readAgentPod(cluster()), "metadata", "name");
      return await cluster().tryKubectl(["-n", AGENT_NAMESPACE, "exec", name, "--", "install-cni", ...args]);
    },
    async request(token, method, path, body) {
      const config: unknown = JSON.parse(readFileSync(cluster().kubeconfig, "utf8"));
      const clusters = readPath(config, "clusters");
      const server = Array.isArray(clusters) ? readText(clusters[0], "cluster", "server") : "";
      const type = method === "PATCH" ? "application/merge-patch+json" : "application/json";
      const headers = [`Authorization: Bearer ${token}`, `Content-Type: ${type}`].flatMap((header) => ["-H", header]);
      const curl = ["curl", "-sk", "-X", method, ...headers, "-d", JSON.stringify(body), `${server}${path}`];
      const { lab } = cluster();
      const { stdout } = await runCommand(lab === undefined ? curl : [lab.script, "node", ...curl]);
      const answer: unknown = JSON.parse(stdout);
      const code = readPath(answer, "code");
      return { code: typeof code === "number" ? code : 200, message: readText(answer, "message") };
    },
    async token(isOfPod) {
      const name = readText(await readAgentPod(cluster()), "metadata", "name");
      const bound = isOfPod ? ["--bound-object-kind", "Pod", "--bound-object-name", name] : [];
      return (await cluster().kubectl(["-n", AGENT_NAMESPACE, "create", "token", "istio-cni", ...bound])).trim();
    },
    readChain: () => readFileSync(join(cluster().lab?.nodeDisk ?? "", "etc/cni/net.d/10-lab.conflist"), "utf8"),
    async restartApiServer() {
      await cluster().lab?.restartApiServer();
      await untilApiServer(cluster());
    },
    async [Symbol.asyncDispose]() {
      await opened?.cluster[Symbol.asyncDispose]();
    },
  };
}
