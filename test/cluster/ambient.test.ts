// Ambient mode in a real cluster: our DaemonSet with the chart's rights, a real kubelet, and a DaemonSet of ztunnel's
// stand-in, which proxies. What is asserted is what people of the mesh see; the parts have their own tests nearer to them.
// One cluster for all, from pods that were there before the agent to the node that has left ambient mode.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { renderPlainPod } from "../../testbed/cluster/mesh-pod.ts";
import { waitRedirection } from "../../testbed/cluster/observe-ambient.ts";
import { waitReady } from "../../testbed/cluster/observe-pods.ts";
import { testBrokenAgent, testPowerCut, testReplacement, testZtunnelReplacement } from "./ambient-absence-tests.ts";
import { testModeOff, testRemoval } from "./ambient-off-tests.ts";
import {
  client,
  createAmbientScene,
  LATE_NAMESPACE,
  lateByHttp,
  lateBySocket,
  NAMESPACE,
  peer,
  plain,
  probedByHttp,
  probedBySocket,
  server,
} from "./ambient-scene.ts";

describe("the agent's DaemonSet in ambient mode", () => {
  const scene = createAmbientScene();
  before(() => scene.open());
  after(() => scene[Symbol.asyncDispose]());

  test("takes in pods that ran before it, when it comes to the node", async () => {
    const { cluster } = scene;
    await cluster.apply([renderPlainPod(client), renderPlainPod(server), renderPlainPod(plain), renderPlainPod(peer)]);
    await waitReady(cluster, [client, server, plain, peer]);
    await scene.labelNamespace(NAMESPACE, "ambient");
    await scene.agent.installAgent();
    await scene.assertInMesh(client, server);
    await scene.assertOutside(peer);
  });

  test("takes pods in at their start, and lets the kubelet's probes reach them", async () => {
    const { cluster } = scene;
    const pods = [probedByHttp, probedBySocket];
    await cluster.apply([renderPlainPod(probedByHttp, "httpGet"), renderPlainPod(probedBySocket)]);
    await waitReady(cluster, pods);
    await scene.assertStartedAtOnce(...pods);
    await waitRedirection(cluster, pods, "enabled");
    await scene.assertProbesPass(pods, 3);
  });

  test("takes running pods in and lets them go with their namespace's label, Ready all the time", async () => {
    const { cluster } = scene;
    const pods = [lateByHttp, lateBySocket] as const;
    await cluster.apply([renderPlainPod(lateByHttp, "httpGet"), renderPlainPod(lateBySocket)]);
    await waitReady(cluster, pods);
    const ready = await scene.readySince(...pods);
    await scene.labelNamespace(LATE_NAMESPACE, "ambient");
    await waitRedirection(cluster, pods, "enabled");
    await scene.assertProbesPass(pods, 3);
    await scene.assertInMesh(...pods, server);
    await scene.labelNamespace(LATE_NAMESPACE, undefined);
    await waitRedirection(cluster, pods, undefined);
    await scene.assertOutside(...pods);
    assert.deepEqual(await scene.readySince(...pods), ready, "the kubelet found them not Ready meanwhile");
  });

  testReplacement(scene);
  testZtunnelReplacement(scene);
  testPowerCut(scene);
  testBrokenAgent(scene);
  testRemoval(scene);
  testModeOff(scene);
});
