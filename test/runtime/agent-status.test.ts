// What an operator is told: `install-cni status` and `explain` beside the running agent, as `kubectl exec` would run them,
// against what really is in the pods' namespaces.
import assert from "node:assert/strict";
import { lstatSync } from "node:fs";
import { test } from "node:test";
import type { PodExplanation, StatusDocument } from "../../src/core/status/status-document.ts";
import { sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { runCommand } from "../../testbed/node/command.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { askAgent, NOBODY } from "./ask-agent.ts";
import { eventually, readGolden, readRules } from "./captured-pods.ts";

enterNodeNamespaces();

const ADMIN_SOCKET = "/run/istio-cni/admin.sock";

async function readStatus(agent: TestAgent): Promise<StatusDocument> {
  const { status, stdout, stderr } = await askAgent(agent, ["status", "--output", "json"]);
  assert.ok(status === 0 || status === 1, stderr);
  return JSON.parse(stdout) as StatusDocument;
}

/** The pod's entry once the condition holds. */
async function podOnce(
  agent: TestAgent,
  name: string,
  condition: (pod: StatusDocument["pods"][number]) => boolean,
): Promise<StatusDocument["pods"][number]> {
  let pod: StatusDocument["pods"][number] | undefined;
  await eventually(
    async () => {
      pod = (await readStatus(agent)).pods.find((candidate) => candidate.name === name);
      return pod !== undefined && condition(pod);
    },
    () => `${JSON.stringify(pod)}\n${agent.log.slice(-20).join("\n")}`,
  );
  assert.ok(pod !== undefined);
  return pod;
}

async function startSidecarPod(mesh: MeshNode, name: string): Promise<TestPod> {
  const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name }));
  mesh.report(pod);
  return pod;
}

test("rules that somebody flushes: Event, metric, status and explain say so", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const agent = await mesh.startAgent();
  const pod = await startSidecarPod(mesh, "web");
  const before = await podOnce(agent, "web", ({ state }) => state === "verified");
  assert.partialDeepStrictEqual(before, {
    decision: "in",
    reason: "sidecar",
    decidedBy: "add",
    repairs: 0,
    lastDrift: [],
  });
  assert.equal((await askAgent(agent, ["status"])).status, 0);

  const flush = await pod.exec(["iptables-nft", "-t", "nat", "-F"]);
  assert.equal(flush.status, 0, flush.stderr);
  const after = await podOnce(agent, "web", ({ state, repairs }) => state === "repaired" && repairs > 0);
  assert.equal((await readRules(pod)).v4, readGolden("v4"));
  assert.ok(after.lastDriftAt !== null && after.lastVerifiedAt !== null);
  assert.match(after.lastDrift.join("\n"), /nat\/ISTIO_INBOUND of IPv4 was altered/);
  assert.ok(after.lastDriftCount > after.lastDrift.length, "a line is cut, and says so");
  assert.equal(after.netns?.source, "add");
  assert.partialDeepStrictEqual(after.capture, { kind: "sidecar", mode: "REDIRECT", families: ["ipv4"] });

  const text = await askAgent(agent, ["status"]);
  assert.equal(text.status, 0, text.stderr);
  assert.match(text.stdout, /^Node +testbed-node, sidecar mode, agent /m);
  assert.match(text.stdout, /^Pods +1: 1 captured$/m);
  assert.match(
    text.stdout,
    /^shop +web +in +sidecar +repaired +REDIRECT +ipv4 +\d+s ago +[1-9]\d* +\d+s ago: .*nat\//m,
  );
  assert.ok(!text.stdout.includes("\u001b"), "colours are for terminals");

  await eventually(
    () => mesh.api.list("events").some((event) => event["reason"] === "RedirectionRepaired"),
    () => JSON.stringify(mesh.api.list("events")),
  );
  const { text: metrics } = await agent.get(15014, "/metrics");
  assert.match(metrics, /^istio_cni_agent_drift_total\{object="rules",action="repaired"\} [1-9]/m);
  assert.match(metrics, /^istio_cni_agent_pods\{state="captured"\} 1$/m);
  assert.match(metrics, /^istio_cni_agent_watch_age_seconds\{resource="pods"\} \d/m);

  const explained = await askAgent(agent, ["explain", "shop/web", "--rules"]);
  assert.equal(explained.status, 0, explained.stderr);
  assert.match(explained.stdout, /^shop\/web is in the mesh: it was injected with a sidecar/);
  assert.match(explained.stdout, /^ +annotation sidecar\.istio\.io\/status +present$/m);
  assert.match(explained.stdout, /^ +# .*\n +ipv4 nat +-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006$/m);
  const json = JSON.parse((await askAgent(agent, ["explain", "shop/web", "-ojson"])).stdout) as PodExplanation;
  const told = json.rules?.list.filter(({ table }) => table === "nat").map(({ rule }) => rule);
  const held = readGolden("v4")
    .split("\n")
    .filter((line) => line.startsWith("-A "));
  assert.deepEqual(told?.toSorted(), held.toSorted(), "what explain calls the rules is what the kernel has");
});

