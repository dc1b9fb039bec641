// What becomes of ambient pods that start while the API server answers wrongly, late or not at all, request by request as
// measured of upstream (docs/differences.md, "At ADD"), and while ztunnel has gone. The watch is silenced, so that the agent
// has to ask for new pods. Faults of every request at once, and ztunnels that misbehave, have files beside this one.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { after, afterEach, before, describe, test } from "node:test";
import { createPoller, type Poller } from "../../src/platform/linux/poller.ts";
import type { FaultMatch } from "../../testbed/api-server/faults.ts";
import type { KubeObject } from "../../testbed/api-server/kube-object.ts";
import { plainPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { CriError } from "../../testbed/node/cri-error.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { NEW_POD, podSpecOf } from "../../testbed/node/mesh-node.ts";
import { callInstalledPlugin, readPluginInput } from "../../testbed/node/plugin-run.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import type { ZtunnelProcess } from "../../testbed/ztunnel/ztunnel-process.ts";
import { startZtunnelStandIn, type ZtunnelStandIn } from "../../testbed/ztunnel/ztunnel-stand-in.ts";
import {
  type AmbientNode,
  ambientTraces,
  createAmbientNode,
  IN_MESH,
  isRedirected,
  servedBy,
  until,
  untilIn,
  ZTUNNEL_SOCKET,
} from "./ambient-node.ts";
import { LASTING_ANSWERS, PASSING_ANSWERS } from "./api-answers.ts";
import { assertAlive } from "./captured-pods.ts";

enterNodeNamespaces();

const WATCH: FaultMatch = { verb: "watch", resource: "pods" };
const GET: FaultMatch = { verb: "get", resource: "pods" };
const OWN_POD = { ...NEW_POD, name: "istio-cni-node-x7k2p", namespace: "istio-system" };

describe("in ambient mode, while the API server", () => {
  let node: AmbientNode;
  let ztunnel: ZtunnelProcess;
  let agent: TestAgent;
  let pods = 0;
  before(async () => {
    node = await createAmbientNode("v4");
    ztunnel = await node.startZtunnel();
  });
  after(() => node[Symbol.asyncDispose]());
  afterEach(async () => {
    node.mesh.api.clearFaults();
    await node.mesh.api.start();
    await watchBegins(() => node.mesh.api.closeWatches("end"));
  });

  const watchCount = () => node.mesh.api.requests({ verb: "watch", resource: "pods" }).length;

  async function watchBegins(disturb: () => void): Promise<void> {
    const seen = watchCount();
    disturb();
    await until("a watch", () => watchCount() > seen);
  }

  const silenceWatch = (): Promise<void> =>
    watchBegins(() => {
      node.mesh.api.fault(WATCH, { kind: "silent-watch" });
      node.mesh.api.closeWatches("end");
    });

  function nextPod(name: string, namespace = "mesh"): KubeObject {
    pods += 1;
    return plainPod({ ...NEW_POD, namespace, name: `${name}-${pods}` });
  }

  describe("for longer than the plugin may wait", () => {
    let peer: TestPod;
    before(async () => {
      agent = await node.startAgent({ env: { PLUGIN_AGENT_WAIT: "4s" } });
      peer = await node.startPod({ name: "peer", namespace: "shop" });
    });
    after(() => agent.stop());

    for (const [what, { fault, says }] of Object.entries(LASTING_ANSWERS)) {
      test(`${what}: known pods start where they belong, others are refused with the reason and taken in later`, async () => {
        const { api } = node.mesh;
        const known = api.put(nextPod("known"));
        const plain = api.put(nextPod("plain", "shop"));
        // The watch shows pods in order: it has shown those when it has shown the next.
        const shown = await node.mesh.startPod(nextPod("shown"));
        await silenceWatch();
        const unseen = nextPod("unseen");
        if (fault === "stopped") await api.stop();
        else {
          api.fault(GET, fault);
          api.put(unseen);
        }

        await assert.rejects(
          node.mesh.node.runPod(podSpecOf(unseen)),
          (error) =>
            error instanceof CriError &&
            error.details.includes(`Cannot decide on pod mesh/${unseen.metadata.name}: `) &&
            says.test(error.details),
        );
        assert.equal(await codeOfAdd(shown, unseen), 11);

        const captured = await node.mesh.node.runPod(podSpecOf(known));
        assert.ok(await isRedirected(captured));
        await until("ztunnel has it", () => servedBy(ztunnel).has(`mesh/${captured.name}`));
        await assertStartsOutside(podSpecOf(plain));
        await assertStartsOutside({ name: `excluded-${pods}`, namespace: "kube-system", labels: IN_MESH });
        await assertStartsOutside(podSpecOf(plainPod({ ...OWN_POD, labels: IN_MESH })));
        assert.equal((await agent.get(8000, "/readyz")).status, 200);
        assertAlive(agent);
        assert.ok(!ztunnel.events().some(({ pod }) => pod === `mesh/${unseen.metadata.name}`));

        // The kubelet's next try, with the API well again.
        api.clearFaults();
        await api.start();
        if (fault === "stopped") api.put(unseen);
        const late = await node.mesh.node.runPod(podSpecOf(unseen));
        assert.ok(await isRedirected(late));
        for (const pod of [shown, captured, late]) await node.removePod(pod);
      });
    }

    /** Calls the plugin as for `template`, but for another pod, in the namespace of one that is outside the mesh. */
    async function codeOfAdd(template: TestPod, object: KubeObject): Promise<unknown> {
      const { netconf, args } = readPluginInput(node.mesh.node, template);
      const { name, uid } = object.metadata;
      const environment = {
        CNI_COMMAND: "ADD",
        CNI_CONTAINERID: `by-hand-${pods}`,
        CNI_NETNS: peer.netnsPath,
        CNI_IFNAME: "eth0",
        CNI_PATH: node.mesh.node.cniBinDir,
        CNI_ARGS: args.replace(template.name, name).replace(template.uid, uid ?? ""),
      };
      const { status, stdout } = await callInstalledPlugin(node.mesh.node, environment, netconf);
      assert.equal(status, 1, stdout);
      const error: { code: unknown } = JSON.parse(stdout);
      assert.deepEqual(await ambientTraces(peer), []);
      return error.code;
    }
  });

  describe("for less than that,", () => {
    before(async () => {
      agent = await node.startAgent();
    });
    after(() => agent.stop());

    for (const [what, { action, times }] of Object.entries(PASSING_ANSWERS)) {
      test(`${what}: a pod of the mesh starts inside (baseline, surprise 1)`, async () => {
        await silenceWatch();
        const fault = node.mesh.api.fault(GET, action, times);
        const pod = await node.mesh.startPod(nextPod("late"));
        assert.ok(await isRedirected(pod));
        await until("ztunnel has it", () => servedBy(ztunnel).has(`mesh/${pod.name}`));
        assert.equal(fault.hits(), times);
        await node.removePod(pod);
      });
    }
  });

  async function assertStartsOutside(spec: ReturnType<typeof podSpecOf>): Promise<void> {
    const pod = await node.mesh.node.runPod(spec);
    assert.deepEqual(await ambientTraces(pod), [], pod.name);
    assert.ok(!servedBy(ztunnel).has(`${pod.namespace}/${pod.name}`));
    await pod.remove();
  }
});

describe("a ztunnel that has gone", () => {
  let node: AmbientNode;
  let agent: TestAgent;
  let poller: Poller;
  let ztunnel: ZtunnelStandIn;
  before(async () => {
    node = await createAmbientNode("v4");
    poller = createPoller((error) => assert.fail(String(error)));
    ztunnel = startZtunnelStandIn({ path: ZTUNNEL_SOCKET, poller });
    agent = await node.startAgent({ env: { PLUGIN_AGENT_WAIT: "8s" } });
  });
  after(async () => {
    ztunnel[Symbol.dispose]();
    await poller.close();
    await node[Symbol.asyncDispose]();
  });

  test("a moment before an ADD, and is back: the pod waits for it and starts inside", async () => {
    ztunnel.hangUp();
    const pod = await node.startPod({ name: "waits" });
    assert.ok(await isRedirected(pod));
    assert.ok(ztunnel.state.proxies.has(pod.uid));
    assert.ok(!ztunnel.hasGivenUp(), "the agent keeps to the protocol");
    await node.removePod(pod);
    await until("it is forgotten", () => !ztunnel.state.proxies.has(pod.uid));
  });

  test("for longer than an ADD waits: the pod is refused without a trace, /readyz says so, and the next ztunnel never hears of it", async () => {
    ztunnel[Symbol.dispose]();
    await until("it is not ready", async () => (await agent.get(8000, "/readyz")).status === 503);
    assert.match((await agent.get(8000, "/readyz")).text, /ztunnel: /);
    const object = node.putPod({ name: "refused" });
    await assert.rejects(node.mesh.startPod(object), (error) => {
      assert.ok(error instanceof CriError);
      assert.match(error.details, /Cannot start pod mesh\/refused: no ztunnel is connected on this node/);
      return true;
    });
    assert.equal(node.redirection({ namespace: "mesh", name: "refused" }), undefined, "nothing is claimed");
    ztunnel = startZtunnelStandIn({ path: ZTUNNEL_SOCKET, poller });
    await until("a snapshot", () => ztunnel.requests.includes("snapshot-sent"));
    assert.deepEqual(ztunnel.requests, ["snapshot-sent"]);
    await until("it is ready", async () => (await agent.get(8000, "/readyz")).status === 200);
    const pod = await node.mesh.startPod(object);
    node.report(pod);
    await untilIn(node, pod);
    await node.removePod(pod);
  });
});

describe("a dual-stack pod where AMBIENT_IPV6 is false", () => {
  for (const dialect of ["iptables-nft", "nftables"] as const) {
    test(`starts inside with ${dialect}, in IPv4 alone, told to ztunnel once (surprise 8)`, async () => {
      await using node = await createAmbientNode("dual");
      const ztunnel = await node.startZtunnel();
      const env = { AMBIENT_IPV6: "false", ...(dialect === "nftables" ? { NATIVE_NFTABLES: "true" } : {}) };
      const agent = await node.startAgent({ env });
      const pod = await node.startPod({ name: "dual" });
      assert.equal(pod.ips.length, 2);
      const { stdout } = await pod.exec(["nft", "list", "ruleset"]);
      assert.match(stdout, /15006/);
      assert.match(stdout, /15001/);
      assert.equal((await pod.exec(["ip", "-6", "rule"])).stdout.includes("0x111/0xfff"), false);
      if (dialect === "iptables-nft")
        assert.equal((await pod.exec(["ip6tables-nft-save"])).stdout.includes("ISTIO"), false);
      await until("it is annotated", () => node.redirection(pod) === "enabled");
      await until("ztunnel says that it has it", () => servedBy(ztunnel).has("mesh/dual"));
      assert.equal(ztunnel.events().filter(({ event, uid }) => event === "add" && uid === pod.uid).length, 1);
      await node.removePod(pod);
      await agent.stop();
    });
  }
});

describe("a node without a process named kubelet", () => {
  test("enrols pods in native nftables all the same (surprise 6)", async () => {
    await using node = await createAmbientNode("dual");
    assert.deepEqual(
      processNames().filter((name) => /^kube(let|lite)$/.test(name)),
      [],
    );
    const ztunnel = await node.startZtunnel();
    const agent = await node.startAgent({ env: { NATIVE_NFTABLES: "true" } });
    const pod = await node.startPod({ name: "native" });
    assert.match((await pod.exec(["nft", "list", "ruleset"])).stdout, /redirect to :15006/);
    await until("it is annotated", () => node.redirection(pod) === "enabled");
    await until("ztunnel says that it has it", () => servedBy(ztunnel).has("mesh/native"));
    // And it says whom it takes for it.
    await agent.waitForLine((line) => /kubelet/.test(line) && /uid 0/.test(line));
    await node.removePod(pod);
    await agent.stop();
  });
});

function processNames(): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
      } catch {
        return [];
      }
    });
}
