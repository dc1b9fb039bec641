// The chart in a real cluster: every object of every case accepted field by field, the agent Ready and doing its whole job with
// exactly the rights of the chart's service account, none of them unused; nothing left by helm uninstall.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { isJsonObject, type JsonObject, readPath, readText } from "../../testbed/api-server/kube-object.ts";
import { CHART_CASES, MANIFEST_CASES } from "../../testbed/chart/chart-cases.ts";
import { CHART, renderObjects } from "../../testbed/chart/render-chart.ts";
import type { AuditEntry } from "../../testbed/cluster/audit.ts";
import { until } from "../../testbed/cluster/create-cluster.ts";
import { renderMeshPod, renderPlainPod } from "../../testbed/cluster/mesh-pod.ts";
import { redirectionOf, waitRedirection, waitZtunnelReady } from "../../testbed/cluster/observe-ambient.ts";
import {
  AGENT_LABEL,
  AGENT_NAMESPACE,
  addressesOf,
  connect,
  containerStatus,
  isReady,
  readAgentPod,
  readPods,
  waitReady,
} from "../../testbed/cluster/observe-pods.ts";
import { openPodNetns } from "../../testbed/cluster/pod-netns.ts";
import { applyZtunnel } from "../../testbed/cluster/ztunnel-daemonset.ts";
import { mustRun, runCommand } from "../../testbed/node/command.ts";
import { AGENT_ACCOUNT, createChartScene, HOOK_ACCOUNT, MESH_NAMESPACE, NAMESPACE, plain, pod } from "./chart-scene.ts";

/** A folder with the definitions of kinds that the chart makes objects of and Kubernetes does not have: the Prometheus
 * operator's (example/prometheus-operator-crd of its Go module), Multus' (artifacts of network-attachment-definition-client). */
const { FOREIGN_CRDS = "" } = process.env;
const FOREIGN = ["NetworkAttachmentDefinition", "PodMonitor", "ServiceMonitor"];
const ONLY_IN_LAB = "only the lab's node and API server can be reached beside Kubernetes";
const [web, broken, enrolled] = [pod("web"), pod("broken"), pod("enrolled", MESH_NAMESPACE)];
/** With it, an agent asks at its end whether its node is still wanted. */
const ONLY_LINUX = ["key=kubernetes.io/os", "operator=Exists"].map(
  (field) =>
    `affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].${field}`,
);
const REPAIRS_BY_LABEL = ["repair.repairPods=false", "repair.labelPods=true", ...ONLY_LINUX];
const REPAIRS_BY_DELETION = ["repair.repairPods=false", "repair.deletePods=true", ...ONLY_LINUX];
const REDIRECTION = "ambient.istio.io/redirection";

