// Upstream's chart with only the image replaced: our agent with exactly the arguments, environment, mounts, capabilities and
// rights that it gives, for every combination of values in testbed/upstream/testdata. With UPSTREAM_CHART, a chart's folder,
// the same with what helm renders of that chart, compared with what we say that it renders.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { readText } from "../../testbed/api-server/kube-object.ts";
import { namespace, node as nodeObject, plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import { AGENT_IMAGE, renderAgentImage } from "../../testbed/cluster/agent-image.ts";
import { startDaemonSetAgent } from "../../testbed/node/daemonset-agent.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import type { ImageAgent } from "../../testbed/node/supervise-agent.ts";
import { type ChartPod, listChartPodCases, renderChartPod, whatAgentMeets } from "../../testbed/upstream/chart-pods.ts";
import { startZtunnel, type ZtunnelProcess } from "../../testbed/ztunnel/ztunnel-process.ts";
import { assertCaptured, eventually } from "./captured-pods.ts";
import { assertGiven, assertHeeded, MULTUS, playMultus } from "./upstream-chart-node.ts";
import { type Facts, listTrials, MULTUS_DIR, NET_DIR, readFacts, renderTrials } from "./upstream-chart-trials.ts";

enterNodeNamespaces();

const UPSTREAM_CHART = process.env["UPSTREAM_CHART"] ?? "";
const DAEMON_SET = "GET /apis/apps/v1/namespaces/istio-system/daemonsets/istio-cni-node";
const REDIRECTION = "ambient.istio.io/redirection";
/** Where the folders of the platforms lie on this node: the runtime has one place for each. */
const FOLDERS: Readonly<Record<string, string>> = {
  "cni-bin-dir": "/opt/cni/bin",
  "cni-net-dir": NET_DIR,
  "cni-netns-dir": "/run/netns",
};

const trials = UPSTREAM_CHART === "" ? listTrials() : await renderTrials(UPSTREAM_CHART);

if (UPSTREAM_CHART !== "") {
  for (const { name, pod } of trials) {
    test(`our table says of ${name} what ${UPSTREAM_CHART} renders for one of its versions`, () => {
      const cases = listChartPodCases();
      // Values that came with a version are without effect in those before it.
      const since = cases.find((each) => each.name === name)?.versions;
      const isNew = (since?.size ?? 0) < Math.max(...cases.map(({ versions }) => versions.size));
      const before = isNew ? cases.find((each) => each.name === "defaults")?.versions : undefined;
      const told = [...(before?.values() ?? []), ...(since?.values() ?? [])].map(whatAgentMeets);
      const rendered = whatAgentMeets(pod);
      if (!told.some((each) => isDeepStrictEqual(each, rendered))) assert.deepEqual(rendered, told.at(-1));
    });
  }
}

describe("our agent becomes ready, captures pods, is forbidden nothing and leaves no trace", () => {
  let mesh: MeshNode;
  let conflist: string;
  let agent: ImageAgent | undefined;
  let ztunnel: ZtunnelProcess | undefined;
  let peer: TestPod;
  let count = 0;

  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
    await mesh.node.runtime.importImage(await renderAgentImage());
    conflist = readFileSync(mesh.node.conflistPath, "utf8");
    mesh.api.put(nodeObject(mesh.node.name));
    mesh.api.put(namespace("mesh", { "istio.io/dataplane-mode": "ambient" }));
    peer = await mesh.startPod(plainPod({ ...NEW_POD, name: "peer" }));
  });
  after(() => mesh.destroy());
  afterEach(async () => {
    await agent?.stop().catch(() => undefined);
    await ztunnel?.stop();
    agent = undefined;
    ztunnel = undefined;
    for (const name of readdirSync(NET_DIR)) rmSync(join(NET_DIR, name), { recursive: true });
    writeFileSync(mesh.node.conflistPath, conflist);
    rmSync(MULTUS_DIR, { recursive: true, force: true });
    for (const file of ["istio-cni", MULTUS]) rmSync(join(mesh.node.cniBinDir, file), { force: true });
    await mesh.node.waitForPlugins((types) => !types.includes("istio-cni") && !types.includes(MULTUS));
  });

  for (const { name, pod } of trials) {
    test(`upstream's chart with ${name}`, async () => {
      const facts = readFacts(pod);
      if (facts.isAmbient) {
        mkdirSync("/run/ztunnel", { recursive: true });
        ztunnel = await startZtunnel({ socketPath: "/run/ztunnel/ztunnel.sock" });
      }
      mesh.api.clearRequests();
      const running = await startDaemonSetAgent(mesh.node, {
        objects: renderChartPod(pod),
        api: mesh.api,
        image: AGENT_IMAGE,
        hostPath: (volume, path) => (path === MULTUS_DIR ? path : (FOLDERS[volume] ?? path)),
      });
      agent = running;
      await running.waitReady();
      assertGiven(running, pod);
      assertHeeded(running, pod);
      if (facts.isChained) await mesh.node.waitForChained();
      else await playMultus(mesh, facts.netDir, conflist);

      count += 1;
      const web = await mesh.startPod(sidecarPod({ ...NEW_POD, name: `web-${count}` }));
      await assertCaptured(mesh.node, web, peer, [4]);
      assert.match(
        (await web.exec(["nft", "list", "tables"])).stdout,
        facts.isNative ? /^table inet istio-proxy-nat$/m : /^table ip nat$/m,
      );
      await web.remove();
      mesh.api.remove("pods", `shop/web-${count}`);
      const enrolled = facts.isAmbient ? await enrolPod(`mesh-${count}`, facts.labels) : undefined;
      await assertRepairs(pod, `broken-${count}`);

      const refused = mesh.api.requests({ status: 403 }).map(({ method, path }) => `${method} ${path}`);
      // Upstream's chart lets the agent see its DaemonSet in ambient mode only: it asks once (ADR 16).
      assert.deepEqual(refused, facts.isAmbient ? [] : [DAEMON_SET], running.log().slice(-20).join("\n"));
      const complaints = running.log().filter((line) => /\t(error|fatal)\t|"level":"(error|fatal)"/.test(line));
      assert.deepEqual(complaints, []);

      await takeOff(running, facts);
      if (enrolled !== undefined) {
        assert.doesNotMatch((await enrolled.exec(["nft", "list", "ruleset"])).stdout, /ISTIO|istio/);
        await enrolled.remove();
        mesh.api.remove("pods", `mesh/${enrolled.name}`);
      }
    });
  }

  /** As the kubelet would start and report it. */
  async function enrolPod(name: string, labels: Readonly<Record<string, string>>): Promise<TestPod> {
    const pod = await mesh.startPod(plainPod({ ...NEW_POD, namespace: "mesh", name, labels }));
    mesh.report(pod);
    const read = (): string => readText(mesh.api.get("pods", `mesh/${name}`), "metadata", "annotations", REDIRECTION);
    await eventually(
      () => read() === "enabled",
      () => `${name} has no annotation\n${agent?.log().slice(-20).join("\n")}`,
    );
    assert.match((await pod.exec(["nft", "list", "ruleset"])).stdout, /ISTIO_OUTPUT|istio-/);
    return pod;
  }

  /** A pod that started without its rules, as istio-validation tells it. */
  async function assertRepairs({ config }: ChartPod, name: string): Promise<void> {
    const { REPAIR_ENABLED: enabled, REPAIR_REPAIR_PODS: byRules } = config;
    const [deletes, labels] = [config["REPAIR_DELETE_PODS"] === "true", config["REPAIR_LABEL_PODS"] === "true"];
    if (enabled !== "true" || byRules === "true" || (!deletes && !labels)) return;
    mesh.api.put(sidecarPod({ ...NEW_POD, name }));
    const terminated = { exitCode: 126, reason: "Error", message: "" };
    const containers = [
      { name: "istio-validation", restartCount: 3, state: { waiting: {} }, lastState: { terminated } },
    ];
    mesh.api.patch("pods", `shop/${name}`, { status: { phase: "Pending", initContainerStatuses: containers } });
    const label = config["REPAIR_BROKEN_POD_LABEL_KEY"] ?? "";
    await eventually(
      () => {
        const found = mesh.api.get("pods", `shop/${name}`);
        return deletes
          ? found === undefined
          : readText(found, "metadata", "labels", label) === config["REPAIR_BROKEN_POD_LABEL_VALUE"];
      },
      () => `${name} was neither deleted nor labelled\n${agent?.log().slice(-20).join("\n")}`,
    );
    mesh.api.remove("pods", `shop/${name}`);
  }

  /** By the command, and in ambient mode, where the chart lets the agent see it, by the end of its DaemonSet. */
  async function takeOff(running: ImageAgent, { isAmbient, isHostSeen, graceSeconds }: Facts): Promise<void> {
    rmSync(join(NET_DIR, "00-multus.conflist"), { force: true });
    if (isAmbient) mesh.api.remove("daemonsets", "istio-system/istio-cni-node");
    else {
      const { status, stdout, stderr } = await running.exec(["install-cni", "uninstall"]);
      assert.equal(status, 0, `${stdout}${stderr}`);
      // Without /host/proc nobody can tell whether a runtime will still call the plugin: it stays, and that is said.
      assert.equal(/Kept \/host\/opt\/cni\/bin\/istio-cni/.test(stdout), !isHostSeen, stdout);
    }
    assert.equal(await running.stop(graceSeconds), 0, running.log().slice(-20).join("\n"));
    agent = undefined;
    assert.equal(readFileSync(mesh.node.conflistPath, "utf8"), conflist);
    const ofMultus = existsSync(MULTUS_DIR) ? readdirSync(MULTUS_DIR) : [];
    const files = [...readdirSync(NET_DIR), ...ofMultus, ...readdirSync("/opt/cni/bin")];
    assert.deepEqual(
      files.filter((file) => file.includes("istio")),
      isHostSeen ? [] : ["istio-cni"],
    );
  }
});
