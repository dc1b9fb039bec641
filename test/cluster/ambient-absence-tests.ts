// The agent or ztunnel is away: while its pod is replaced, after a power cut, and when it was removed. No pod fails for a
// moment's absence, none starts past the mesh, and pods of the mesh run on.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSandboxStarts } from "../../testbed/cluster/containerd-log.ts";
import { until } from "../../testbed/cluster/create-cluster.ts";
import { renderPlainPod } from "../../testbed/cluster/mesh-pod.ts";
import {
  deleteZtunnelPods,
  isAgentReady,
  readZtunnelEvents,
  waitRedirection,
  waitZtunnelReady,
} from "../../testbed/cluster/observe-ambient.ts";
import {
  AGENT_NAMESPACE,
  agentMetrics,
  listComplaintsAbout,
  waitAgentReady,
  waitReady,
} from "../../testbed/cluster/observe-pods.ts";
import {
  type AmbientScene,
  client,
  NAMESPACE,
  OUTSIDE_NAMESPACE,
  peer,
  plain,
  pod,
  probedByHttp,
  probedBySocket,
  server,
} from "./ambient-scene.ts";
import { applyPaced, BURST, DELETED_BEFORE } from "./apply-paced.ts";
import { cutPower } from "./cut-power.ts";

const burst = Array.from({ length: BURST }, (_, index) => pod(`burst-${index}`));
/** What stays for the power cut. */
const kept = burst.slice(0, 2);

/** The agent's pod is deleted while others start. */
export function testReplacement(scene: AmbientScene): void {
  test("fails no pod and lets none start outside the mesh while its own pod is replaced", async (t) => {
    const { cluster, lab } = scene;
    let deletedMs = Number.POSITIVE_INFINITY;
    await applyPaced(
      cluster,
      burst.map((each) => renderPlainPod(each)),
      DELETED_BEFORE,
      async () => {
        deletedMs = Date.now();
        await scene.agent.deleteAgentPods();
      },
    );
    await waitReady(cluster, burst, 120_000);
    await scene.assertStartedAtOnce(...burst);
    await waitAgentReady(cluster);
    await scene.assertInMesh(...burst);
    await scene.assertProbesPass([probedByHttp, probedBySocket], 1);
    if (lab === undefined) return;
    const starts = parseSandboxStarts(scene.readContainerdLog()).filter(({ name }) => name.startsWith("burst-"));
    assert.equal(starts.length, burst.length, "attempts");
    const later = starts.filter(({ startMs }) => startMs > deletedMs);
    assert.ok(later.length > 0, "no pod started after the agent's pod was deleted: the test has tested nothing");
    const slowest = Math.max(...starts.map(({ startMs, endMs }) => endMs - startMs));
    t.diagnostic(`${later.length} sandboxes were begun after the deletion; the slowest took ${slowest.toFixed(0)} ms`);
  });
}

/** ztunnel's pod is deleted while others start; then its DaemonSet. Leaves both Ready. */
export function testZtunnelReplacement(scene: AmbientScene): void {
  test("fails no pod while ztunnel's pod is replaced, and gives the new one every pod", async (t) => {
    const { cluster, lab } = scene;
    const pods = Array.from({ length: 6 }, (_, index) => pod(`meanwhile-${index}`));
    await applyPaced(
      cluster,
      pods.map((each) => renderPlainPod(each)),
      1,
      () => deleteZtunnelPods(cluster),
    );
    await waitReady(cluster, pods, 120_000);
    await scene.assertStartedAtOnce(...pods);
    await waitZtunnelReady(cluster);
    await scene.assertInMesh(...pods, client, server);
    // The new one's first snapshot has the others.
    const events = await readZtunnelEvents(cluster);
    assert.ok(events.findIndex(({ event }) => event === "snapshot-sent") > burst.length);
    await cluster.kubectl(["-n", NAMESPACE, "delete", "pod", "--wait=false", ...pods.map(({ name }) => name)]);
    if (lab === undefined) return;
    const starts = parseSandboxStarts(scene.readContainerdLog()).filter(({ name }) => name.startsWith("meanwhile-"));
    const slowest = Math.max(...starts.map(({ startMs, endMs }) => endMs - startMs));
    t.diagnostic(`the slowest of ${starts.length} sandboxes took ${slowest.toFixed(0)} ms`);
  });

  test("says on /readyz that there is no ztunnel, and a pod that starts then waits for the next one", async () => {
    const { cluster } = scene;
    assert.equal(await isAgentReady(cluster), true);
    const waiting = pod("waiting");
    try {
      await cluster.kubectl(["-n", AGENT_NAMESPACE, "delete", "daemonset", "ztunnel", "--wait=true"]);
      await until("/readyz to tell", 60_000, async () => !(await isAgentReady(cluster)));
      assert.match(await agentMetrics(cluster), /^istio_cni_agent_condition{name="ztunnel"} 0$/m);
      await cluster.apply([renderPlainPod(waiting)]);
    } finally {
      // Whatever went wrong here: the other tests are about a node with a ztunnel.
      await scene.agent.installAgent();
    }
    await waitReady(cluster, [waiting]);
    await scene.assertStartedAtOnce(waiting);
    await scene.assertInMesh(waiting, client);
    assert.equal(await isAgentReady(cluster), true);
    await cluster.kubectl(["-n", NAMESPACE, "delete", "pod", "--wait=false", waiting.name]);
  });
}

