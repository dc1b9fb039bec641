// What there is to see of one started pod: what the product says it decided, the rules in its namespace, who receives
// its connections, and what the plugin costs it. Nothing here knows what is expected.
import { isJsonObject, readText } from "../api-server/kube-object.ts";
import type { TestAgent } from "../node/agent.ts";
import { type CaptureObservation, observeCapture } from "../node/connections.ts";
import type { TestNode } from "../node/create-node.ts";
import { type PluginInput, readPluginInput, runInstalledPlugin } from "../node/plugin-run.ts";
import type { TestPod } from "../node/pod.ts";

/** In the product's own words. */
export interface ProductDecision {
  readonly decision: "in" | "out";
  readonly reason: string;
  /** Who decided: the plugin by what the runtime told it, or the agent, asked by the plugin. */
  readonly by: "plugin" | "agent";
  /** Families that pass by the sidecar, as the agent has reported them. */
  readonly bypassed: readonly string[];
}

export interface PodObservation {
  readonly product: ProductDecision;
  readonly rules: { readonly v4: number; readonly v6: number };
  readonly connections: readonly CaptureObservation[];
}

/** Looks at one pod; `peer` is where it connects to and from. */
export async function observePod(
  node: TestNode,
  agent: TestAgent,
  pod: TestPod,
  peer: TestPod,
): Promise<PodObservation> {
  const [product, v4, v6, connections] = await Promise.all([
    readDecision(node, agent, pod),
    countRules(pod, "iptables-save"),
    countRules(pod, "ip6tables-save"),
    observeCapture(node.nettool, pod, peer),
  ]);
  return { product, rules: { v4, v6 }, connections };
}

/** Milliseconds of `count` runs of the plugin with this pod's input. @throws {Error} when one was refused. */
export async function timePlugin(node: TestNode, pod: TestPod, count: number): Promise<readonly number[]> {
  const runs = await runInstalledPlugin(node, readPluginInput(node, pod), count);
  if (runs.failed > 0) throw new Error(`Cannot time the plugin for ${pod.name}: it refused with ${runs.stdout}`);
  return runs.milliseconds;
}

// The agent logs every pod it is asked about. About a pod that the plugin passed by itself it is asked now: the same
// input without what the plugin decides by, so that the reason is the product's own word here too.
async function readDecision(node: TestNode, agent: TestAgent, pod: TestPod): Promise<ProductDecision> {
  const logged = findDecision(agent.log, (line) => readText(line, "containerId") === pod.id);
  if (logged !== undefined) return { ...logged, by: "agent" };
  const input = readPluginInput(node, pod);
  const { netconf } = input;
  const undecided: PluginInput = {
    ...input,
    netconf: { ...netconf, ambient_enabled: true, exclude_namespaces: null, pod_namespace: "" },
  };
  const before = agent.log.length;
  await runInstalledPlugin(node, undecided);
  const isAsked = (line: object): boolean =>
    readText(line, "ns") === pod.namespace && readText(line, "name") === pod.name;
  await agent.waitForLine((text) => findDecision([text], isAsked) !== undefined);
  const asked = findDecision(agent.log.slice(before), isAsked);
  if (asked === undefined) throw new Error(`Cannot tell why ${pod.name} is as it is: the agent says nothing about it`);
  return { ...asked, by: "plugin" };
}

function findDecision(
  log: readonly string[],
  isWanted: (line: object) => boolean,
): Omit<ProductDecision, "by"> | undefined {
  const lines = log.flatMap((text) => parseLine(text) ?? []).filter(isWanted);
  const decided = lines.find((line) => readText(line, "reason") !== "");
  if (decided === undefined) return undefined;
  return {
    decision: readText(decided, "msg") === "Captured pod" ? "in" : "out",
    reason: readText(decided, "reason"),
    bypassed: lines.map((line) => readText(line, "family")).filter((family) => family !== ""),
  };
}

function parseLine(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : undefined;
  } catch {
    // runc, which shares the agent's output, does not speak JSON.
    return undefined;
  }
}

async function countRules(pod: TestPod, save: string): Promise<number> {
  const done = await pod.exec([save]);
  if (done.status !== 0) throw new Error(`Cannot read the rules of ${pod.name}: ${save}: ${done.stderr}`);
  return done.stdout.split("\n").filter((line) => line.startsWith("-A")).length;
}