describe("the chart in a cluster", () => {
  const scene = createChartScene();
  const folder = mkdtempSync(join(tmpdir(), "chart-test-"));
  let chain = "";
  /** Where the requests end that are made with all rights, and no others. */
  let ordinary: readonly AuditEntry[] = [];
  before(() => scene.open());
  after(async () => {
    rmSync(folder, { recursive: true });
    await scene[Symbol.asyncDispose]();
  });

  test("has no object in any case that the API server would not take field by field", async () => {
    const { cluster } = scene;
    if (FOREIGN_CRDS !== "") {
      await cluster.kubectl(["apply", "--server-side", "-f", FOREIGN_CRDS]);
      await cluster.kubectl(["wait", "crd", "--all", "--for=condition=Established", "--timeout=60s"], 70_000);
    }
    const { items } = await cluster.get("crd");
    const defined = new Set(Array.isArray(items) ? items.map((each) => readText(each, "spec", "names", "kind")) : []);
    const objects = new Map<string, JsonObject>();
    for (const { args, kubeVersion } of [...MANIFEST_CASES, ...CHART_CASES]) {
      for (const object of await renderObjects({ args, ...(kubeVersion !== undefined && { kubeVersion }) }))
        if (!FOREIGN.includes(readText(object, "kind")) || defined.has(readText(object, "kind")))
          objects.set(JSON.stringify(object), object);
    }
    assert.ok(objects.size > 40, `only ${objects.size} objects`);
    const path = join(folder, "objects.json");
    writeFileSync(path, JSON.stringify({ apiVersion: "v1", kind: "List", items: [...objects.values()] }));
    const strict = ["apply", "--dry-run=server", "--validate=strict"];
    await cluster.kubectl([...strict, "-f", path], 120_000);
    for (const { name } of MANIFEST_CASES) await cluster.kubectl([...strict, "-k", join(CHART, "manifests", name)]);
  });

  test("labels pods that started without redirection where repair.labelPods is chosen, and deletes them where repair.deletePods is", async (t) => {
    const { cluster, lab } = scene;
    if (lab === undefined) return t.skip(ONLY_IN_LAB);
    chain = scene.readChain();
    await cluster.apply([renderMeshPod(broken), renderPlainPod(plain)]);
    await until("a validation that failed", 60_000, async () => {
      const [found = {}] = await readPods(cluster, [broken]);
      const status = containerStatus(found, "istio-validation");
      return ["state", "lastState"].some((state) => readPath(status, state, "terminated", "exitCode") === 126);
    });
    await scene.release(...REPAIRS_BY_LABEL);
    await until("the label", 60_000, async () => {
      const [found = {}] = await readPods(cluster, [broken]);
      return readPath(readPath(found, "metadata", "labels"), "cni.istio.io/uninitialized") === "true";
    });
    await scene.release(...REPAIRS_BY_DELETION);
    await until("the deletion", 60_000, async () => {
      const { status } = await cluster.tryKubectl(["-n", NAMESPACE, "get", "pod", broken.name]);
      return status !== 0;
    });
  });

  test("makes an agent of its default values that is Ready and captures a pod", async () => {
    const { cluster } = scene;
    await scene.release();
    const agent = await readAgentPod(cluster);
    assert.ok(isReady(agent));
    assert.equal(readPath(containerStatus(agent, "install-cni"), "restartCount"), 0);
    await cluster.apply([renderMeshPod(web), renderPlainPod(plain)]);
    await waitReady(cluster, [web, plain]);
    const [its, outside] = await addressesOf(cluster, [web, plain]);
    assert.ok(its && outside);
    assert.deepEqual(await connect(cluster, plain, its), { outcome: "captured", port: 15006, original: its.text });
    assert.deepEqual(await connect(cluster, web, outside), {
      outcome: "captured",
      port: 15001,
      original: outside.text,
    });
    const { status, stdout } = await scene.exec("status");
    assert.equal(status, 0, stdout);
    assert.match(await scene.helm("test", "istio-cni"), /Phase: +Succeeded/);
  });

  test("lets the agent tell of what it repairs by Events, and count them up", async (t) => {
    const { cluster, lab } = scene;
    if (lab === undefined) return t.skip(ONLY_IN_LAB);
    using netns = await openPodNetns(lab, web);
    const rules = await netns.rules();
    for (const times of [1, 2]) {
      await netns.exec(["nft", "flush", "ruleset"]);
      await until("the repair", 60_000, async () => (await netns.rules()) === rules);
      await until(`an Event that tells of ${times}`, 60_000, async () => {
        const { items } = await cluster.get(
          "-n",
          NAMESPACE,
          "events",
          `--field-selector=involvedObject.name=${web.name}`,
        );
        const counts = Array.isArray(items)
          ? items.filter(isOurs).map((event) => Number(readPath(event, "count")))
          : [];
        return counts.some((count) => count >= times);
      });
    }
  });

  test("lets the agent ask for a pod that its watch has not shown", async (t) => {
    const { lab } = scene;
    if (lab === undefined) return t.skip(ONLY_IN_LAB);
    const plugins: unknown = readPath(JSON.parse(scene.readChain()), "plugins");
    const entry = Array.isArray(plugins)
      ? plugins.find((plugin) => readText(plugin, "type") === "istio-cni")
      : undefined;
    assert.ok(isJsonObject(entry));
    const stdinPath = join(folder, "netconf.json");
    const prevResult = { cniVersion: "1.0.0", interfaces: [], ips: [] };
    writeFileSync(stdinPath, JSON.stringify({ ...entry, cniVersion: "1.0.0", name: "lab", prevResult }));
    const cni = {
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: "none",
      CNI_NETNS: "/var/run/netns/nobody",
      CNI_IFNAME: "eth0",
      CNI_PATH: "/opt/cni/bin",
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${NAMESPACE};K8S_POD_NAME=nobody;K8S_POD_UID=11111111-2222-3333-4444-555555555555`,
    };
    const env = Object.entries(cni).map(([name, value]) => `${name}=${value}`);
    const inNode = [lab.script, "node"];
    await mustRun([...inNode, "ip", "netns", "add", "nobody"]);
    const plugin = [...inNode, "env", ...env, "/opt/cni/bin/istio-cni"];
    const { status, stdout } = await runCommand(plugin, { stdinPath, timeoutMs: 60_000 });
    await mustRun([...inNode, "ip", "netns", "delete", "nobody"]);
    assert.equal(status, 1, stdout);
    assert.equal(readPath(JSON.parse(stdout), "code"), 11, stdout);
  });

  test("takes pods into ambient mode with profile=ambient", async () => {
    const { cluster } = scene;
    await cluster.kubectl(["label", "namespace", MESH_NAMESPACE, "istio.io/dataplane-mode=ambient"]);
    await applyZtunnel(cluster);
    await scene.release("profile=ambient");
    await waitZtunnelReady(cluster);
    await cluster.apply([renderPlainPod(enrolled)]);
    await waitReady(cluster, [enrolled]);
    await waitRedirection(cluster, [enrolled], "enabled");
    const { status, stdout } = await scene.exec("status");
    assert.equal(status, 0, stdout);
    // P28: what the guide of the hardened image tells people to look for.
    assert.match(await cluster.kubectl(["-n", AGENT_NAMESPACE, "logs", "-l", AGENT_LABEL, "--tail=-1"]), /ambient/);
    ordinary = scene.audit?.entries(AGENT_ACCOUNT) ?? [];
  });

  test("lets the agent ask for a namespace that its watch has not shown", async (t) => {
    const { cluster, lab } = scene;
    if (lab === undefined) return t.skip(ONLY_IN_LAB);
    // So that there is no watch: the right to have one is taken, and the one that is open is broken.
    const role = await cluster.get("clusterrole", "istio-cni-ambient");
    const rules = readPath(role, "rules");
    assert.ok(Array.isArray(rules));
    const index = rules.findIndex((rule) => JSON.stringify(readPath(rule, "resources")) === '["namespaces"]');
    const patch = [{ op: "replace", path: `/rules/${index}/verbs`, value: ["get"] }];
    await cluster.kubectl(["patch", "clusterrole", "istio-cni-ambient", "--type=json", "-p", JSON.stringify(patch)]);
    await scene.restartApiServer();
    const later = pod("later", "later");
    await cluster.apply([
      {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name: "later", labels: { "istio.io/dataplane-mode": "ambient" } },
      },
    ]);
    await cluster.createNamespace("later");
    await cluster.kubectl(["label", "namespace", "later", "istio.io/dataplane-mode=ambient", "--overwrite"]);
    await cluster.apply([renderPlainPod(later)]);
    await waitReady(cluster, [later], 90_000);
    const { stdout } = await scene.exec("explain", "later/later");
    assert.match(stdout, /^later\/later is in the mesh/);
    // It is told to others when the watch has shown the namespace.
    await scene.release("profile=ambient", "podAnnotations.again=1");
    await waitRedirection(cluster, [later], "enabled");
  });

  test("lets the agent use every right it has been given, and forbids it nothing", async (t) => {
    if (scene.audit === undefined) return t.skip(ONLY_IN_LAB);
    assert.deepEqual(ordinary.filter(isRefused).map(told), []);
    assert.ok(ordinary.length > 0);
    // No pod of another node is ever asked for.
    const lists = ordinary.filter(({ resource, name }) => resource === "pods" && name === "");
    assert.deepEqual(lists.filter(({ uri }) => !uri.includes("fieldSelector=spec.nodeName")).map(told), []);
    assert.deepEqual(listUsed(scene.audit.entries(AGENT_ACCOUNT)), await listGranted(false));
  });

  /** By what somebody tries with the agent's token: what he is told. */
  const attempts: readonly (readonly [string, JsonObject, RegExp])[] = [
    ["an annotation", { metadata: { annotations: { "example.com/x": "y" } } }, /may set no annotation but/],
    [
      "to remove an annotation",
      { metadata: { annotations: { "kubectl.kubernetes.io/last-applied-configuration": null } } },
      /may remove no annotation but/,
    ],
    ["a label", { metadata: { labels: { app: "other" } } }, /may set no label/],
    ["to remove a label", { metadata: { labels: { app: null } } }, /may remove no label/],
    ["a finalizer", { metadata: { finalizers: ["example.com/stay"] } }, /may not change finalizers/],
    ["an address", { status: { podIP: "192.0.2.1", podIPs: [{ ip: "192.0.2.1" }] } }, /may not change the status/],
  ];

  test("lets who has the agent's token write nothing but its own", async () => {
    const { cluster } = scene;
    const [mine, nobodys] = [await scene.token(true), await scene.token(false)];
    const status = `/api/v1/namespaces/${MESH_NAMESPACE}/pods/${enrolled.name}/status`;
    const claim = { metadata: { annotations: { [REDIRECTION]: "enabled" } } };
    assert.equal((await scene.request(mine, "PATCH", status, claim)).code, 200);
    for (const [what, body, message] of attempts) {
      const answer = await scene.request(mine, "PATCH", status, body);
      assert.equal(answer.code, 403, what);
      assert.match(answer.message, message, what);
    }
    assert.match(
      (await scene.request(nobodys, "PATCH", status, claim)).message,
      /this token of istio-cni names no node/,
    );
    const elsewhere = {
      ...renderPlainPod(pod("elsewhere")),
      spec: { nodeName: "another-node", containers: [{ name: "app", image: "x" }] },
    };
    await cluster.apply([elsewhere]);
    const other = `/api/v1/namespaces/${NAMESPACE}/pods/elsewhere/status`;
    assert.match((await scene.request(mine, "PATCH", other, claim)).message, /pods of its own node only/);
    await cluster.kubectl(["-n", NAMESPACE, "delete", "pod", "elsewhere", "--force", "--grace-period=0"]);
    const event = (kind: string, host: string): JsonObject => ({
      metadata: { name: `forged-${kind.toLowerCase()}-${host}` },
      involvedObject: { kind, namespace: NAMESPACE, name: web.name },
      source: { component: "istio-cni-node", host },
    });
    const events = `/api/v1/namespaces/${NAMESPACE}/events`;
    assert.match((await scene.request(mine, "POST", events, event("Pod", "another-node"))).message, /of its own node/);
    assert.match((await scene.request(mine, "POST", events, event("Node", cluster.nodeName))).message, /on pods only/);
    assert.equal(
      (await scene.request(mine, "DELETE", `/api/v1/namespaces/${NAMESPACE}/pods/${web.name}`, {})).code,
      403,
    );
    assert.equal(
      (await scene.request(mine, "POST", `/api/v1/namespaces/${NAMESPACE}/pods`, renderPlainPod(pod("made")))).code,
      403,
    );
  });

  test("leaves nothing on node and server when helm uninstalls it, and pods of ambient mode their network", async () => {
    const { cluster, lab } = scene;
    await scene.helm("uninstall", "istio-cni", "--wait");
    await waitRedirection(cluster, [enrolled], undefined);
    const [found = {}] = await readPods(cluster, [enrolled]);
    assert.equal(redirectionOf(found), undefined);
    assert.ok(isReady(found));
    const kinds =
      "all,serviceaccount,configmap,role,rolebinding,clusterrole,clusterrolebinding,validatingadmissionpolicy,validatingadmissionpolicybinding";
    assert.equal(
      await cluster.kubectl(["get", kinds, "-A", "-l", "app.kubernetes.io/name=istio-cni", "-o", "name"]),
      "",
    );
    const later = pod("after", MESH_NAMESPACE);
    await cluster.apply([renderPlainPod(later)]);
    await waitReady(cluster, [later]);
    const [its] = await addressesOf(cluster, [enrolled]);
    assert.ok(its);
    assert.deepEqual(await connect(cluster, plain, its), { outcome: "direct", port: its.port });
    if (lab === undefined) return;
    // The hook's rights are as small: it uses each, and is refused nothing.
    const asked = scene.audit?.entries(HOOK_ACCOUNT) ?? [];
    assert.deepEqual(asked.filter(isRefused).map(told), []);
    assert.deepEqual(listUsed(asked), await listGranted(true));
    assert.equal(scene.readChain(), chain);
    assert.ok(!existsSync(join(lab.nodeDisk, "opt/cni/bin/istio-cni")));
    const run = lab.nodePath("/run/istio-cni");
    assert.deepEqual(existsSync(run) ? readdirSync(run) : [], []);
    using netns = await openPodNetns(lab, enrolled);
    assert.doesNotMatch(await netns.rules(), /ISTIO/);
  });
});

const told = (entry: AuditEntry): string => `${entry.verb} ${entry.uri} ${entry.code}`;
const isRefused = ({ decision, code }: AuditEntry): boolean => decision !== "allow" || code === 403;

/** As "verb resource", sorted. */
function listUsed(entries: readonly AuditEntry[]): readonly string[] {
  const allowed = entries.filter((entry) => !isRefused(entry));
  return [...new Set(allowed.map(({ verb, resource }) => `${verb} ${resource}`))].sort();
}

/** What the chart grants the agent, in the two modes and the two ways of repair that write, or its hook; in the same form. */
async function listGranted(isHook: boolean): Promise<readonly string[]> {
  const cases = ["profile=ambient", REPAIRS_BY_DELETION.join(), REPAIRS_BY_LABEL.join()];
  const rights = new Set<string>();
  for (const values of cases) {
    for (const object of await renderObjects({ args: ["--set", values] })) {
      const isOfHook = readText(object, "metadata", "annotations", "helm.sh/hook") !== "";
      const rules = isOfHook === isHook && readText(object, "kind").endsWith("Role") ? readPath(object, "rules") : [];
      for (const rule of Array.isArray(rules) ? rules : [])
        for (const verb of texts(readPath(rule, "verbs")))
          for (const resource of texts(readPath(rule, "resources"))) rights.add(`${verb} ${resource}`);
    }
  }
  return [...rights].sort();
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function isOurs(event: unknown): boolean {
  return readText(event, "source", "component") === "istio-cni-node";
}