/** Power cut and start of the node. Only kept pods are there afterwards. */
export function testPowerCut(scene: AmbientScene): void {
  test("takes all pods in again after a power cut, their records and rules gone", async (t) => {
    const { cluster, lab } = scene;
    if (lab === undefined) return t.skip("only the lab's node can have its power cut");
    const gone = burst.slice(kept.length).map(({ name }) => name);
    await cluster.kubectl(["-n", NAMESPACE, "delete", "pod", "--wait=true", ...gone]);
    const meshed = [client, server, probedByHttp, probedBySocket, ...kept];
    const all = [...meshed, plain, peer];
    const cutMs = await cutPower(cluster, lab, all);
    await waitZtunnelReady(cluster);
    await scene.assertInMesh(client, server, ...kept);
    await waitRedirection(cluster, meshed, "enabled");
    await scene.assertProbesPass([probedByHttp, probedBySocket], 2);
    await scene.assertOutside(peer);

    const starts = parseSandboxStarts(scene.readContainerdLog()).filter(({ startMs }) => startMs > cutMs);
    const own = starts.filter(({ name }) => name.startsWith("istio-cni-node-"));
    assert.deepEqual(
      own.map(({ isMade }) => isMade),
      [true],
      "attempts at the agent's own pod",
    );
    const readyMs = Math.min(...own.map(({ endMs }) => endMs));
    const names = new Set(meshed.map(({ name }) => name));
    const taken = starts.filter(({ namespace, name, isMade }) => namespace === NAMESPACE && names.has(name) && isMade);
    assert.equal(taken.length, meshed.length);
    assert.ok(
      taken.every(({ endMs }) => endMs > readyMs),
      "a pod of the mesh was made before there was an agent",
    );
    const refused = starts.filter(({ namespace, isMade }) => namespace === NAMESPACE && !isMade).length;
    const last = Math.max(...taken.map(({ endMs }) => endMs));
    t.diagnostic(
      `${refused} attempts were refused; the last pod was made ${((last - cutMs) / 1000).toFixed(1)} s after`,
    );
  });
}

/** The DaemonSet is there and its pod cannot start: plugin and chain stay. Leaves the agent installed. */
export function testBrokenAgent(scene: AmbientScene): void {
  test("while it cannot start, leaves its pods in the mesh, lets others start and refuses those that belong there", async () => {
    const { cluster } = scene;
    const meshed = [client, server, probedByHttp, probedBySocket];
    const ready = await scene.readySince(...meshed);
    const outside = pod("outside", OUTSIDE_NAMESPACE);
    const refused = pod("refused");
    try {
      const image = ["daemonset/istio-cni-node", "install-cni=localhost/istio-install-cni/none:1"];
      await cluster.kubectl(["-n", AGENT_NAMESPACE, "set", "image", ...image]);
      await until("the end of the agent", 60_000, async () => !(await isAgentReady(cluster)));
      await cluster.apply([renderPlainPod(outside), renderPlainPod(refused)]);
      await scene.assertInMesh(client, server);
      await scene.assertProbesPass([probedByHttp, probedBySocket], 2);
      let complaints: readonly string[] = [];
      await until("the refusal of a pod of the mesh", 60_000, async () => {
        complaints = await listComplaintsAbout(cluster, [refused]);
        return complaints.length > 0;
      });
      assert.match(complaints.join("\n"), /istio-cni.*Cannot .*agent/s);
      await waitReady(cluster, [outside]);
    } finally {
      await scene.agent.installAgent();
    }
    await waitReady(cluster, [refused], 90_000);
    await scene.assertInMesh(refused, client, server);
    await scene.assertOutside(outside);
    assert.deepEqual(await scene.readySince(...meshed), ready);
  });
}
