// Sidecar mode in a real cluster: our DaemonSet, a real kubelet, pods as istiod injects them with a stand-in for the
// proxy. What is asserted is what a user of the mesh sees; the parts have their own tests nearer to them. One cluster for
// all, from the node without agent to the node that has lost it.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Diagnosis } from "../../src/core/doctor/diagnosis.ts";
import { readPath, readText } from "../../testbed/api-server/kube-object.ts";
import { until } from "../../testbed/cluster/create-cluster.ts";
import { renderMeshPod } from "../../testbed/cluster/mesh-pod.ts";
import { agentMetrics, waitReady } from "../../testbed/cluster/observe-pods.ts";
import { REPOSITORY } from "../../testbed/node/repository.ts";
import { testPowerCut, testRemoval, testReplacement } from "./absence-tests.ts";
import { testAlteredRules, testArrival, testReturn } from "./repair-tests.ts";
import { testRollouts } from "./rollout-tests.ts";
import { createSidecarScene, excluded, native, peer, plain, pod } from "./sidecar-scene.ts";

describe("the agent's DaemonSet in a cluster", () => {
  const scene = createSidecarScene();
  before(() => scene.open());
  after(() => scene[Symbol.asyncDispose]());

  testArrival(scene);

  test("becomes Ready with the five capabilities and the chart's rights", async () => {
    assert.match(await agentMetrics(scene.cluster), /^istio_cni_install_ready 1$/m);
  });

  test("is told by install-cni doctor that nothing fails: a real API server's authoriser, kubelet and node", async () => {
    const { cluster } = scene;
    const inPod = ["-n", "istio-system", "exec", "daemonset/istio-cni-node", "-c", "install-cni", "--"];
    const { stdout, stderr } = await cluster.tryKubectl([...inPod, "install-cni", "doctor", "--output", "json"]);
    const { checks } = JSON.parse(stdout || "{}") as Diagnosis;
    assert.ok(checks !== undefined, stderr);
    const failed = checks.filter(({ result }) => result === "fail").map(({ id, finding }) => `${id}: ${finding}`);
    assert.deepEqual(failed, []);
    const found = new Map(checks.map(({ id, result, finding }) => [id, `${result}: ${finding}`]));
    assert.match(
      found.get("api.rights") ?? "",
      /^(?:ok: all \d+ verbs are granted|warn: not granted: get daemonsets\.apps)/,
    );
    assert.match(found.get("api.node") ?? "", /^ok: the node is .*: pod istio-cni-node-\w+ runs on /);
    assert.match(found.get("api.clock") ?? "", /^ok: /);
    assert.match(found.get("folders.run") ?? "", /^ok: /);
    assert.match(found.get("rights.processes") ?? "", /^ok: .* in cgroups of pods$/);
  });

  test("is found by the commands of the hardened image's guide: READY 1/1, its DaemonSet, the state in its last lines (P25, P35)", async () => {
    const { cluster } = scene;
    const ofAgent = ["-n", "istio-system", "-l", "k8s-app=istio-cni-node"];
    const pods = await cluster.kubectl(["get", "pods", ...ofAgent]);
    assert.match(pods, /^istio-cni-node-\w+ +1\/1 +Running /m);
    const daemonSet = await cluster.kubectl(["-n", "istio-system", "get", "daemonset", "istio-cni-node"]);
    assert.match(daemonSet, /^istio-cni-node +1 +1 +1 +1 +1 /m);
    const log = await cluster.kubectl(["logs", ...ofAgent, "--tail=20"]);
    assert.match(log, /\tinfo\tcni-agent\t(?:Ready: |Captured pod|valid Istio config present)/);
  });

  test("puts the plugin into the node's chain and no credential beside it", async (t) => {
    const disk = scene.lab?.nodeDisk;
    if (disk === undefined) return t.skip("a node's disk is only seen in the lab");
    const conflist: unknown = JSON.parse(readFileSync(join(disk, "etc/cni/net.d/10-lab.conflist"), "utf8"));
    const plugins = readPath(conflist, "plugins");
    assert.ok(Array.isArray(plugins));
    assert.deepEqual(
      plugins.map((plugin) => readText(plugin, "type")),
      ["bridge", "portmap", "istio-cni"],
    );
    const installed = readFileSync(join(disk, "opt/cni/bin/istio-cni"));
    assert.ok(installed.equals(readFileSync(join(REPOSITORY, "out/bin/istio-cni"))), "another plugin than ours");
    assert.ok(!existsSync(join(disk, "etc/cni/net.d/ZZZ-istio-cni-kubeconfig")), "the plugin needs no kubeconfig");
  });

  test("captures a pod of the kubelet in both directions, so that istio-validation and probes pass", async () => {
    const { cluster } = scene;
    const pods = [pod("started-native"), pod("started-classic")] as const;
    await cluster.apply([renderMeshPod(pods[0]), renderMeshPod(pods[1], { isNative: false })]);
    await waitReady(cluster, pods);
    await scene.assertStartedAtOnce(...pods);
    await scene.assertCaptured(...pods);
    for (const { namespace, name } of pods) {
      const log = await cluster.kubectl(["-n", namespace, "logs", name, "-c", "istio-proxy"]);
      assert.ok(log.includes(`"captured":true,"port":15006`), log);
      assert.ok(log.includes(`"captured":true,"port":15001`), log);
    }
  });

  test("leaves a pod outside the mesh and one in kube-system as they are", async () => {
    const { cluster } = scene;
    await scene.assertDirect(plain, peer);
    const validated = pod("validated", "kube-system");
    await cluster.apply([renderMeshPod(excluded, { isValidated: false }), renderMeshPod(validated)]);
    await waitReady(cluster, [excluded]);
    await scene.assertDirect(plain, excluded);
    await scene.assertDirect(excluded, plain);
    // And istio-validation says so, with the code that repair looks for.
    await until("a validation that has failed", 60_000, () => scene.isFoundUncaptured(validated));
    await cluster.kubectl(["-n", "kube-system", "delete", "pod", validated.name, "--wait=false"]);
  });

  testAlteredRules(scene);

  test("captures a pod without a request to the API server", async () => {
    const { cluster } = scene;
    // What is open stays open: the watches go on, and whatever is asked anew is refused.
    await cluster.kubectl(["delete", "clusterrolebinding", "istio-cni", "istio-cni-repair-rolebinding"]);
    try {
      const { status } = await cluster.tryKubectl([
        ..."auth can-i get pods --as=system:serviceaccount:istio-system:istio-cni".split(" "),
      ]);
      assert.equal(status, 1, "the agent may still read pods");
      const later = pod("without-rights");
      await cluster.apply([renderMeshPod(later)]);
      await waitReady(cluster, [later]);
      await scene.assertCaptured(later);
    } finally {
      await scene.agent.applyRights();
    }
  });

  testReplacement(scene);
  testRollouts(scene);
  testPowerCut(scene);
  testRemoval(scene);
  testReturn(scene);

  test("still captures the pod that was there before all", () => scene.assertCaptured(native));
});
