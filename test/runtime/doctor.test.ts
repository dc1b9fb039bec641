// `install-cni doctor` on a real node: as `kubectl exec` would run it beside the agent, and on the node without one. What it
// finds is planted, and what was there before is there after.
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import type { Diagnosis } from "../../src/core/doctor/diagnosis.ts";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { CHART_CAPABILITIES } from "../../testbed/node/agent-bundle.ts";
import { mustRun, runCommand } from "../../testbed/node/command.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, INSTALL_CNI, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import { enterContainer } from "./ask-agent.ts";
import { eventually } from "./captured-pods.ts";

enterNodeNamespaces();

const BOUNDING = ["-all", ...CHART_CAPABILITIES.map((name) => `+${name.replace("CAP_", "").toLowerCase()}`)].join(",");
/** What a container has; `without` is taken from it. */
type As = { readonly without?: readonly string[]; readonly bounding?: string };

function environmentOf(agent: TestAgent): string[] {
  const entries = readFileSync(`/proc/${agent.pid}/environ`, "utf8").split("\0");
  return entries.filter((entry) => entry !== "");
}

/** Runs doctor in the agent's container: its namespaces, its environment, its capabilities. */
function inContainer(agent: TestAgent, args: readonly string[] = [], { bounding = BOUNDING }: As = {}) {
  const limited = ["setpriv", `--bounding-set=${bounding}`, "env", "-i", ...environmentOf(agent)];
  return runCommand([...enterContainer(agent), ...limited, INSTALL_CNI, "doctor", ...args]);
}

function onNode(env: Readonly<Record<string, string>> = {}, args: readonly string[] = []) {
  return runCommand([
    "env",
    "-i",
    "PATH=/usr/sbin:/usr/bin",
    ...Object.entries(env).map(([key, value]) => `${key}=${value}`),
    INSTALL_CNI,
    "doctor",
    ...args,
  ]);
}

async function diagnosed(
  running: ReturnType<typeof runCommand>,
): Promise<{ readonly all: Diagnosis; readonly status: number | null; of(id: string): Diagnosis["checks"][number] }> {
  const { status, stdout, stderr } = await running;
  assert.equal(stderr, "");
  const all = JSON.parse(stdout) as Diagnosis;
  return {
    all,
    status,
    of: (id) => all.checks.find((check) => check.id === id) ?? assert.fail(`there is no check ${id}`),
  };
}

/** Everything a look could leave behind: files with their inodes and times, rules, links, namespaces, modules, objects. */
async function snapshot({ api }: MeshNode): Promise<string> {
  const folders = ["/etc/cni", "/opt/cni", "/run/istio-cni", "/run/netns", "/run/xtables.lock"];
  // What is not there is told on standard error.
  const files = await runCommand(["find", ...folders, "-printf", "%p %i %s %m %T@ %C@\\n"]);
  const mounts = readFileSync("/proc/self/mountinfo", "utf8");
  const rules = await mustRun(["nft", "list", "ruleset"]);
  const links = await mustRun(["ip", "-o", "link"]);
  const routing = await mustRun(["ip", "rule"]);
  const sets = await mustRun(["ipset", "list", "-name"]);
  const modules = await runCommand(["cat", "/proc/modules"]);
  const legacy = await runCommand(["cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"]);
  const objects = (["pods", "namespaces", "nodes", "events", "daemonsets"] as const).map((kind) =>
    JSON.stringify(api.list(kind)),
  );
  return [files.stdout, mounts, rules, links, routing, sets, modules.stdout, legacy.stdout, ...objects].join("\n");
}

test("doctor beside a healthy agent finds nothing wrong, and leaves the node and the API as they were", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const agent = await mesh.startAgent();
  const own = /^POD_NAME=(.*)$/m.exec(environmentOf(agent).join("\n"))?.[1] ?? "";
  mesh.api.put(plainPod({ name: own, namespace: "istio-system", nodeName: "testbed-node" }));
  const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "web" }));
  mesh.report(pod);
  // What the agent itself writes of this pod after its ADD.
  await eventually(
    () => existsSync(`/run/istio-cni/pods/${pod.uid}.json`),
    () => agent.log.slice(-10).join("\n"),
  );
  let before = await snapshot(mesh);
  await eventually(
    async () => {
      const last = before;
      before = await snapshot(mesh);
      return before === last;
    },
    () => before,
  );
  for (const seen of ["10-testbed.conflist", "/opt/cni/bin/istio-cni", "admin.sock", "cni0", "testbed-node"]) {
    assert.ok(before.includes(seen), `${seen} is not looked at`);
  }
  mesh.api.clearRequests();
  const found = await diagnosed(inContainer(agent, ["--output", "json"]));
  assert.equal(await snapshot(mesh), before);

  const bad = found.all.checks.filter(({ result }) => result === "fail" || result === "warn");
  assert.deepEqual(
    bad.map(({ id, finding }) => `${id}: ${finding}`),
    [],
  );
  assert.match(found.of("kernel.rules").finding, /as the agent found|tried in a namespace nobody uses/);
  assert.match(found.of("cni.primary").finding, /^the runtime takes 10-testbed\.conflist: .*istio-cni/);
  assert.match(found.of("api.rights").finding, /^all \d+ verbs are granted$/);
  assert.match(found.of("api.token").finding, /^the token ends at 20/);
  assert.match(found.of("agent.ports").finding, /8000 and 15014 are listened on/);
  assert.match(found.of("rights.processes").finding, /[1-9]\d* of them in cgroups of pods/);
  assert.equal(found.of("folders.run").result, "ok", found.of("folders.run").finding);
  const asked = new Set(
    mesh.api
      .requests()
      .filter(({ userAgent }) => userAgent?.includes("doctor"))
      .map(({ method, path }) => `${method} ${path}`),
  );
  assert.deepEqual([...asked].toSorted(), [
    `GET /api/v1/namespaces/istio-system/pods/${own}`,
    "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
  ]);

  const text = await inContainer(agent);
  assert.equal(text.status, found.status);
  assert.match(text.stdout, /^Node testbed-node, sidecar mode, install-cni \S+: \d+ checks/);
  assert.match(text.stdout, /^ok +cni\.entry +10-testbed\.conflist has our entry as it should be$/m);
  assert.ok(!text.stdout.includes("\u001b"), "colours are for terminals");
});