test("a pod that nobody may repair makes status and explain end with 1", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  await startSidecarPod(mesh, "early");
  const agent = await mesh.startAgent({ env: { REPAIR_ENABLED: "false", VERIFY_INTERVAL: "1s" } });
  const early = await podOnce(agent, "early", ({ state }) => state === "uncaptured");
  assert.partialDeepStrictEqual(early, { decision: "in", decidedBy: "annotations", needsAttention: true });
  const { status, stdout } = await askAgent(agent, ["status"]);
  assert.equal(status, 1);
  assert.match(stdout, /^shop +early +in +sidecar +uncaptured .*may not be repaired/m);
  const explained = await askAgent(agent, ["explain", "shop/early"]);
  assert.equal(explained.status, 1);
  assert.match(explained.stdout, /repair in place is off/);
  const { text } = await agent.get(15014, "/metrics");
  assert.match(text, /^istio_cni_agent_pods\{state="uncaptured"\} 1$/m);
});

test("VERIFY_INTERVAL is how often a pod is looked at of which nothing is heard", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const agent = await mesh.startAgent({ env: { VERIFY_INTERVAL: "1s" } });
  await startSidecarPod(mesh, "quiet");
  const seen = new Set<string>();
  await podOnce(agent, "quiet", ({ lastVerifiedAt }) => {
    if (lastVerifiedAt !== null) seen.add(lastVerifiedAt);
    // The start and the kubelet's report are two or three of them; the default would be one a minute.
    return seen.size >= 6;
  });
});

test("a family that passes by the proxy is said, counted, and no good", async () => {
  await using mesh = await createMeshNode({ families: "dual" });
  const agent = await mesh.startAgent();
  await startSidecarPod(mesh, "half");
  const half = await podOnce(agent, "half", ({ state }) => state === "verified");
  assert.deepEqual([half.bypassed, half.capture?.families], [["ipv6"], ["ipv4"]]);
  const { status, stdout } = await askAgent(agent, ["status"]);
  assert.equal(status, 1);
  assert.match(stdout, /^shop +half .*ipv6 passes by the proxy$/m);
  const { text } = await agent.get(15014, "/metrics");
  assert.match(text, /^istio_cni_agent_bypass_pods\{family="ipv6"\} 1$/m);
});

test("only root is answered, and who cannot be answered is told why", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const agent = await mesh.startAgent();
  await eventually(
    async () => (await askAgent(agent, ["status"])).status === 0,
    () => agent.log.slice(-20).join("\n"),
  );
  assert.equal(lstatSync(ADMIN_SOCKET).mode & 0o777, 0o600);
  const nobody = await askAgent(agent, ["status"], NOBODY);
  assert.deepEqual([nobody.status, nobody.stdout], [2, ""]);
  assert.match(nobody.stderr, /only root may ask the agent/);
  const unknown = await askAgent(agent, ["explain", "shop/absent"]);
  assert.equal(unknown.status, 3);
  assert.match(
    unknown.stderr,
    /Cannot explain pod shop\/absent: the agent of node \S+ knows no such pod; kubectl -n shop get pod absent /,
  );
  const elsewhere = await askAgent(agent, ["status", "--cni-agent-run-dir", "/var/run/elsewhere"]);
  assert.equal(elsewhere.status, 2);
  assert.match(elsewhere.stderr, /\/var\/run\/elsewhere\/admin\.sock.*no agent runs with this run directory/);
  assert.equal((await askAgent(agent, ["explain", "nonsense"])).status, 2);
});

test("a successor answers in its predecessor's place, and the socket comes back when somebody removes it", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const first = await mesh.startAgent();
  await eventually(
    async () => (await askAgent(first, ["status"])).status === 0,
    () => first.log.slice(-20).join("\n"),
  );
  const { ino } = lstatSync(ADMIN_SOCKET);
  const second = await mesh.launchAgent();
  const isReplaced = (): boolean => {
    const now = lstatSync(ADMIN_SOCKET, { throwIfNoEntry: false });
    return now !== undefined && now.ino !== ino;
  };
  await eventually(isReplaced, () => second.log.slice(-20).join("\n"));
  await first.stop();
  assert.ok(lstatSync(ADMIN_SOCKET).isSocket(), "the predecessor leaves it to its successor");
  await eventually(
    async () => (await askAgent(second, ["status"])).status === 0,
    () => second.log.slice(-20).join("\n"),
  );
  await runCommand(["rm", ADMIN_SOCKET]);
  await eventually(
    async () => (await askAgent(second, ["status"])).status === 0,
    () => second.log.slice(-20).join("\n"),
  );
});
