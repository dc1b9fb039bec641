// What is seen of ambient mode from outside, by kubectl alone: what the API says of a pod, and what ztunnel's stand-in tells
// of the pods it has and of the connections it proxies.
import { isJsonObject, type JsonObject, readPath, readText } from "../api-server/kube-object.ts";
import type { ProxiedConnection } from "../ztunnel/ztunnel-process.ts";
import { type Cluster, until } from "./create-cluster.ts";
import type { PodChoice } from "./mesh-pod.ts";
import { AGENT_NAMESPACE, agentLog, readAgentPod, readPods } from "./observe-pods.ts";

const ZTUNNEL_LABEL = "app=ztunnel";
const REDIRECTION = "ambient.istio.io/redirection";

/** What the stand-in printed, one object a line; of the newest pod of its DaemonSet. */
export type ZtunnelEvent = Readonly<Record<string, unknown>>;

/** Waits until ztunnel's DaemonSet is Ready. @throws {Error} with what agent and ztunnel said. */
export async function waitZtunnelReady(cluster: Cluster, timeoutMs = 60_000): Promise<void> {
  const status = ["-n", AGENT_NAMESPACE, "rollout", "status", "daemonset/ztunnel", `--timeout=${timeoutMs}ms`];
  const done = await cluster.tryKubectl(status, timeoutMs + 10_000);
  if (done.status === 0) return;
  const pods = await cluster.tryKubectl(["-n", AGENT_NAMESPACE, "describe", "pods", "-l", ZTUNNEL_LABEL]);
  throw new Error(`Cannot use ztunnel: ${done.stderr}${pods.stdout}\n${await agentLog(cluster)}`);
}

/** Deletes the pods of ztunnel's DaemonSet. Returns when they have ended; new ones are on their way. */
export async function deleteZtunnelPods(cluster: Cluster): Promise<void> {
  await cluster.kubectl(["-n", AGENT_NAMESPACE, "delete", "pod", "-l", ZTUNNEL_LABEL, "--wait=true"]);
}

export async function readZtunnelEvents(cluster: Cluster): Promise<readonly ZtunnelEvent[]> {
  const newest = ["--sort-by=.metadata.creationTimestamp", "-o", "name"];
  const names = await cluster.kubectl(["-n", AGENT_NAMESPACE, "get", "pods", "-l", ZTUNNEL_LABEL, ...newest]);
  const name = names.trim().split("\n").at(-1) ?? "";
  const { stdout } = await cluster.tryKubectl(["-n", AGENT_NAMESPACE, "logs", name]);
  return parseEvents(stdout);
}

/** The lines of one of our C programs, each a JSON object; others are complaints and left out. */
export function parseEvents(log: string): readonly ZtunnelEvent[] {
  return log.split("\n").flatMap((line) => {
    if (!line.startsWith("{")) return [];
    const event: unknown = JSON.parse(line);
    return isJsonObject(event) ? [event] : [];
  });
}

/** Whether a line is of a TCP connection that ztunnel took. */
export function isConnection(event: ZtunnelEvent): event is ZtunnelEvent & ProxiedConnection {
  return event["event"] === "connection";
}

/** The UIDs of the pods that ztunnel proxies for, from what it told since its start. */
export function proxiedUids(events: readonly ZtunnelEvent[]): ReadonlySet<string> {
  const uids = new Set<string>();
  for (const { event, uid, result } of events) {
    if ((event === "add" || event === "retry") && result === "ok") uids.add(String(uid));
    if (event === "del") uids.delete(String(uid));
  }
  return uids;
}

/** What the API says of a pod's redirection; undefined: nothing. */
export function redirectionOf(pod: JsonObject): string | undefined {
  const annotations = readPath(pod, "metadata", "annotations");
  const value = isJsonObject(annotations) ? annotations[REDIRECTION] : undefined;
  return typeof value === "string" ? value : undefined;
}

/** Waits until the API says of all `pods` that they are redirected, or of none that it is.
 * @throws {Error} with what it says, and the agent's log. */
export async function waitRedirection(
  cluster: Cluster,
  pods: readonly PodChoice[],
  wanted: "enabled" | undefined,
  timeoutMs = 60_000,
): Promise<void> {
  let found: readonly string[] = [];
  try {
    await until(`${REDIRECTION} to be ${wanted ?? "gone"}`, timeoutMs, async () => {
      const objects = await readPods(cluster, pods);
      found = objects
        .filter((pod) => redirectionOf(pod) !== wanted)
        .map((pod) => `${readText(pod, "metadata", "name")}: ${redirectionOf(pod)}`);
      return found.length === 0;
    });
  } catch (error) {
    throw new Error([String(error), ...found, await agentLog(cluster)].join("\n"), { cause: error });
  }
}

/** Whether the agent's /readyz answers 200, asked through the API server, which hides the body of a 503. */
export async function isAgentReady(cluster: Cluster): Promise<boolean> {
  const name = readText(await readAgentPod(cluster), "metadata", "name");
  const path = `/api/v1/namespaces/${AGENT_NAMESPACE}/pods/${name}:8000/proxy/readyz`;
  return (await cluster.tryKubectl(["get", "--raw", path])).status === 0;
}
