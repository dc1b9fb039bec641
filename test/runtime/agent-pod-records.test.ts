// What was decided on a pod outlives the agent: annotations are edited, the agent is ended and started again, and neither a
// rule nor the reason changes. What it must not outlive: the pod's sandbox, and the node's kernel.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { StatusDocument } from "../../src/core/status/status-document.ts";
import { openNetns } from "../../src/platform/linux/netns.ts";
import type { JsonObject } from "../../testbed/api-server/kube-object.ts";
import { sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { runCommand } from "../../testbed/node/command.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD, podSpecOf } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { generationOf } from "../kernel/backend-fixture.ts";
import { askAgent } from "./ask-agent.ts";
import { eventually, readGolden, readRules } from "./captured-pods.ts";

enterNodeNamespaces();

const RUN_DIR = "/run/istio-cni";
const RECORDS = `${RUN_DIR}/pods`;
const EXCLUDED_PORT = "traffic.sidecar.istio.io/excludeOutboundPorts";

type PodStatus = StatusDocument["pods"][number];

/** The pod's entry of `install-cni status` once somebody has looked. */
async function statusOf(agent: TestAgent, name: string, isReady = (pod: PodStatus) => pod.state !== "waiting") {
  let pod: PodStatus | undefined;
  await eventually(
    async () => {
      const { stdout } = await askAgent(agent, ["status", "--output", "json"]);
      const document: StatusDocument | undefined = stdout === "" ? undefined : JSON.parse(stdout);
      pod = document?.pods.find((candidate) => candidate.name === name);
      return pod !== undefined && isReady(pod);
    },
    () => `${JSON.stringify(pod)}\n${agent.log.slice(-20).join("\n")}`,
  );
  assert.ok(pod !== undefined);
  const { decision, reason, decidedBy, state, repairs } = pod;
  return { decision, reason, decidedBy, state, repairs };
}

const IN_BY_ADD = { decision: "in", reason: "sidecar", decidedBy: "add", state: "verified", repairs: 0 };
const recordPath = ({ uid }: TestPod): string => join(RECORDS, `${uid}.json`);

function generation(pod: TestPod): number {
  using netns = openNetns(pod.netnsPath);
  return generationOf(netns);
}

async function untilRecorded(agent: TestAgent, pod: TestPod): Promise<void> {
  await eventually(
    () => existsSync(recordPath(pod)),
    () => agent.log.slice(-20).join("\n"),
  );
}

describe("decisions on pods", () => {
  let mesh: MeshNode;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
  });
  after(() => mesh.destroy());

  async function start(object: JsonObject): Promise<TestPod> {
    const pod = await mesh.startPod(object);
    mesh.report(pod);
    return pod;
  }
  function annotate({ namespace, name }: TestPod, annotations: Readonly<Record<string, string | null>>): void {
    mesh.api.patch("pods", `${namespace}/${name}`, { metadata: { annotations: { ...annotations } } });
  }
  async function remove(pod: TestPod): Promise<void> {
    await pod.remove();
    mesh.api.remove("pods", `${pod.namespace}/${pod.name}`);
  }

  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    test(`what was decided at ADD holds after ${signal}, whatever the annotations say by then`, async () => {
      const agent = await mesh.startAgent();
      const kept = await start(sidecarPod({ ...NEW_POD, name: `kept-${signal.toLowerCase()}` }));
      const taken = await start(sidecarPod({ ...NEW_POD, name: `taken-${signal.toLowerCase()}` }));
      const none = await start(
        sidecarPod({ ...NEW_POD, name: `none-${signal.toLowerCase()}`, interceptionMode: "NONE" }),
      );
      const pods = [kept, taken, none];
      for (const pod of pods) await untilRecorded(agent, pod);
      assert.deepEqual([statSync(RECORDS).mode & 0o7777, statSync(recordPath(kept)).mode & 0o7777], [0o700, 0o600]);
      const generations = pods.map(generation);

      await agent.stop(signal);
      annotate(kept, { "sidecar.istio.io/interceptionMode": "TPROXY", [EXCLUDED_PORT]: "443" });
      annotate(taken, { "sidecar.istio.io/interceptionMode": "NONE" });
      annotate(none, { "sidecar.istio.io/interceptionMode": "REDIRECT" });
      const next = await mesh.startAgent();
      for (const pod of [kept, taken]) assert.deepEqual(await statusOf(next, pod.name), IN_BY_ADD, pod.name);
      assert.partialDeepStrictEqual(await statusOf(next, none.name, ({ decidedBy }) => decidedBy === "add"), {
        decision: "out",
        reason: "interception-mode-none",
      });
      for (const pod of [kept, taken]) assert.equal((await readRules(pod)).v4, readGolden("v4"), pod.name);
      assert.equal((await readRules(none)).v4, "");
      assert.deepEqual(pods.map(generation), generations);

      for (const pod of pods) await remove(pod);
      await eventually(
        () => pods.every((pod) => !existsSync(recordPath(pod))),
        () => readdirSync(RECORDS).join(),
      );
      await next.stop();
    });
  }

  test("what was pinned at the first look of one agent holds for all that follow", async () => {
    // No agent is asked about a pod without the injector's annotation, as where our plugin is not in the chain yet.
    const object = mesh.api.put(sidecarPod({ ...NEW_POD, name: "early" }));
    const pod = await mesh.node.runPod({ ...podSpecOf(object), annotations: {} });
    mesh.report(pod);
    const first = await mesh.startAgent();
    await statusOf(first, pod.name, ({ state }) => state === "repaired");
    await untilRecorded(first, pod);
    const [rules, before] = [await readRules(pod), generation(pod)];
    assert.equal(rules.v4, readGolden("v4"));
    await first.kill();
    annotate(pod, { [EXCLUDED_PORT]: "443" });
    for (let round = 0; round < 2; round++) {
      const next = await mesh.startAgent();
      const expected = { ...IN_BY_ADD, decidedBy: "annotations" };
      assert.deepEqual(await statusOf(next, pod.name), expected, `agent ${round}`);
      assert.deepEqual([await readRules(pod), generation(pod)], [rules, before], `agent ${round}`);
      await next.kill();
    }
    await remove(pod);
  });

  test("a sandbox that was made anew while no agent was there does not get what the former one had", async () => {
    const agent = await mesh.startAgent();
    const object = mesh.api.put(sidecarPod({ ...NEW_POD, name: "anew" }));
    const old = await mesh.node.runPod(podSpecOf(object));
    mesh.report(old);
    await untilRecorded(agent, old);
    await agent.stop();
    annotate(old, { [EXCLUDED_PORT]: "443" });
    await old.remove();
    assert.ok(existsSync(recordPath(old)), "nobody was there to remove it");
    // As above: nobody is asked.
    const anew = await mesh.node.runPod({ ...podSpecOf(object), annotations: {}, attempt: 1 });
    mesh.report(anew);
    assert.equal(anew.uid, old.uid);
    const next = await mesh.startAgent();
    await statusOf(next, anew.name, ({ state, decidedBy }) => state === "repaired" && decidedBy === "annotations");
    const { v4 } = await readRules(anew);
    assert.notEqual(v4, readGolden("v4"));
    assert.match(v4, /--dport 443 -j RETURN/);
    assert.ok(next.log.some((line) => line.includes("that was for a former sandbox")));
    await remove(anew);
    await next.stop();
  });

  test("after a reboot nothing is believed: neither where the run directory is empty nor where its files have survived", async () => {
    const agent = await mesh.startAgent();
    const [emptied, survived] = [
      await start(sidecarPod({ ...NEW_POD, name: "emptied" })),
      await start(sidecarPod({ ...NEW_POD, name: "survived" })),
    ];
    for (const pod of [emptied, survived]) await untilRecorded(agent, pod);
    await agent.stop();
    const text = readFileSync(recordPath(survived), "utf8");
    rmSync(RUN_DIR, { recursive: true });
    mkdirSync(RECORDS, { recursive: true, mode: 0o700 });
    const ofFormerBoot = text.replace(/"bootId":"[0-9a-f]{8}/, '"bootId":"00000000');
    assert.notEqual(ofFormerBoot, text);
    writeFileSync(recordPath(survived), ofFormerBoot, { mode: 0o600 });
    for (const pod of [emptied, survived]) annotate(pod, { [EXCLUDED_PORT]: "443" });
    const next = await mesh.startAgent();
    for (const pod of [emptied, survived]) {
      await statusOf(next, pod.name, ({ state, decidedBy }) => state === "repaired" && decidedBy === "annotations");
      assert.match((await readRules(pod)).v4, /--dport 443 -j RETURN/, pod.name);
    }
    for (const pod of [emptied, survived]) await remove(pod);
    await next.stop();
  });

  test("a folder into which nothing fits any more is told of once, and refuses no pod", async () => {
    rmSync(RECORDS, { recursive: true, force: true });
    mkdirSync(RECORDS, { mode: 0o700 });
    const mounted = await runCommand(["mount", "-t", "tmpfs", "-o", "nr_inodes=1,mode=700", "none", RECORDS]);
    assert.equal(mounted.status, 0, mounted.stderr);
    try {
      const agent = await mesh.startAgent();
      const pods: TestPod[] = [];
      for (const name of ["full-1", "full-2"]) pods.push(await start(sidecarPod({ ...NEW_POD, name })));
      for (const pod of pods) assert.deepEqual(await statusOf(agent, pod.name), IN_BY_ADD);
      await eventually(
        async () => /pod_record_failures_total\{action="write"\} [2-9]/.test((await agent.get(15014, "/metrics")).text),
        () => agent.log.slice(-20).join("\n"),
      );
      const isTold = (line: string): boolean => line.includes("Cannot write what was decided on pods");
      await agent.waitForLine(isTold);
      assert.equal(agent.log.filter(isTold).length, 1);
      for (const pod of pods) await remove(pod);
      await agent.stop();
    } finally {
      await runCommand(["umount", RECORDS]);
    }
  });
});
