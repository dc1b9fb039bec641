// Sidecar mode in a real cluster: our DaemonSet, a real kubelet, pods as istiod injects them with a stand-in for the
// proxy. What is asserted is what a user of the mesh sees; the parts have their own tests nearer to them.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { readPath, readText } from "../../testbed/api-server/kube-object.ts";
import { renderAgentImage } from "../../testbed/cluster/agent-image.ts";
import { type Cluster, createCluster, refuseIstio, until } from "../../testbed/cluster/create-cluster.ts";
import { type PodChoice, renderMeshPod, renderPlainPod, renderPodImage } from "../../testbed/cluster/mesh-pod.ts";
import {
  AGENT_NAMESPACE,
  addressOf,
  agentMetrics,
  connect,
  containerStatus,
  isReady,
  listComplaints,
  readPods,
  waitAgentReady,
  waitReady,
} from "../../testbed/cluster/observe-pods.ts";
import { REPOSITORY } from "../../testbed/node/repository.ts";

const MANIFESTS = join(REPOSITORY, "testbed/cluster/manifests");
const NAMESPACE = "shop";
const pod = (name: string, namespace = NAMESPACE): PodChoice => ({ name, namespace });
const mesh = pod("mesh");
const plain = pod("plain");
const peer = pod("peer");
const burst = Array.from({ length: 10 }, (_, index) => pod(`burst-${index}`));

