// The second act of the demo: ambient mode. Pods that start in the mesh, come in and leave while they run; a stand-in for
// ztunnel that takes the agent's descriptors and proxies for real; and what heals by itself.
import type { KubeObject } from "../api-server/kube-object.ts";
import { isJsonObject, readPath } from "../api-server/kube-object.ts";
import { namespace, plainPod } from "../api-server/pod-fixtures.ts";
import { observeCapture } from "../node/connections.ts";
import { createNode } from "../node/create-node.ts";
import { joinMesh, type MeshNode, NEW_POD } from "../node/mesh-node.ts";
import type { TestPod } from "../node/pod.ts";
import { startApplication } from "../sidecar/sidecar.ts";
import { until } from "../until.ts";
import { startZtunnel, type ZtunnelProcess } from "../ztunnel/ztunnel-process.ts";
import { type AmbientRow, findAmbientSurprises, renderAmbientTable } from "./ambient-table.ts";
import type { Paint, Steps } from "./steps.ts";

const ZTUNNEL_SOCKET = "/run/ztunnel/ztunnel.sock";
const MODE_LABEL = "istio.io/dataplane-mode";
const PATIENCE_MS = 30_000;

/** Runs it and tells how many things were not as expected. */
export async function runAmbientAct({ step, say }: Steps, paint: Paint): Promise<number> {
  const node = await step("A fresh node with containerd, in a fresh pod network", () =>
    createNode({ families: "dual" }),
  );
  await using mesh = await step(
    "A Kubernetes API, as a stand-in; namespace mesh is labelled into ambient mode",
    async () => {
      const joined = await joinMesh(node);
      joined.api.put(namespace("mesh", { [MODE_LABEL]: "ambient" }));
      return joined;
    },
  );
  await using owned = new AsyncDisposableStack();
  const startTunnel = async (): Promise<ZtunnelProcess> =>
    owned.use(await startZtunnel({ socketPath: ZTUNNEL_SOCKET }));
  let ztunnel = await step("A stand-in for ztunnel, which proxies for real", startTunnel);
  const agent = await step("The agent starts and becomes ready, with ztunnel connected", async () => {
    const started = await mesh.launchAgent({ ambient: true });
    await started.waitReady();
    await node.waitForChained();
    return started;
  });

  const start = (
    name: string,
    ns: string,
    what: string,
    labels: Readonly<Record<string, string>> = {},
  ): Promise<TestPod> =>
    step(
      `Pod ${ns}/${name}`,
      () => startPod(mesh, plainPod({ ...NEW_POD, name, namespace: ns, labels })),
      () => what,
    );
  const client = await start("client", "mesh", "of the labelled namespace");
  const server = await start("server", "mesh", "the same");
  const excluded = await start("excluded", "mesh", `labelled ${MODE_LABEL}=none`, { [MODE_LABEL]: "none" });
  const joins = await start("joins", "shop", "of a namespace that is not labelled yet");
  const leaves = await start("leaves", "mesh", "of the labelled namespace; it is to leave");
  const pods = [client, server, excluded, joins, leaves];
  for (const pod of pods) owned.use(await startApplication(node.nettool, pod, [8080]));

  const isIn = async (pod: TestPod): Promise<boolean> =>
    redirection(mesh, pod) === "enabled" && (await countRules(pod)) > 0;
  const isOut = async (pod: TestPod): Promise<boolean> =>
    redirection(mesh, pod) === undefined && (await countRules(pod)) === 0;
  await step("The three that started in the mesh are annotated as reachable by it", () =>
    until(
      "the three to be in",
      async () => (await Promise.all([client, server, leaves].map(isIn))).every(Boolean),
      PATIENCE_MS,
    ),
  );
  await step("Namespace shop is labelled: its pod, which runs, comes in", async () => {
    mesh.api.patch("namespaces", "shop", { metadata: { labels: { [MODE_LABEL]: "ambient" } } });
    await until("shop/joins to be in", () => isIn(joins), PATIENCE_MS);
  });
  await step("Pod mesh/leaves is labelled out: it leaves when what it has open is finished", async () => {
    mesh.api.patch("pods", "mesh/leaves", { metadata: { labels: { [MODE_LABEL]: "none" } } });
    await until("mesh/leaves to be out", () => isOut(leaves), PATIENCE_MS);
  });
  await step("Somebody flushes the rules of mesh/server: they stand again", async () => {
    const before = await countRules(server);
    for (const table of ["nat", "mangle"]) await server.exec(["iptables", "-t", table, "-F"]);
    await until("its rules to stand again", async () => (await countRules(server)) === before, PATIENCE_MS);
  });
  await step("ztunnel is replaced: its successor is given all pods of the mesh", async () => {
    const old = ztunnel;
    ztunnel = await startTunnel();
    const isGiven = () => [client, server, joins].every(({ uid }) => isServed(ztunnel, uid));
    await until("the successor to have them", isGiven, PATIENCE_MS);
    await old.stop();
  });

  const inMesh = new Set([client, server, joins]);
  const rows = await step("Connections in and out of each, and what ztunnel says of them", async () => {
    const seen: AmbientRow[] = [];
    for (const pod of pods) {
      const tried = await observeCapture(node.nettool, pod, pod === client ? server : client);
      const told = ztunnel.connections().filter(({ uid }) => uid === pod.uid);
      seen.push({
        name: `${pod.namespace}/${pod.name}`,
        annotation: redirection(mesh, pod),
        rules: { v4: await countRules(pod, "iptables-save"), v6: await countRules(pod, "ip6tables-save") },
        isServed: isServed(ztunnel, pod.uid),
        connections: tried.map(({ direction, family, target, result }) => ({
          direction,
          family,
          isAnswered: result.outcome === "direct",
          isByZtunnel: told.some((line) => line.direction === direction && line.destination === target),
        })),
        isExpectedIn: inMesh.has(pod),
      });
    }
    return seen;
  });
  say(`\n${renderAmbientTable(rows, paint)}\n`);
  const found = findAmbientSurprises(rows);
  if (found.length > 0)
    for (const line of ["  Not as expected:", ...found.map((text) => `    ${text}`)]) say(paint.bad(line));
  else
    say(
      paint.good(
        `  As expected: ${inMesh.size} pods are in the mesh by ztunnel, ${pods.length - inMesh.size} are outside and untouched.`,
      ),
    );
  await step("Everything is gone again", async () => {
    await agent.stop();
    await owned.disposeAsync();
    await mesh.destroy();
  });
  return found.length;
}

/** Starts it and reports its addresses, as a kubelet does. */
async function startPod(mesh: MeshNode, object: KubeObject): Promise<TestPod> {
  const pod = await mesh.startPod(object);
  mesh.report(pod);
  return pod;
}

function redirection({ api }: MeshNode, { namespace: ns, name }: TestPod): string | undefined {
  const annotations = readPath(api.get("pods", `${ns}/${name}`), "metadata", "annotations");
  const value = isJsonObject(annotations) ? annotations["ambient.istio.io/redirection"] : undefined;
  return typeof value === "string" ? value : undefined;
}

function isServed(ztunnel: ZtunnelProcess, podUid: string): boolean {
  const told = ztunnel.events().filter(({ event, uid }) => uid === podUid && (event === "add" || event === "del"));
  const last = told.at(-1);
  return last?.["event"] === "add" && last["result"] === "ok";
}

/** Rules of ours, in both families unless told. */
async function countRules(pod: TestPod, ...saves: readonly string[]): Promise<number> {
  let count = 0;
  for (const save of saves.length > 0 ? saves : ["iptables-save", "ip6tables-save"]) {
    const { stdout } = await pod.exec([save]);
    count += stdout.split("\n").filter((line) => line.startsWith("-A")).length;
  }
  return count;
}
