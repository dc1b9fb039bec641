// Upstream's agent and ours on one node in turn, with pods that start meanwhile: upstream's plugin asks our agent, and our
// plugin leaves its pods to upstream's. Upstream is played by its contract (testbed/upstream).
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { createPoller, type Poller } from "../../src/platform/linux/poller.ts";
import { sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { mustRun } from "../../testbed/node/command.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { NEW_POD } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import {
  installUpstreamPlugin,
  setUpstreamGate,
  startUpstreamAgent,
  upstreamCalls,
} from "../../testbed/upstream/upstream-agent.ts";
import { startZtunnelStandIn, type ZtunnelStandIn } from "../../testbed/ztunnel/ztunnel-stand-in.ts";
import { type AmbientNode, createAmbientNode, isRedirected, until, untilIn, ZTUNNEL_SOCKET } from "./ambient-node.ts";
import { readRules } from "./captured-pods.ts";

enterNodeNamespaces();

const RUN_DIR = "/run/istio-cni";
const PODS = 6;

let node: AmbientNode;
let poller: Poller;
let ztunnel: ZtunnelStandIn;
let names = 0;
const nextNames = (count = PODS): string[] => Array.from({ length: count }, () => `pod-${names++}`);

before(async () => {
  node = await createAmbientNode("dual");
  poller = createPoller((error) => assert.fail(String(error)));
  ztunnel = startZtunnelStandIn({ path: ZTUNNEL_SOCKET, poller });
  mkdirSync(RUN_DIR, { recursive: true });
});
after(async () => {
  ztunnel[Symbol.dispose]();
  await poller.close();
  await node[Symbol.asyncDispose]();
});
afterEach(() => setUpstreamGate(true));

/** How upstream's plugin began and ended with these pods. */
function callsOf(pods: readonly string[]): readonly string[] {
  return upstreamCalls().filter((line) => pods.some((name) => line.endsWith(` ${name}`)));
}

const begun = (pods: readonly string[]) => callsOf(pods).filter((line) => line.startsWith("begin ")).length;
const endedWell = (pods: readonly string[]) => callsOf(pods).filter((line) => line.startsWith("ok ")).length;

async function assertIn(pods: readonly TestPod[]): Promise<void> {
  for (const pod of pods) {
    assert.ok(await isRedirected(pod), pod.name);
    assert.ok(ztunnel.state.proxies.has(pod.uid), `${pod.name} is not ztunnel's`);
    await untilIn(node, pod);
  }
}

async function remove(pods: readonly TestPod[]): Promise<void> {
  for (const pod of pods) await node.removePod(pod);
  const uids = new Set(pods.map(({ uid }) => uid));
  await until("ztunnel lets go of them", () => [...ztunnel.state.proxies.keys()].every((uid) => !uids.has(uid)));
}

const count = async (agent: TestAgent, line: RegExp) =>
  Number(line.exec((await agent.get(15014, "/metrics")).text)?.[1] ?? 0);