describe("the agent's DaemonSet in a cluster", () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await createCluster();
    await refuseIstio(cluster);
    await cluster.loadImage(await renderAgentImage());
    await cluster.loadImage(renderPodImage());
    await cluster.apply(join(MANIFESTS, "rbac.yaml"));
    await cluster.apply(MANIFESTS);
    await cluster.createNamespace(NAMESPACE);
    await waitAgentReady(cluster);
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  /** Asserts that both directions of `each` pass its sidecar, seen from a pod outside the mesh. */
  async function assertCaptured(...pods: readonly PodChoice[]): Promise<void> {
    for (const each of pods) {
      const inbound = { outcome: "captured", port: 15006, original: await addressOf(cluster, each) };
      assert.deepEqual(await connect(cluster, plain, each), inbound, `into ${each.name}`);
      const outbound = { outcome: "captured", port: 15001, original: await addressOf(cluster, plain) };
      assert.deepEqual(await connect(cluster, each, plain), outbound, `out of ${each.name}`);
    }
  }

  test("becomes Ready with the five capabilities and the right to see pods and namespaces", async () => {
    assert.match(await agentMetrics(cluster), /^istio_cni_install_ready 1$/m);
  });

  test("puts the plugin into the node's chain and no credential beside it", async (t) => {
    const disk = cluster.lab?.nodeDisk;
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
    await cluster.apply([renderMeshPod(mesh), renderPlainPod(plain), renderPlainPod(peer)]);
    await waitReady(cluster, [mesh, plain, peer]);
    const [started = {}] = await readPods(cluster, [mesh]);
    const validation = containerStatus(started, "istio-validation");
    assert.equal(readPath(validation, "restartCount"), 0);
    assert.equal(readPath(validation, "state", "terminated", "exitCode"), 0);
    await assertCaptured(mesh);
    const log = await cluster.kubectl(["-n", NAMESPACE, "logs", mesh.name, "-c", "istio-proxy"]);
    assert.ok(log.includes(`"captured":true,"port":15006`), log);
    assert.ok(log.includes(`"captured":true,"port":15001`), log);
  });

  test("leaves a pod outside the mesh and one in kube-system as they are", async () => {
    assert.deepEqual(await connect(cluster, plain, peer), { outcome: "direct", port: 8080 });
    const excluded = pod("injected", "kube-system");
    const validated = pod("validated", "kube-system");
    await cluster.apply([renderMeshPod(excluded, false), renderMeshPod(validated)]);
    await waitReady(cluster, [excluded]);
    assert.deepEqual(await connect(cluster, plain, excluded), { outcome: "direct", port: 8080 });
    assert.deepEqual(await connect(cluster, excluded, plain), { outcome: "direct", port: 8080 });
    // And istio-validation says so, with the code that repair looks for.
    await until("a validation that has failed", 30_000, async () => {
      const [found = {}] = await readPods(cluster, [validated]);
      const status = containerStatus(found, "istio-validation");
      return ["state", "lastState"].some((state) => readPath(status, state, "terminated", "exitCode") === 126);
    });
  });

  test("captures a pod without a request to the API server", async () => {
    // What is open stays open: the watches go on, and whatever is asked anew is refused.
    await cluster.kubectl(["delete", "clusterrolebinding", "istio-cni"]);
    try {
      const { status } = await cluster.tryKubectl([
        ..."auth can-i get pods --as=system:serviceaccount:istio-system:istio-cni".split(" "),
      ]);
      assert.equal(status, 1, "the agent may still read pods");
      const later = pod("without-rights");
      await cluster.apply([renderMeshPod(later)]);
      await waitReady(cluster, [later]);
      await assertCaptured(later);
    } finally {
      await cluster.apply(join(MANIFESTS, "rbac.yaml"));
    }
  });

  test("fails no pod and lets none start uncaptured while its own pod is replaced", async (t) => {
    // Half of the pods start while the old agent ends, half when it is gone and the new one is not there yet.
    const ending = ["-n", AGENT_NAMESPACE, "delete", "pod", "-l", "k8s-app=istio-cni-node", "--wait=true"];
    const half = burst.length / 2;
    const apply = (pods: readonly PodChoice[]) => cluster.apply(pods.map((each) => renderMeshPod(each)));
    await Promise.all([cluster.kubectl(ending), apply(burst.slice(0, half))]);
    await apply(burst.slice(half));
    await waitReady(cluster, burst, 90_000);
    assert.deepEqual(await listComplaints(cluster, NAMESPACE), []);
    for (const each of await readPods(cluster, burst))
      assert.equal(readPath(containerStatus(each, "istio-validation"), "restartCount"), 0);
    await assertCaptured(...burst);
    await waitAgentReady(cluster);
    const [, captured] = /decision="in",reason="sidecar"} (\d+)/.exec(await agentMetrics(cluster)) ?? [];
    t.diagnostic(`${captured} of ${burst.length} pods were captured by the new agent`);
    assert.ok(Number(captured) >= half, `the new agent has captured ${captured} pods only`);
  });

  test("captures all pods again after a power cut", async (t) => {
    if (cluster.lab === undefined) return t.skip("only the lab's node can have its power cut");
    const all = [mesh, plain, peer, ...burst];
    const idOf = (each: Parameters<typeof isReady>[0]) => readText(containerStatus(each, "app"), "containerID");
    const before = (await readPods(cluster, all)).map(idOf);
    await cluster.lab.powerCut();
    await until("pods that run anew", 120_000, async () =>
      (await readPods(cluster, all)).every((each, index) => isReady(each) && idOf(each) !== before[index]),
    );
    await waitAgentReady(cluster);
    await assertCaptured(mesh, ...burst);
    assert.deepEqual(await connect(cluster, plain, peer), { outcome: "direct", port: 8080 });
  });

  test("once removed, lets pods outside the mesh start and refuses the others with a sentence", async () => {
    await cluster.kubectl(["-n", AGENT_NAMESPACE, "delete", "daemonset", "istio-cni-node", "--wait=true"]);
    await until("the end of the agent's pod", 60_000, async () => {
      const { items } = await cluster.get("-n", AGENT_NAMESPACE, "pods");
      return Array.isArray(items) && items.length === 0;
    });
    const outside = pod("outside");
    const refused = pod("refused");
    await cluster.apply([renderPlainPod(outside), renderMeshPod(refused)]);
    await waitReady(cluster, [outside]);
    let complaints: readonly string[] = [];
    await until("the refusal of a mesh pod", 60_000, async () => {
      complaints = (await listComplaints(cluster, NAMESPACE)).filter((line) => line.startsWith("refused: "));
      return complaints.length > 0;
    });
    assert.match(complaints.join("\n"), /istio-cni.*Cannot .*agent/s);
    const [state = {}] = await readPods(cluster, [refused]);
    assert.equal(isReady(state), false);

    await cluster.apply(join(MANIFESTS, "daemonset.yaml"));
    await waitReady(cluster, [refused], 90_000);
    await assertCaptured(refused);
  });
});
