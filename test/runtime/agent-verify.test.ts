// Running pods under the agent's eyes: a pod that was there first, rules that somebody flushes, and what is told about it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { eventually, readGolden, readRules } from "./captured-pods.ts";

enterNodeNamespaces();

const IN_PLACE = { REPAIR_ENABLED: "true", REPAIR_REPAIR_PODS: "true" };

async function startSidecarPod(mesh: MeshNode, name: string): Promise<TestPod> {
  const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name }));
  // The kubelet's report, by which pods that were there before are found.
  mesh.report(pod);
  return pod;
}

test("a pod that started before the agent is captured as soon as the agent is there", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const early = await startSidecarPod(mesh, "early");
  assert.equal((await readRules(early)).v4, "");
  const agent = await mesh.startAgent({ env: IN_PLACE });
  await eventually(
    async () => (await readRules(early)).v4 === readGolden("v4"),
    () => agent.log.slice(-20).join("\n"),
  );
  let text = "";
  await eventually(
    async () => {
      ({ text } = await agent.get(15014, "/metrics"));
      return /^istio_cni_repair_pods_repaired_total\{type="repair",result="success"\} 1$/m.test(text);
    },
    () => text,
  );
});

test("a pod that started before the agent is left alone where repair is off", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const early = await startSidecarPod(mesh, "early");
  await mesh.startAgent({ env: { REPAIR_ENABLED: "false" } });
  const later = await startSidecarPod(mesh, "later");
  assert.equal((await readRules(later)).v4, readGolden("v4"));
  assert.equal((await readRules(early)).v4, "");
});

test("rules that somebody flushes stand again, and an Event and a metric say so", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const agent = await mesh.startAgent({ env: IN_PLACE });
  const pod = await startSidecarPod(mesh, "web");
  await agent.waitForLine((line) => line.includes("Captured pod"));
  await pod.exec(["iptables-nft", "-t", "nat", "-F"]);
  await eventually(
    async () => (await readRules(pod)).v4 === readGolden("v4"),
    () => agent.log.slice(-20).join("\n"),
  );
  await eventually(
    () => mesh.api.list("events").some((event) => event["reason"] === "RedirectionRepaired"),
    () => JSON.stringify(mesh.api.list("events")),
  );
  const { text } = await agent.get(15014, "/metrics");
  assert.match(text, /^istio_cni_agent_drift_total\{object="rules",action="repaired"\} [1-9]/m);
});
