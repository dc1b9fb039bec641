// Ambient mode ends on the node: the product is taken away as a chart would do it, or the mode is switched off by what the chart does then
// (another configuration, no mounts for it, no right to annotate). Pods are let out and never stop being Ready, so that
// ztunnel can go.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readPath, readText } from "../../testbed/api-server/kube-object.ts";
import { type Cluster, until } from "../../testbed/cluster/create-cluster.ts";
import { type PodChoice, renderPlainPod } from "../../testbed/cluster/mesh-pod.ts";
import { waitRedirection } from "../../testbed/cluster/observe-ambient.ts";
import { AGENT_NAMESPACE, addressesOf, connect, waitReady } from "../../testbed/cluster/observe-pods.ts";
import { mustRun } from "../../testbed/node/command.ts";
import { type AmbientScene, client, pod, probedByHttp, probedBySocket, server } from "./ambient-scene.ts";

const meshed = [client, server, probedByHttp, probedBySocket];

/** The proven end of all. Leaves agent and ztunnel installed. */
export function testRemoval(scene: AmbientScene): void {
  test("lets its pods out when install-cni uninstall --all-nodes ends it, before its rights go, and takes them in when it is there again", async () => {
    const { cluster } = scene;
    const ready = await scene.readySince(...meshed);
    assert.equal(await scene.agent.uninstall(), "Deleted the DaemonSet istio-cni-node, and every agent has ended\n");
    await waitRedirection(cluster, meshed, undefined);
    await assertReleased(scene, []);
    await deleteZtunnel(cluster);
    const later = pod("after-removal");
    await cluster.apply([renderPlainPod(later)]);
    await waitReady(cluster, [later]);
    await scene.assertStartedAtOnce(later);
    await assertConnected(cluster, [client, server, later]);
    await scene.agent.installAgent();
    await scene.assertInMesh(client, server, later);
    await waitRedirection(cluster, meshed, "enabled");
    await scene.assertProbesPass([probedByHttp, probedBySocket], 2);
    assert.deepEqual(await scene.readySince(...meshed), ready);
  });
}

/** Leaves the node in sidecar mode, without ztunnel. */
export function testModeOff(scene: AmbientScene): void {
  test("lets its pods out when the mode is switched off, their annotation as soon as it may", async () => {
    const { cluster } = scene;
    const ready = await scene.readySince(...meshed);
    await cluster.kubectl(["delete", "clusterrole/istio-cni-ambient", "clusterrolebinding/istio-cni-ambient"]);
    await scene.agent.installAgent("sidecar");
    for (const each of meshed) await scene.untilWithoutRules(each);
    await scene.agent.applyRights();
    await waitRedirection(cluster, meshed, undefined, 120_000);
    await assertReleased(scene, ["istio-cni"]);
    await deleteZtunnel(cluster);
    const later = pod("after-mode");
    await cluster.apply([renderPlainPod(later)]);
    await waitReady(cluster, [later]);
    await scene.assertStartedAtOnce(later);
    await assertConnected(cluster, [client, server, later]);
    assert.deepEqual(await scene.readySince(...meshed), ready);
  });
}

/** Nothing of ambient mode is on the node, in the lab; beside the plugins of the node `chained` are in its chain. */
async function assertReleased(scene: AmbientScene, chained: readonly string[]): Promise<void> {
  const { lab } = scene;
  if (lab === undefined) return;
  for (const each of meshed) await scene.untilWithoutRules(each);
  const onNode = (...argv: string[]): Promise<string> => mustRun([lab.script, "node", ...argv]);
  await until("the end of the node's probe sets", 60_000, async () => {
    const sets = await onNode("ipset", "list", "-n");
    return !sets.includes("istio-inpod-probes");
  });
  assert.doesNotMatch(await onNode("iptables-save"), /ISTIO/);
  const conflist: unknown = JSON.parse(readFileSync(join(lab.nodeDisk, "etc/cni/net.d/10-lab.conflist"), "utf8"));
  const plugins = readPath(conflist, "plugins");
  assert.ok(Array.isArray(plugins));
  assert.deepEqual(
    plugins.map((plugin) => readText(plugin, "type")),
    ["bridge", "portmap", ...chained],
  );
}

async function deleteZtunnel(cluster: Cluster): Promise<void> {
  await cluster.kubectl([
    "-n",
    AGENT_NAMESPACE,
    "delete",
    "daemonset",
    "ztunnel",
    "--cascade=foreground",
    "--wait=true",
  ]);
}

/** Each reaches the next, and nobody is between them. */
async function assertConnected(cluster: Cluster, pods: readonly PodChoice[]): Promise<void> {
  const addresses = await addressesOf(cluster, pods);
  for (const [index, from] of pods.entries()) {
    const its = addresses[(index + 1) % pods.length];
    assert.ok(its);
    assert.deepEqual(await connect(cluster, from, its), { outcome: "direct", port: its.port }, `from ${from.name}`);
  }
}