test("doctor names the verb that is not granted, the right that is missing, and the option that cannot be followed", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const agent = await mesh.startAgent();
  const may = ({
    verb,
    resource,
  }: {
    readonly verb: string;
    readonly resource: { readonly plural: string };
  }): boolean => !(verb === "watch" && resource.plural === "pods") && resource.plural !== "events";
  agent.setToken(mesh.api.issueToken({ name: "system:serviceaccount:istio-system:limited", may }));
  const limited = await diagnosed(inContainer(agent, ["-o", "json"]));
  assert.equal(limited.status, 2);
  assert.equal(limited.of("api.rights").result, "fail");
  assert.match(
    limited.of("api.rights").finding,
    /^not granted: watch pods \(no pod is captured\); create events \(no Events.*; patch events/,
  );

  agent.setToken("nobody.knows.this");
  const stranger = await diagnosed(inContainer(agent, ["-o", "json"]));
  assert.equal(stranger.of("api.server").result, "fail");
  assert.match(stranger.of("api.server").finding, /does not know us: .*401/);

  const powerless = await diagnosed(
    inContainer(agent, ["-o", "json"], { bounding: "-all,+dac_override,+net_raw,+sys_ptrace" }),
  );
  assert.equal(powerless.of("rights.capabilities").result, "fail");
  assert.match(powerless.of("rights.capabilities").finding, /NET_ADMIN \(writing rules\), SYS_ADMIN/);
  assert.equal(powerless.of("rights.namespaces").result, "fail");

  const misspelt = await diagnosed(inContainer(agent, ["-o", "json", "--monitoring-port=many"]));
  assert.equal(misspelt.of("agent.config").result, "fail");
  assert.match(misspelt.of("agent.config").finding, /--monitoring-port/);

  const wrong = await inContainer(agent, ["--no-such-flag"]);
  assert.deepEqual([wrong.status, wrong.stdout], [3, ""]);
});

test("doctor on a node without an agent: nothing installed, then what an agent that died leaves, then what others break", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const fresh = await snapshot(mesh);
  const clean = await diagnosed(onNode({}, ["-o", "json"]));
  assert.equal(await snapshot(mesh), fresh);
  for (const id of ["agent.running", "cni.entry", "cni.plugin", "cni.agent"]) {
    assert.equal(clean.of(id).result, "not-applicable", `${id}: ${clean.of(id).finding}`);
  }
  assert.equal(clean.of("cni.primary").result, "ok", clean.of("cni.primary").finding);
  assert.match(clean.of("kernel.rules").finding, /tried in a namespace nobody uses|it was not tried/);
  assert.equal(clean.of("api.server").result, "unknown");

  const agent = await mesh.startAgent();
  await agent.kill();
  const orphaned = await diagnosed(onNode({}, ["-o", "json"]));
  assert.equal(orphaned.status, 2);
  assert.equal(orphaned.of("cni.agent").result, "fail");
  assert.match(orphaned.of("cni.agent").finding, /no agent answers it: nobody listens at/);

  rmSync("/opt/cni/bin/istio-cni");
  const without = await diagnosed(onNode({}, ["-o", "json"]));
  assert.equal(without.of("cni.plugin").result, "fail");
  assert.match(without.of("cni.plugin").nextStep ?? "", /install-cni uninstall/);

  writeFileSync("/etc/cni/net.d/10-testbed.conflist", "");
  const empty = await diagnosed(onNode({}, ["-o", "json"]));
  assert.equal(empty.of("cni.primary").result, "fail");
  assert.match(empty.of("cni.primary").finding, /10-testbed\.conflist: it is empty/);

  const unreachable = await diagnosed(
    onNode({ KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: "9" }, ["-o", "json"]),
  );
  assert.equal(unreachable.of("folders.conf").result, "fail", "in a pod nothing but what is mounted counts");
});
