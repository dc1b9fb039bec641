// What the tests of ambient mode on a real containerd stand on: a node with the namespaces `mesh` (in) and `shop` (out), pods
// as a kubelet starts them and reports their addresses, and what can be seen of a pod from outside the agent.
import { isJsonObject, type JsonObject, readPath } from "../../testbed/api-server/kube-object.ts";
import { namespace, plainPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { createMeshNode, type MeshAgentOptions, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import type { NodeFamilies } from "../../testbed/node/node-network.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import {
  startZtunnel,
  type ZtunnelProcess,
  type ZtunnelProcessOptions,
} from "../../testbed/ztunnel/ztunnel-process.ts";
import { eventually } from "./captured-pods.ts";

export const IN_MESH = { "istio.io/dataplane-mode": "ambient" };
export const OUT_OF_MESH = { "istio.io/dataplane-mode": "none" };
export const ZTUNNEL_SOCKET = "/run/ztunnel/ztunnel.sock";
export const REDIRECTION = "ambient.istio.io/redirection";

type PodOptions = Parameters<typeof plainPod>[0];

export interface AmbientNode extends AsyncDisposable {
  readonly mesh: MeshNode;
  /** An agent in ambient mode; resolves when it is ready, which takes a ztunnel. */
  startAgent(options?: MeshAgentOptions): Promise<TestAgent>;
  /** The same without waiting. */
  launchAgent(options?: MeshAgentOptions): Promise<TestAgent>;
  /** The proxying stand-in, ended with the node at the latest. */
  startZtunnel(options?: Partial<ZtunnelProcessOptions>): Promise<ZtunnelProcess>;
  /** Starts a pod, of `mesh` unless told, and reports its addresses as the kubelet does. */
  startPod(options: PodOptions & { readonly name: string }): Promise<TestPod>;
  /** Only in the API: a pod that is scheduled and has not been started. */
  putPod(options: PodOptions & { readonly name: string }): JsonObject;
  readonly report: MeshNode["report"];
  /** Null takes a label away. */
  labelNamespace(name: string, labels: Readonly<Record<string, string | null>>): void;
  changePod(pod: TestPod, metadata: JsonObject): void;
  /** Deletes a pod as kubelet and API server do: sandbox first, object afterwards. */
  removePod(pod: TestPod): Promise<void>;
  /** The annotation as the API has it; undefined: none. */
  redirection(pod: Pick<TestPod, "namespace" | "name">): string | undefined;
}

export async function createAmbientNode(families: NodeFamilies = "dual"): Promise<AmbientNode> {
  await using undo = new AsyncDisposableStack();
  const mesh = await createMeshNode({ families });
  undo.defer(() => mesh.destroy());
  mesh.api.put(namespace("mesh", IN_MESH));
  const owned = undo.move();
  const inAmbient = (options: MeshAgentOptions = {}) => ({ ambient: true, ...options });
  const keyOf = ({ namespace: podNamespace, name }: Pick<TestPod, "namespace" | "name">) => `${podNamespace}/${name}`;
  const putPod: AmbientNode["putPod"] = (options) =>
    mesh.api.put(plainPod({ ...NEW_POD, namespace: "mesh", ...options }));
  return {
    mesh,
    startAgent: (options) => mesh.startAgent(inAmbient(options)),
    launchAgent: (options) => mesh.launchAgent(inAmbient(options)),
    async startZtunnel(options = {}) {
      const ztunnel = await startZtunnel({ socketPath: ZTUNNEL_SOCKET, ...options });
      owned.use(ztunnel);
      return ztunnel;
    },
    async startPod(options) {
      const pod = await mesh.startPod(plainPod({ ...NEW_POD, namespace: "mesh", ...options }));
      mesh.report(pod);
      return pod;
    },
    putPod,
    report: mesh.report,
    labelNamespace: (name, labels) => void mesh.api.patch("namespaces", name, { metadata: { labels } }),
    changePod: (pod, metadata) => void mesh.api.patch("pods", keyOf(pod), { metadata }),
    async removePod(pod) {
      await pod.remove();
      mesh.api.remove("pods", keyOf(pod));
    },
    redirection(pod) {
      const annotations = readPath(mesh.api.get("pods", keyOf(pod)), "metadata", "annotations");
      const value = isJsonObject(annotations) ? annotations[REDIRECTION] : undefined;
      return typeof value === "string" ? value : undefined;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Looks until the condition holds. @throws {Error} that says what was waited for. */
export function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  told: () => string = () => "",
): Promise<void> {
  return eventually(condition, () => `${what}\n${told()}`);
}

/** Everything that ambient mode makes in a pod's namespace, as the tools show it, one line each; empty: nothing is left. */
export async function ambientTraces(pod: TestPod): Promise<readonly string[]> {
  const commands = [
    ["iptables-nft-save"],
    ["ip6tables-nft-save"],
    ["ip", "rule"],
    ["ip", "-6", "rule"],
    ["ip", "route", "show", "table", "100"],
    ["ip", "-6", "route", "show", "table", "100"],
  ];
  const results = await Promise.all(commands.map((argv) => pod.exec(argv)));
  return results.flatMap(({ stdout }, index) => {
    const lines = stdout.split("\n").filter((line) => line !== "");
    if (index > 3) return lines;
    return lines.filter((line) => (index < 2 ? line.includes("ISTIO") : line.includes("0x111/0xfff")));
  });
}

/** Whether new connections out of and into the pod go to ztunnel, in every family that it has. */
export async function isRedirected(pod: TestPod): Promise<boolean> {
  const traces = await ambientTraces(pod);
  const families = new Set(pod.ips.map((ip) => (ip.includes(":") ? 6 : 4))).size;
  const count = (text: string) => traces.filter((line) => line.includes(text)).length;
  const isWhole = count("--to-ports 15001") === families && count("--to-ports 15006") === families;
  // In nat as well as in mangle: a pod that has left and finishes what is open has those of mangle only.
  const isReached = ["-A OUTPUT -j ISTIO_OUTPUT", "-A PREROUTING -j ISTIO_PRERT"].every(
    (jump) => count(jump) >= 2 * families,
  );
  return isWhole && isReached && count("fwmark 0x111/0xfff lookup 100") === families;
}

/** The pod is wholly in: rules, annotation. */
export async function untilIn(node: AmbientNode, ...pods: readonly TestPod[]): Promise<void> {
  for (const pod of pods)
    await until(
      `${pod.name} is in the mesh`,
      async () => node.redirection(pod) === "enabled" && (await isRedirected(pod)),
      () => `annotation: ${node.redirection(pod)}`,
    );
}

/** Nothing of ambient mode is left of the pod, inside or in the API. */
export async function untilOut(node: AmbientNode, ...pods: readonly TestPod[]): Promise<void> {
  for (const pod of pods)
    await until(
      `${pod.name} is out of the mesh`,
      async () => node.redirection(pod) === undefined && (await ambientTraces(pod)).length === 0,
      () => `annotation: ${node.redirection(pod)}`,
    );
}

/** What the proxying stand-in serves now, by the names of pods: the last word on each. */
export function servedBy(ztunnel: ZtunnelProcess): ReadonlySet<string> {
  const served = new Set<string>();
  const names = new Map<string, string>();
  for (const { event, uid, pod, result } of ztunnel.events()) {
    const key = String(uid);
    if (event === "add" && result === "ok") {
      names.set(key, String(pod));
      served.add(key);
    }
    if (event === "del") served.delete(key);
  }
  return new Set([...served].map((uid) => names.get(uid) ?? uid));
}
