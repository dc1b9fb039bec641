// What upstream's chart makes, with our image, in a real cluster: kubelet, authorizer and probes in place of the stand-ins of
// test/runtime/upstream-chart.test.ts, which tries every combination of values. With its defaults, then upgraded to ambient
// mode, then taken off as ADR 16 has it.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { renderAgentImage } from "../../testbed/cluster/agent-image.ts";
import { type Audit, startAudit } from "../../testbed/cluster/audit.ts";
import { type Cluster, createCluster, refuseIstio, until } from "../../testbed/cluster/create-cluster.ts";
import { renderMeshPod, renderPlainPod, renderPodImage } from "../../testbed/cluster/mesh-pod.ts";
import { waitRedirection, waitZtunnelReady } from "../../testbed/cluster/observe-ambient.ts";
import { AGENT_NAMESPACE, waitAgentReady, waitReady } from "../../testbed/cluster/observe-pods.ts";
import { renderUpstreamInstall } from "../../testbed/cluster/upstream-install.ts";
import { applyZtunnel, renderZtunnelImage } from "../../testbed/cluster/ztunnel-daemonset.ts";

const ACCOUNT = `system:serviceaccount:${AGENT_NAMESPACE}:istio-cni`;
const DAEMON_SET = "/apis/apps/v1/namespaces/istio-system/daemonsets/istio-cni-node";
const web = { name: "web", namespace: "shop" };
const enrolled = { name: "enrolled", namespace: "mesh" };
const later = { name: "after", namespace: "shop" };

describe("upstream's chart with our image in a cluster", () => {
  let cluster: Cluster;
  let audit: Audit | undefined;
  let chain = "";
  before(async () => {
    cluster = await createCluster();
    await refuseIstio(cluster);
    const { lab } = cluster;
    audit = lab && (await startAudit(lab, [ACCOUNT]));
    await until(
      "an API server",
      60_000,
      async () => (await cluster.tryKubectl(["get", "--raw", "/readyz"])).status === 0,
    );
    for (const image of [await renderAgentImage(), renderPodImage(), renderZtunnelImage()])
      await cluster.loadImage(image);
    for (const { namespace } of [web, enrolled]) await cluster.createNamespace(namespace);
    chain = readChain();
  });
  after(() => cluster[Symbol.asyncDispose]());

  /** The node's conflist; empty where only the API can be reached. */
  function readChain(): string {
    const { lab } = cluster;
    return lab === undefined ? "" : readFileSync(join(lab.nodeDisk, "etc/cni/net.d/10-lab.conflist"), "utf8");
  }

  async function install(name: string): Promise<void> {
    await cluster.apply(renderUpstreamInstall(name));
    await waitAgentReady(cluster);
  }

  /** What the real authorizer refused the agent so far. */
  const refusals = (): readonly string[] =>
    (audit?.entries(ACCOUNT) ?? []).filter(({ code }) => code === 403).map(({ verb, uri }) => `${verb} ${uri}`);

  test("is Ready with its default values, and captures pods; of what it asks only its DaemonSet is refused, once", async () => {
    await install("defaults");
    await cluster.apply([renderMeshPod(web)]);
    await waitReady(cluster, [web]);
    assert.deepEqual(refusals(), audit === undefined ? [] : [`get ${DAEMON_SET}`]);
  });

  test("goes over to ambient mode, and is refused nothing any more", async () => {
    const before = refusals().length;
    await cluster.kubectl(["label", "namespace", enrolled.namespace, "istio.io/dataplane-mode=ambient"]);
    await applyZtunnel(cluster);
    await install("ambient");
    await waitZtunnelReady(cluster);
    await cluster.apply([renderPlainPod(enrolled)]);
    await waitReady(cluster, [enrolled, web]);
    await waitRedirection(cluster, [enrolled], "enabled");
    assert.deepEqual(refusals().slice(before), []);
  });

  test("leaves node and pods when its DaemonSet is deleted in the foreground, as ADR 16 has it", async () => {
    const leave = ["delete", "daemonset", "istio-cni-node", "--cascade=foreground", "--wait", "--timeout=120s"];
    await cluster.kubectl(["-n", AGENT_NAMESPACE, ...leave], 130_000);
    await waitRedirection(cluster, [enrolled], undefined);
    assert.equal(readChain(), chain);
    const { lab } = cluster;
    if (lab !== undefined) assert.ok(!existsSync(join(lab.nodeDisk, "opt/cni/bin/istio-cni")));
    await cluster.apply([renderPlainPod(later)]);
    await waitReady(cluster, [later]);
  });
});
