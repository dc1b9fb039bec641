// What is seen of pods and of the agent from outside, by kubectl alone: who is Ready, who answers a connection, what the
// kubelet complained of, what the agent counts.
import { isJsonObject, type JsonObject, readPath, readText } from "../api-server/kube-object.ts";
import { type ProbeResult, parseProbe } from "../sidecar/sidecar.ts";
import { type Cluster, until } from "./create-cluster.ts";
import { APPLICATION_PORT, type PodChoice } from "./mesh-pod.ts";

export const AGENT_NAMESPACE = "istio-system";
export const AGENT_LABEL = "k8s-app=istio-cni-node";

/** Waits until all of `pods` are Ready. @throws {Error} with their states, the kubelet's complaints and the agent's log. */
export async function waitReady(cluster: Cluster, pods: readonly PodChoice[], timeoutMs = 60_000): Promise<void> {
  let states = "";
  try {
    await until("Ready pods", timeoutMs, async () => {
      const unready = (await readPods(cluster, pods)).filter((pod) => !isReady(pod));
      states = `${unready.length} are not, the first: ${JSON.stringify(unready[0]?.["status"])}`;
      return unready.length === 0;
    });
  } catch (error) {
    const namespaces = [...new Set(pods.map(({ namespace }) => namespace))];
    const complaints = await Promise.all(namespaces.map((namespace) => listComplaints(cluster, namespace)));
    const log = await agentLog(cluster);
    throw new Error([String(error), states, ...complaints.flat(), log].join("\n"), { cause: error });
  }
}

/** The pods as the API shows them, in the order asked. @throws {Error} when one does not exist. */
export async function readPods(cluster: Cluster, pods: readonly PodChoice[]): Promise<readonly JsonObject[]> {
  const byName = new Map<string, JsonObject>();
  for (const namespace of new Set(pods.map((pod) => pod.namespace))) {
    const { items } = await cluster.get("-n", namespace, "pods");
    if (!Array.isArray(items)) continue;
    for (const pod of items.filter(isJsonObject)) byName.set(`${namespace}/${readText(pod, "metadata", "name")}`, pod);
  }
  return pods.map(({ namespace, name }) => {
    const pod = byName.get(`${namespace}/${name}`);
    if (pod === undefined) throw new Error(`Cannot read pod ${namespace}/${name}: it does not exist`);
    return pod;
  });
}

export function isReady(pod: JsonObject): boolean {
  const conditions = readPath(pod, "status", "conditions");
  return (
    Array.isArray(conditions) &&
    conditions.some((each) => readText(each, "type") === "Ready" && readText(each, "status") === "True")
  );
}

/** The status of one container, init or ordinary; an empty object when it has none yet. */
export function containerStatus(pod: JsonObject, name: string): JsonObject {
  const all = ["initContainerStatuses", "containerStatuses"].map((field) => readPath(pod, "status", field));
  const found = all
    .flatMap((list) => (Array.isArray(list) ? list : []))
    .find((each) => readText(each, "name") === name);
  return isJsonObject(found) ? found : {};
}

/** Where an application can be reached. A captured connection to it must report this as its original destination. */
export interface PodAddress {
  readonly ip: string;
  readonly port: number;
  readonly text: string;
}

/** The addresses of the pods' applications, in the order asked. */
export async function addressesOf(cluster: Cluster, pods: readonly PodChoice[]): Promise<readonly PodAddress[]> {
  return (await readPods(cluster, pods)).map((pod) => {
    const ip = readText(pod, "status", "podIP");
    return { ip, port: APPLICATION_PORT, text: `${ip}:${APPLICATION_PORT}` };
  });
}

/** Connects from the application of a pod, and tells who answered. */
export async function connect(cluster: Cluster, from: PodChoice, { ip, port }: PodAddress): Promise<ProbeResult> {
  const argv = ["/nettool", "probe", ip, String(port)];
  return parseProbe(await cluster.kubectl(["-n", from.namespace, "exec", from.name, "-c", "app", "--", ...argv]));
}

/** The kubelet's FailedCreatePodSandBox messages in a namespace, each with its pod's name and how often it came. */
export async function listComplaints(cluster: Cluster, namespace: string): Promise<readonly string[]> {
  const { items } = await cluster.get("-n", namespace, "events", "--field-selector=reason=FailedCreatePodSandBox");
  if (!Array.isArray(items)) return [];
  return items.map((event) => `${readText(event, "involvedObject", "name")}: ${readText(event, "message")}`);
}

/** Those about these pods. */
export async function listComplaintsAbout(cluster: Cluster, pods: readonly PodChoice[]): Promise<readonly string[]> {
  const namespaces = [...new Set(pods.map(({ namespace }) => namespace))];
  const all = await Promise.all(namespaces.map((namespace) => listComplaints(cluster, namespace)));
  const beginnings = pods.map(({ name }) => `${name}: `);
  return all.flat().filter((line) => beginnings.some((beginning) => line.startsWith(beginning)));
}

/** The messages of the Events with this reason on a pod, as `kubectl get events` finds them. */
export async function listEvents(cluster: Cluster, pod: PodChoice, reason: string): Promise<readonly string[]> {
  const selector = `--field-selector=involvedObject.name=${pod.name},reason=${reason}`;
  const { items } = await cluster.get("-n", pod.namespace, "events", selector);
  return Array.isArray(items) ? items.map((event) => readText(event, "message")) : [];
}

/** The agent's pod, the newest where one is ending. @throws {Error} when there is none. */
export async function readAgentPod(cluster: Cluster): Promise<JsonObject> {
  const { items } = await cluster.get(
    "-n",
    AGENT_NAMESPACE,
    "pods",
    "-l",
    AGENT_LABEL,
    "--sort-by=.metadata.creationTimestamp",
  );
  const pod = Array.isArray(items) ? items.at(-1) : undefined;
  if (!isJsonObject(pod)) throw new Error("Cannot read the agent's pod: there is none");
  return pod;
}

/** The agent's last lines, of all its pods. */
export async function agentLog(cluster: Cluster): Promise<string> {
  const { stdout } = await cluster.tryKubectl(["-n", AGENT_NAMESPACE, "logs", "-l", AGENT_LABEL, "--tail=30"]);
  return stdout;
}

/** Waits until the DaemonSet runs and is Ready. @throws {Error} with what the agent and the kubelet said. */
export async function waitAgentReady(cluster: Cluster, timeoutMs = 60_000): Promise<void> {
  const status = ["-n", AGENT_NAMESPACE, "rollout", "status", "daemonset/istio-cni-node", `--timeout=${timeoutMs}ms`];
  const done = await cluster.tryKubectl(status, timeoutMs + 10_000);
  if (done.status === 0) return;
  const pods = await cluster.tryKubectl(["-n", AGENT_NAMESPACE, "describe", "pods", "-l", AGENT_LABEL]);
  throw new Error(`Cannot use the agent: ${done.stderr}${pods.stdout}\n${await agentLog(cluster)}`);
}

/** The agent's /metrics, read through the API server from its newest pod. */
export async function agentMetrics(cluster: Cluster): Promise<string> {
  const name = readText(await readAgentPod(cluster), "metadata", "name");
  return cluster.kubectl(["get", "--raw", `/api/v1/namespaces/${AGENT_NAMESPACE}/pods/${name}:15014/proxy/metrics`]);
}
