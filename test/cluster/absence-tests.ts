// The agent is away: while its pod is replaced, after a power cut, and when it was removed. No pod fails for a moment's
// absence, none starts past the mesh, and what is outside the mesh never waits.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type JsonObject, readPath, readText } from "../../testbed/api-server/kube-object.ts";
import { parseSandboxStarts, type SandboxStart } from "../../testbed/cluster/containerd-log.ts";
import { until } from "../../testbed/cluster/create-cluster.ts";
import { renderMeshPod, renderPlainPod } from "../../testbed/cluster/mesh-pod.ts";
import {
  AGENT_NAMESPACE,
  agentMetrics,
  containerStatus,
  isReady,
  listComplaintsAbout,
  readPods,
  waitAgentReady,
  waitReady,
} from "../../testbed/cluster/observe-pods.ts";
import { applyPaced, BURST, DELETED_BEFORE } from "./apply-paced.ts";
import { cutPower } from "./cut-power.ts";
import { classic, excluded, NAMESPACE, native, peer, plain, pod, type SidecarScene } from "./sidecar-scene.ts";

const burst = Array.from({ length: BURST }, (_, index) => pod(`burst-${index}`));
/** What stays for the power cut. */
const kept = burst.slice(0, 4);

/** The agent's pod is deleted while others start. */
export function testReplacement(scene: SidecarScene): void {
  test("fails no pod and lets none start uncaptured while its own pod is replaced", async (t) => {
    const { cluster } = scene;
    const pods = burst.map((each) => renderMeshPod(each));
    await applyPaced(cluster, pods, DELETED_BEFORE, () => scene.agent.deleteAgentPods());
    await waitReady(cluster, burst, 120_000);
    await scene.assertStartedAtOnce(...burst);
    await scene.assertCaptured(...burst);
    await waitAgentReady(cluster);
    const [, captured] = /decision="in",reason="sidecar"} (\d+)/.exec(await agentMetrics(cluster)) ?? [];
    const readySeconds = (await readPods(cluster, burst)).map(secondsToReady);
    t.diagnostic(`${captured} of ${burst.length} pods were captured by the new agent`);
    t.diagnostic(`the slowest was Ready ${Math.max(...readySeconds)} s after it was created`);
    assert.ok(Number(captured) > 0, "no pod started after the agent's pod was deleted: the test has tested nothing");
    if (scene.lab === undefined) return;
    const starts = parseSandboxStarts(scene.readContainerdLog()).filter(({ name }) => name.startsWith("burst-"));
    assert.equal(starts.length, burst.length, "attempts");
    t.diagnostic(describeTimes(starts));
  });
}

/** Power cut and start of the node. Only kept pods are there afterwards. */
export function testPowerCut(scene: SidecarScene): void {
  test("captures all pods again after a power cut, its own pod and kube-system waiting for nobody", async (t) => {
    const { cluster, lab } = scene;
    if (lab === undefined) return t.skip("only the lab's node can have its power cut");
    const gone = burst.slice(kept.length).map(({ name }) => name);
    await cluster.kubectl(["-n", NAMESPACE, "delete", "pod", "--wait=true", ...gone]);
    const meshed = [native, classic, ...kept];
    const all = [...meshed, plain, peer, excluded];
    const cutMs = await cutPower(cluster, lab, all);
    await scene.assertCaptured(...meshed);
    await scene.assertDirect(plain, peer);
    await scene.assertDirect(plain, excluded);

    const starts = parseSandboxStarts(scene.readContainerdLog()).filter(({ startMs }) => startMs > cutMs);
    const inNamespace = (wanted: string) => starts.filter(({ namespace }) => namespace === wanted);
    const own = inNamespace(AGENT_NAMESPACE).filter(({ name }) => name.startsWith("istio-cni-node-"));
    const system = inNamespace(excluded.namespace);
    assert.ok(system.some(({ name }) => name === excluded.name));
    const first = [...own, ...system];
    assert.equal(own.length, 1, "attempts at the agent's own pod");
    assert.deepEqual(
      first.filter(({ isMade }) => !isMade),
      [],
    );
    const madeMs = Math.min(...own.map(({ endMs }) => endMs));
    const meshNames = new Set(meshed.map(({ name }) => name));
    const captured = inNamespace(NAMESPACE).filter(({ name, isMade }) => isMade && meshNames.has(name));
    assert.equal(captured.length, meshed.length);
    assert.ok(
      captured.every(({ endMs }) => endMs > madeMs),
      "a mesh pod was made before there was an agent",
    );
    t.diagnostic(`own pod and kube-system: ${describeTimes(first)}; pods of the mesh: ${describeTimes(captured)}`);
    t.diagnostic(`refused meanwhile: ${inNamespace(NAMESPACE).filter(({ isMade }) => !isMade).length}`);
  });
}

/** The DaemonSet is deleted; plugin and chain stay. Leaves the agent installed. */
export function testRemoval(scene: SidecarScene): void {
  test("once removed, lets pods outside the mesh start and refuses the others with a sentence", async () => {
    const { cluster } = scene;
    await scene.agent.removeAgent();
    const outside = pod("outside");
    const refused = pod("refused");
    await cluster.apply([renderPlainPod(outside), renderMeshPod(refused)]);
    await waitReady(cluster, [outside]);
    let complaints: readonly string[] = [];
    await until("the refusal of a mesh pod", 60_000, async () => {
      complaints = await listComplaintsAbout(cluster, [refused]);
      return complaints.length > 0;
    });
    assert.match(complaints.join("\n"), /istio-cni.*Cannot .*agent/s);
    const [state = {}] = await readPods(cluster, [refused]);
    assert.equal(isReady(state), false);
    await scene.agent.installAgent();
    await waitReady(cluster, [refused], 90_000);
    await scene.assertCaptured(refused);
    const [found = {}] = await readPods(cluster, [refused]);
    assert.equal(readPath(containerStatus(found, "istio-validation"), "restartCount"), 0);
  });
}

/** In whole seconds, as the API tells them. */
function secondsToReady(each: JsonObject): number {
  const conditions = readPath(each, "status", "conditions");
  const ready = Array.isArray(conditions) ? conditions.find((one) => readText(one, "type") === "Ready") : undefined;
  return (
    (Date.parse(readText(ready, "lastTransitionTime")) - Date.parse(readText(each, "metadata", "creationTimestamp"))) /
    1000
  );
}

function describeTimes(starts: readonly SandboxStart[]): string {
  const took = starts.map(({ startMs, endMs }) => endMs - startMs).sort((a, b) => a - b);
  const [median, slowest] = [took[Math.floor(took.length / 2)] ?? 0, took.at(-1) ?? 0];
  return `${took.length} sandboxes, median ${median.toFixed(0)} ms, slowest ${slowest.toFixed(0)} ms`;
}
