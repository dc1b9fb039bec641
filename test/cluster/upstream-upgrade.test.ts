// A release that helm made of upstream's chart becomes ours by `helm upgrade` with the same values file, goes back by `helm
// rollback`, and becomes ours again with the values it has, while pods of the mesh start. UPSTREAM_CHART names a folder with that chart; without it
// a chart stands in that makes the same objects (testbed/upstream). Our image is in both: upstream's is not at hand.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { applyPatch } from "../../testbed/api-server/patch.ts";
import { CHART } from "../../testbed/chart/render-chart.ts";
import { AGENT_IMAGE } from "../../testbed/cluster/agent-image.ts";
import { renderMeshPod, renderPlainPod } from "../../testbed/cluster/mesh-pod.ts";
import {
  AGENT_NAMESPACE,
  addressesOf,
  connect,
  waitAgentReady,
  waitReady,
} from "../../testbed/cluster/observe-pods.ts";
import { renderUpstreamInstall } from "../../testbed/cluster/upstream-install.ts";
import { createChartScene, NAMESPACE, plain, pod } from "./chart-scene.ts";
import { whilePodsStart } from "./while-pods-start.ts";

const { UPSTREAM_CHART = "" } = process.env;
const RELEASE = "istio-cni";
const MERGE = "application/merge-patch+json";
/** So that no pod is refused because this machine is slow to start the next agent. */
const WAIT = { PLUGIN_AGENT_WAIT: "60s" };
/** As people have it for upstream's chart, with our image in it. */
const VALUES = {
  cni: {
    image: AGENT_IMAGE,
    pullPolicy: "IfNotPresent",
    logging: { level: "info" },
    excludeNamespaces: ["kube-system"],
    env: WAIT,
  },
};
/** As our chart has them, and as upstream's. */
const [OURS, THEIRS] = ["istio-cni.config/checksum", "istio-cni-repair-role"];
const web = pod("web");

describe("a helm release of upstream's chart", () => {
  const scene = createChartScene();
  const folder = mkdtempSync(join(tmpdir(), "upstream-upgrade-"));
  const values = join(folder, "values.json");
  const upstream = UPSTREAM_CHART === "" ? join(folder, "cni") : UPSTREAM_CHART;
  let chain = "";
  before(async () => {
    writeFileSync(values, JSON.stringify(VALUES));
    if (UPSTREAM_CHART === "") writeChart(upstream);
    await scene.open();
    if (scene.lab !== undefined) chain = scene.readChain();
    await scene.helm("install", RELEASE, upstream, "--values", values);
    await waitAgentReady(scene.cluster);
    await scene.cluster.apply([renderMeshPod(web), renderPlainPod(plain)]);
    await waitReady(scene.cluster, [web, plain]);
  });
  after(async () => {
    rmSync(folder, { recursive: true });
    await scene[Symbol.asyncDispose]();
  });

  /** Whose DaemonSet and roles are there. */
  async function whose(): Promise<string> {
    const template = "jsonpath={.spec.template.metadata.annotations}";
    const { cluster } = scene;
    const found = await cluster.kubectl(["-n", AGENT_NAMESPACE, "get", "ds", "istio-cni-node", "-o", template]);
    const roles = await cluster.kubectl(["get", "clusterroles", "-o", "name"]);
    return `${found.includes(OURS) ? "our" : "upstream's"} DaemonSet, ${roles.includes(THEIRS) ? "upstream's" : "our"} roles`;
  }

  test("becomes ours by helm upgrade, goes back by helm rollback and becomes ours again, and no pod that starts meanwhile is refused or left out", async (t) => {
    const { cluster } = scene;
    const [its] = await addressesOf(cluster, [web]);
    assert.ok(its);
    const assertCaptured = async (): Promise<void> =>
      assert.deepEqual(await connect(cluster, plain, its), { outcome: "captured", port: 15006, original: its.text });
    // Helm would take upstream's defaults for ours.
    await assert.rejects(
      scene.helm("upgrade", RELEASE, CHART, "--reuse-values"),
      /Cannot take the defaults of another chart.*--reset-then-reuse-values/,
    );
    assert.equal(await whose(), "upstream's DaemonSet, upstream's roles");
    const { made, seconds } = await whilePodsStart(cluster, { perSecond: 1, namespace: NAMESPACE }, async () => {
      for (const [command, wanted] of [
        [["upgrade", RELEASE, CHART, "--values", values], "our DaemonSet, our roles"],
        [["rollback", RELEASE, "1"], "upstream's DaemonSet, upstream's roles"],
        [["upgrade", RELEASE, CHART, "--reset-then-reuse-values"], "our DaemonSet, our roles"],
      ] as const) {
        await scene.helm(...command);
        await waitAgentReady(cluster, 120_000);
        assert.equal(await whose(), wanted, command.join(" "));
        await assertCaptured();
      }
    });
    t.diagnostic(`${made} pods made and started in ${seconds.toFixed(0)} s`);
    assert.ok(made > 3, "too few pods: the test has tested nothing");
    const { status, stdout } = await scene.exec("status");
    assert.equal(status, 0, stdout);
  });

  test("leaves the nodes as they were when helm uninstalls it then", async () => {
    await scene.helm("uninstall", RELEASE, "--wait");
    if (scene.lab !== undefined) assert.equal(scene.readChain(), chain);
    const left = await scene.cluster.kubectl(["get", "clusterroles,clusterrolebindings", "-o", "name"]);
    assert.doesNotMatch(left, /istio-cni/);
  });
});

/** A chart that makes what upstream's makes of its defaults and WAIT, whatever its values. */
function writeChart(path: string): void {
  mkdirSync(join(path, "templates"), { recursive: true });
  writeFileSync(join(path, "Chart.yaml"), "apiVersion: v2\nname: cni\nversion: 1.30.3\n");
  const objects = renderUpstreamInstall("defaults")
    .filter(({ kind }) => kind !== "Namespace")
    .map((object) => (object["kind"] === "ConfigMap" ? applyPatch(object, { data: WAIT }, MERGE) : object));
  writeFileSync(join(path, "templates/objects.yaml"), objects.map((object) => JSON.stringify(object)).join("\n---\n"));
}
