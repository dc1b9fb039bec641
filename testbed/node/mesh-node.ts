// A node with everything our agent needs on it: the API stand-in reachable under the node's address, and the agent of
// this checkout, installed and ready. What the demo and the runtime tests stand on.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type ApiServer, createApiServer } from "../api-server/api-server.ts";
import { isJsonObject, type JsonObject, type KubeObject, readPath } from "../api-server/kube-object.ts";
import { namespace } from "../api-server/pod-fixtures.ts";
import type { AgentOptions, TestAgent } from "./agent.ts";
import { createNode, type NodeOptions, type TestNode } from "./create-node.ts";
import { NODE_ADDRESSES } from "./node-network.ts";
import type { PodSpec, TestPod } from "./pod.ts";
import { REPOSITORY } from "./repository.ts";

/** What `startAgent()` may choose; the executable and the API server are given. */
export type MeshAgentOptions = Partial<Omit<AgentOptions, "apiServer">>;

/** A node, its API, and agents on it. Owns all of them. */
export interface MeshNode extends AsyncDisposable {
  readonly node: TestNode;
  readonly api: ApiServer;
  /** Starts the agent of this checkout and returns when it is ready and the runtime has read that it is in the chain. */
  startAgent(options?: MeshAgentOptions): Promise<TestAgent>;
  /** The same without waiting for anything. */
  launchAgent(options?: MeshAgentOptions): Promise<TestAgent>;
  /** Puts the pod into the API and starts its sandbox as a kubelet does. @throws {CriError} when the runtime refuses. */
  startPod(object: JsonObject, options?: Pick<PodSpec, "timeoutMs">): Promise<TestPod>;
  /** Tells the API what the kubelet does of a pod whose sandbox it has made: its phase and addresses. */
  report(pod: TestPod, phase?: "Running" | "Succeeded"): void;
  /** Ends everything. @throws {Error} that lists what is left behind. */
  destroy(): Promise<void>;
}

/** For pod fixtures: a pod that is scheduled to the node and has not been started yet. */
export const NEW_POD = { namespace: "shop", nodeName: "testbed-node", podIps: [], phase: "Pending" } as const;

/** The program of this checkout, where it has been built. */
export const INSTALL_CNI = join(REPOSITORY, "out/bin/install-cni");

/** Starts node and API, with the namespaces `shop` and `istio-system`; no agent yet.
 * @throws {Error} when the checkout has not been built, and as `createNode()`. */
export async function createMeshNode(options: NodeOptions = {}): Promise<MeshNode> {
  return joinMesh(await createNode(options));
}

/** The same for a node that is there; it belongs to the result from now on, also when this fails. */
export async function joinMesh(node: TestNode): Promise<MeshNode> {
  await using undo = new AsyncDisposableStack();
  undo.use(node);
  if (!existsSync(INSTALL_CNI)) throw new Error(`Cannot start the agent: ${INSTALL_CNI} is not there; run tools/build`);
  const host = node.families === "v6" ? NODE_ADDRESSES.v6 : NODE_ADDRESSES.v4;
  const api = await createApiServer({ host });
  undo.use(api);
  for (const name of ["shop", "istio-system"]) api.put(namespace(name));
  const owned = undo.move();

  const launchAgent: MeshNode["launchAgent"] = (agentOptions = {}) =>
    node.startAgent({ installCni: INSTALL_CNI, ...agentOptions, apiServer: api });
  return {
    node,
    api,
    launchAgent,
    async startAgent(agentOptions) {
      const agent = await launchAgent(agentOptions);
      await agent.waitReady();
      await node.waitForChained();
      return agent;
    },
    startPod: (object, podOptions) => node.runPod({ ...podSpecOf(api.put(object)), ...podOptions }),
    report({ namespace: podNamespace, name, ips }, phase = "Running") {
      const status = { phase, podIP: ips[0] ?? null, podIPs: ips.map((ip) => ({ ip })) };
      api.patch("pods", `${podNamespace}/${name}`, { status });
    },
    destroy: () => owned.disposeAsync(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** What a kubelet takes from a Pod object for the sandbox. */
export function podSpecOf({ metadata }: KubeObject): PodSpec {
  const { name, namespace: podNamespace, uid, labels, annotations } = metadata;
  return {
    name,
    ...(podNamespace === undefined ? {} : { namespace: podNamespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

/** The pod with literal variables added to its istio-proxy container, as a ProxyConfig would. */
export function withProxyEnv(pod: KubeObject, env: Readonly<Record<string, string>>): KubeObject {
  const added = Object.entries(env).map(([name, value]) => ({ name, value }));
  const change = (containers: unknown): unknown =>
    !Array.isArray(containers)
      ? containers
      : containers.map((container: unknown) => {
          if (!isJsonObject(container) || container["name"] !== "istio-proxy") return container;
          const own = readPath(container, "env");
          return { ...container, env: [...(Array.isArray(own) ? own : []), ...added] };
        });
  const { containers, initContainers, ...rest } = pod.spec ?? {};
  return {
    ...pod,
    spec: {
      ...rest,
      containers: change(containers),
      ...(initContainers === undefined ? {} : { initContainers: change(initContainers) }),
    },
  };
}
