// Upstream's chart with only the image replaced: our agent with exactly the arguments, environment, mounts, capabilities and
// rights that it gives, for every combination of values in testbed/upstream/testdata. With UPSTREAM_CHART, a chart's folder,
// the same with what helm renders of that chart, compared with what we say that it renders.
import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { isJsonObject, readPath, readText } from "../../testbed/api-server/kube-object.ts";
import { namespace, node as nodeObject, plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import { parseYaml, tryRender } from "../../testbed/chart/render-chart.ts";
import { AGENT_IMAGE, renderAgentImage } from "../../testbed/cluster/agent-image.ts";
import { startDaemonSetAgent } from "../../testbed/node/daemonset-agent.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import type { ImageAgent } from "../../testbed/node/supervise-agent.ts";
import {
  type ChartPod,
  listChartPodCases,
  readChartObjects,
  renderChartPod,
  whatAgentMeets,
} from "../../testbed/upstream/chart-pods.ts";
import { startZtunnel, type ZtunnelProcess } from "../../testbed/ztunnel/ztunnel-process.ts";
import { assertCaptured, eventually } from "./captured-pods.ts";

enterNodeNamespaces();

const UPSTREAM_CHART = process.env["UPSTREAM_CHART"] ?? "";
const NET_DIR = "/etc/cni/net.d";
const DAEMON_SET = "GET /apis/apps/v1/namespaces/istio-system/daemonsets/istio-cni-node";
const REDIRECTION = "ambient.istio.io/redirection";
/** Where the folders of the platforms lie on this node: the runtime has one place for each. */
const FOLDERS: Readonly<Record<string, string>> = {
  "cni-bin-dir": "/opt/cni/bin",
  "cni-net-dir": NET_DIR,
  "cni-netns-dir": "/run/netns",
};
const MULTUS_DIR = "/etc/cni/multus/net.d";
/** Our plugin under another name, as what Multus delegates to is in the runtime's own list only as Multus. */
const MULTUS = "multus-stand-in";

interface Trial {
  readonly name: string;
  readonly pod: ChartPod;
}

/** Every pod that differs from the others in something that our agent could meet, named after the versions it is of. */
function listTrials(): readonly Trial[] {
  const trials = new Map<string, { readonly versions: string[]; readonly name: string; readonly pod: ChartPod }>();
  for (const { name, versions } of listChartPodCases()) {
    for (const [version, pod] of versions) {
      const key = name + JSON.stringify(whatMatters(pod, ["defaults", "ambient"].includes(name)));
      const known = trials.get(key);
      if (known === undefined) trials.set(key, { versions: [version], name, pod });
      else known.versions.push(version);
    }
  }
  return [...trials.values()].map(({ versions, name, pod }) => ({ name: `${name} (${versions.join(", ")})`, pod }));
}

// Between 1.28 and later ones: an option of ambient mode that the agent needs not, and the time to end. Two cases try both.
function whatMatters(pod: ChartPod, isAll: boolean): unknown {
  const { config, template } = pod;
  if (isAll) return whatAgentMeets(pod);
  const spec = readPath(template, "spec");
  assert.ok(isJsonObject(spec));
  return whatAgentMeets({
    ...pod,
    template: { ...template, spec: { ...spec, terminationGracePeriodSeconds: 0 } },
    config: { ...config, AMBIENT_RECONCILE_POD_RULES_ON_STARTUP: "" },
  });
}

async function renderTrials(chart: string): Promise<readonly Trial[]> {
  const trials: Trial[] = [];
  const all = listChartPodCases();
  const everywhere = Math.max(...all.map(({ versions }) => versions.size));
  for (const { name, values, apiVersions, versions } of all) {
    const args = [
      ...values.flatMap((value) => ["--set", value]),
      ...apiVersions.flatMap((version) => ["--api-versions", version]),
    ];
    const { status, stdout, stderr } = await tryRender({ chart, args });
    if (status === 0) trials.push({ name, pod: readChartObjects(await parseYaml(stdout)) });
    // What only some versions know, this one need not.
    else assert.ok(versions.size < everywhere, `${name}: ${stderr}`);
  }
  return trials;
}

const trials = UPSTREAM_CHART === "" ? listTrials() : await renderTrials(UPSTREAM_CHART);

if (UPSTREAM_CHART !== "") {
  for (const { name, pod } of trials) {
    test(`our table says of ${name} what ${UPSTREAM_CHART} renders for one of its versions`, () => {
      const versions = listChartPodCases().find((each) => each.name === name)?.versions;
      const told = [...(versions?.values() ?? [])].map(whatAgentMeets);
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
    const podIPs = pod.ips.map((ip) => ({ ip }));
    mesh.api.patch("pods", `mesh/${name}`, { status: { phase: "Running", podIP: pod.ips[0] ?? null, podIPs } });
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

interface Facts {
  readonly isAmbient: boolean;
  readonly isChained: boolean;
  readonly isNative: boolean;
  /** Whether the chart mounts /host/proc, which it does for ambient mode and for repair by rules. */
  readonly isHostSeen: boolean;
  /** Where our file goes if it is not chained. */
  readonly netDir: string;
  readonly graceSeconds: number;
  /** Of a pod that the selectors enrol. */
  readonly labels: Readonly<Record<string, string>>;
}

function readFacts({ config, template }: ChartPod): Facts {
  const volumes = JSON.stringify(readPath(template, "spec", "volumes"));
  return {
    isAmbient: config["AMBIENT_ENABLED"] === "true",
    isChained: config["CHAINED_CNI_PLUGIN"] === "true",
    isNative: config["NATIVE_NFTABLES"] === "true",
    isHostSeen: volumes.includes('"/proc"'),
    graceSeconds: Number(readPath(template, "spec", "terminationGracePeriodSeconds")),
    netDir: volumes.includes(MULTUS_DIR) ? MULTUS_DIR : NET_DIR,
    labels: config["AMBIENT_ENABLEMENT_SELECTOR"]?.includes("mesh: this") === true ? { mesh: "this" } : {},
  };
}

/** What the container has, seen from the kernel: user, capabilities and mounts are those of the template. */
function assertGiven({ pid }: ImageAgent, { template }: ChartPod): void {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  // DAC_OVERRIDE 1, NET_ADMIN 12, NET_RAW 13, SYS_PTRACE 19, SYS_ADMIN 21
  assert.equal(/^CapBnd:\t(\w+)/m.exec(status)?.[1], "0000000000283002");
  assert.equal(/^Uid:\t(\d+)/m.exec(status)?.[1], "0");
  const containers = readPath(template, "spec", "containers");
  const [container]: unknown[] = Array.isArray(containers) ? containers : [];
  const hasProfile = readText(container, "securityContext", "seccompProfile", "type") === "RuntimeDefault";
  assert.equal(/^Seccomp:\t(\d)/m.exec(status)?.[1], hasProfile ? "2" : "0");
  const mounted = readFileSync(`/proc/${pid}/mountinfo`, "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path.startsWith("/host") || path.startsWith("/run/") || path.startsWith("/var/run/"));
  const mounts = readPath(container, "volumeMounts");
  const wanted = Array.isArray(mounts) ? mounts.filter(isJsonObject).map((mount) => String(mount["mountPath"])) : [];
  const missing = wanted.filter(
    (path) => !mounted.includes(path) && !mounted.includes(path.replace("/var/run", "/run")),
  );
  assert.deepEqual(missing, []);
  const isProcSeen = mounted.some((path) => path.startsWith("/host/proc"));
  assert.equal(isProcSeen, wanted.includes("/host/proc"));
}

/** What of the chart's values shows on the node: where our entry is, and how the log is written. */
function assertHeeded(running: ImageAgent, { config, template }: ChartPod): void {
  const { isAmbient, isChained, netDir } = readFacts({ config, template, roles: {} });
  const isOwned = config["ISTIO_OWNED_CNI_CONFIG"] === "true" && isAmbient;
  const own = isOwned
    ? config["ISTIO_OWNED_CNI_CONF_FILENAME"] || "02-istio-cni.conflist"
    : config["CNI_CONF_NAME"] || (isChained ? "10-testbed.conflist" : "YYY-istio-cni.conf");
  const ours = readdirSync(netDir).filter((file) => readFileSync(join(netDir, file), "utf8").includes('"istio-cni"'));
  assert.deepEqual(ours, [own]);
  const isJson = JSON.stringify(readPath(template, "spec", "containers")).includes("--log_as_json");
  const lines = running.log();
  assert.ok(lines.length > 0);
  for (const line of lines) assert.equal(line.startsWith("{"), isJson, line);
}

/** What Multus makes of our own file for a pod with the annotation of istiod: our plugin after those of the pod network. */
async function playMultus({ node }: MeshNode, netDir: string, conflist: string): Promise<void> {
  const isOurs = (file: string): boolean => file.includes("istio-cni");
  const [file, ...more] = readdirSync(netDir).filter(isOurs);
  assert.ok(file !== undefined && more.length === 0, `there is no file of ours in ${netDir}`);
  const ours: unknown = JSON.parse(readFileSync(join(netDir, file), "utf8"));
  const primary: unknown = JSON.parse(conflist);
  assert.ok(isJsonObject(ours) && isJsonObject(primary) && Array.isArray(primary["plugins"]));
  const both = { ...primary, plugins: [...primary["plugins"], { ...ours, type: MULTUS }] };
  copyFileSync(join(node.cniBinDir, "istio-cni"), join(node.cniBinDir, MULTUS));
  writeFileSync(join(NET_DIR, "00-multus.conflist"), JSON.stringify(both));
  await node.waitForPlugins((types) => types.at(-1) === MULTUS);
}