describe("upstream's plugin and our agent", () => {
  test("pods that it had begun with when our agent came start inside the mesh", async () => {
    const upstream = await startUpstreamAgent(node.mesh.node, "ambient");
    await node.mesh.node.waitForChained();
    await upstream.stop();
    setUpstreamGate(false);
    const pods = nextNames();
    const starting = Promise.all(pods.map((name) => node.startPod({ name })));
    await until("its plugin runs for each", () => begun(pods) === PODS);
    const agent = await node.startAgent();
    setUpstreamGate(true);
    const started = await starting;
    await assertIn(started);
    assert.equal(endedWell(pods), PODS, callsOf(pods).join("\n"));
    assert.equal(await count(agent, /istio_cni_plugin_requests_total{response_code="200"} (\d+)/), PODS);
    await agent.waitForLine((line) => line.includes("\tcni-plugin\tcmdAdd done"));
    await remove(started);
    await agent.stop();
  });

  test("a folder that our agent cannot write keeps it, and its pods start inside the mesh or are refused in a sentence", async () => {
    const { cniBinDir } = node.mesh.node;
    const upstream = await startUpstreamAgent(node.mesh.node, "ambient");
    await upstream.stop();
    await node.mesh.node.waitForChained();
    await mustRun(["mount", "--bind", cniBinDir, cniBinDir]);
    await mustRun(["mount", "-o", "remount,bind,ro", cniBinDir]);
    try {
      const agent = await node.launchAgent();
      await agent.waitForLine((line) => line.includes("read-only"));
      await until("it listens", () => existsSync(join(RUN_DIR, "pluginevent.sock")));
      const [name = "", absent = ""] = nextNames(2);
      const pod = await node.startPod({ name });
      await assertIn([pod]);
      assert.equal(endedWell([name]), 1);
      assert.equal(await count(agent, /istio_cni_plugin_requests_total{response_code="200"} (\d+)/), 1);
      const unknown = node.mesh.node.runPod({
        name: absent,
        namespace: "mesh",
        uid: "6f1c7c1e-0000-4000-8000-000000000001",
      });
      await assert.rejects(unknown, /unable to push CNI event \(status code 500\): Cannot .*mesh\/pod-\d+/);
      assert.equal(await count(agent, /istio_cni_plugin_requests_total{response_code="500"} (\d+)/), 1);
      await remove([pod]);
      await agent.stop();
    } finally {
      await mustRun(["umount", cniBinDir]);
    }
  });

  test("is gone a moment after our agent has come, with the kubeconfig that nobody needs any more", async () => {
    installUpstreamPlugin(node.mesh.node);
    const agent = await node.startAgent();
    assert.doesNotMatch(readFileSync(join(node.mesh.node.cniBinDir, "istio-cni"), "latin1"), /upstream-plugin/);
    const [name = ""] = nextNames(1);
    const pod = await node.startPod({ name });
    await assertIn([pod]);
    assert.deepEqual(callsOf([name]), []);
    await remove([pod]);
    await agent.stop();
  });
});

describe("our plugin and upstream's agent", () => {
  for (const mode of ["sidecar", "ambient"] as const) {
    test(`in ${mode} mode: pods that wait when the node is given back are started by upstream's plugin, none fails`, async () => {
      const agent = await node.mesh.startAgent({ ambient: mode === "ambient" });
      await agent.stop();
      const pods = nextNames();
      const starting = Promise.all(
        pods.map((name) =>
          mode === "ambient" ? node.startPod({ name }) : node.mesh.startPod(sidecarPod({ ...NEW_POD, name })),
        ),
      );
      const upstream = await startUpstreamAgent(node.mesh.node, mode);
      const started = await starting;
      assert.equal(endedWell(pods), PODS, callsOf(pods).join("\n"));
      assert.equal(upstream.adds.length, mode === "ambient" ? PODS : 0);
      for (const pod of started) await pod.remove();
      // And those that start now meet nothing of us.
      const later = nextNames(1);
      const pod = await node.mesh.startPod(sidecarPod({ ...NEW_POD, name: later[0] ?? "" }));
      assert.equal(endedWell(later), 1);
      await pod.remove();
      await upstream.stop();
    });
  }

  test("and back to us in sidecar mode, whose end took everything away: a pod that starts then is captured", async () => {
    rmSync(join(RUN_DIR, "istio-cni-kubeconfig"), { force: true });
    const agent = await node.mesh.startAgent();
    const [name = ""] = nextNames(1);
    const pod = await node.mesh.startPod(sidecarPod({ ...NEW_POD, name }));
    assert.match((await readRules(pod)).v4, /-A PREROUTING -p tcp -j ISTIO_INBOUND/);
    assert.deepEqual(callsOf([name]), []);
    await pod.remove();
    await agent.stop();
  });
});
