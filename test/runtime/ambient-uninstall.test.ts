// The end of an ambient agent that is proven to be the end of all, and `install-cni uninstall` with and without an agent: nothing
// of ambient mode stays on the node. An end that is not proven leaves everything, as an upgrade needs it.
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { runCommand } from "../../testbed/node/command.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { AGENT_DAEMON_SET, untilDaemonSetSeen } from "./agent-daemonset.ts";
import { type AmbientNode, ambientTraces, createAmbientNode, isRedirected, untilIn, untilOut } from "./ambient-node.ts";

enterNodeNamespaces();

const RUN_DIR = "/run/istio-cni";

describe("the end of an ambient agent", () => {
  let node: AmbientNode;
  let agent: TestAgent;
  let pods: TestPod[];
  before(async () => {
    node = await createAmbientNode("dual");
    node.mesh.api.put(AGENT_DAEMON_SET);
    await node.startZtunnel();
    agent = await start();
    pods = [await node.startPod({ name: "first" }), await node.startPod({ name: "second" })];
    await untilIn(node, ...pods);
  });
  after(() => node[Symbol.asyncDispose]());

  async function start(env: Readonly<Record<string, string>> = {}): Promise<TestAgent> {
    node.mesh.api.clearRequests();
    const started = await node.startAgent({ env });
    await untilDaemonSetSeen(node.mesh.api, started);
    return started;
  }

  test("leaves pods in and the node's rules where they are, as long as an agent comes after it", async () => {
    await agent.stop();
    for (const pod of pods) assert.ok(await isRedirected(pod));
    assert.deepEqual(pods.map(node.redirection), ["enabled", "enabled"]);
    assert.match((await runCommand(["iptables-nft-save"])).stdout, /ISTIO_POSTRT/);
  });

  test("takes all of it away where the DaemonSet is gone, also from pods that an agent before it took in", async () => {
    agent = await start();
    await untilIn(node, ...pods);
    node.mesh.api.remove("daemonsets", "istio-system/istio-cni-node");
    assert.equal(await agent.stop(), 0);
    for (const pod of pods) assert.deepEqual(await ambientTraces(pod), [], agent.log.slice(-8).join("\n"));
    assert.deepEqual(pods.map(node.redirection), [undefined, undefined]);
    await assertNodeIsClean();
  });

  test("is a release of all pods before it where install-cni uninstall was run, and takes the rest away at that end", async () => {
    // Nothing but the command proves anything here: there is no DaemonSet.
    agent = await node.startAgent();
    await untilIn(node, ...pods);
    const { status, lines } = await uninstall();
    assert.equal(status, 0, lines.join("\n"));
    await untilOut(node, ...pods);
    assert.equal(await agent.stop(), 0);
    await assertNodeIsClean();
    assert.equal(existsSync(RUN_DIR) && readdirSync(RUN_DIR).length > 0, false);
  });

  test("needs neither agent nor API server: install-cni uninstall lets pods out by what was recorded", async () => {
    agent = await node.startAgent();
    await untilIn(node, ...pods);
    await agent.kill();
    node.mesh.api.fault({}, { kind: "never-answer" });
    const { status, lines } = await uninstall();
    node.mesh.api.clearFaults();
    assert.equal(status, 0, lines.join("\n"));
    for (const { namespace, name } of pods)
      assert.ok(lines.includes(`Took pod ${namespace}/${name} out of ambient mode`));
    for (const pod of pods) assert.deepEqual(await ambientTraces(pod), [], lines.join("\n"));
    await assertNodeIsClean();
    assert.deepEqual((await uninstall()).lines, ["There is nothing of istio-cni on this node"]);
  });

  async function uninstall(): Promise<{ status: number; lines: readonly string[] }> {
    const command = await node.mesh.launchAgent({ args: ["uninstall"] });
    return { status: await command.exited, lines: command.log };
  }

  async function assertNodeIsClean(): Promise<void> {
    const left = await Promise.all([
      runCommand(["iptables-nft-save"]),
      runCommand(["ip6tables-nft-save"]),
      runCommand(["ipset", "list", "-n"]),
    ]);
    for (const { stdout } of left) assert.doesNotMatch(stdout, /ISTIO|istio/);
  }
});
