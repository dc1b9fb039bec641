// ztunnel away, dying, refusing, talking nonsense, doubled, exchanged: what becomes of pods that start and of pods that run.
// On a real containerd; where a ztunnel has to misbehave on cue it is the one within this process, which proxies nothing.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { createPoller, type Poller } from "../../src/platform/linux/poller.ts";
import { readPath } from "../../testbed/api-server/kube-object.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { CriError } from "../../testbed/node/cri-error.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { probe, startApplication } from "../../testbed/sidecar/sidecar.ts";
import {
  type StandInOptions,
  startZtunnelStandIn,
  type ZtunnelStandIn,
} from "../../testbed/ztunnel/ztunnel-stand-in.ts";
import {
  type AmbientNode,
  ambientTraces,
  createAmbientNode,
  IN_MESH,
  isRedirected,
  servedBy,
  until,
  untilIn,
  untilOut,
  ZTUNNEL_SOCKET,
} from "./ambient-node.ts";

enterNodeNamespaces();

const GARBAGE = Uint8Array.of(0xff, 0xff, 0xff, 0xff);

describe("a node without ztunnel", () => {
  let node: AmbientNode;
  let agent: TestAgent;
  before(async () => {
    node = await createAmbientNode("v4");
    agent = await node.launchAgent({ env: { PLUGIN_AGENT_WAIT: "10s" } });
    await node.mesh.node.waitForChained();
  });
  after(() => node[Symbol.asyncDispose]());

  test("is not ready, says why, and starts pods outside the mesh", async () => {
    await until("only ztunnel is missing", async () => {
      // Nobody listens at first.
      const { status, text } = await agent.get(8000, "/readyz").catch(() => ({ status: 0, text: "" }));
      return status === 503 && /ztunnel: no ztunnel is connected/.test(text) && !/pods:/.test(text);
    });
    const plain = await node.startPod({ name: "plain", namespace: "shop" });
    assert.deepEqual(await ambientTraces(plain), []);
    await node.removePod(plain);
  });

  test("refuses pods of the mesh after a bounded time, and says why", async () => {
    await assert.rejects(node.startPod({ name: "refused" }), (error) => {
      assert.ok(error instanceof CriError);
      assert.match(error.details, /Cannot start pod mesh\/refused: no ztunnel is connected on this node/);
      return true;
    });
    assert.equal(node.redirection({ namespace: "mesh", name: "refused" }), undefined);
  });

  test("starts a pod whose ADD still waits when ztunnel comes, and never tells it of the one that was refused", async () => {
    const starting = node.startPod({ name: "patient" });
    await node.mesh.api.waitFor((server) => server.get("pods", "mesh/patient") !== undefined, "the pod");
    const ztunnel = await node.startZtunnel();
    const patient = await starting;
    await untilIn(node, patient);
    await until("it is ready", async () => (await agent.get(8000, "/readyz")).status === 200);
    const told = ztunnel.events().flatMap(({ pod }) => (typeof pod === "string" && pod !== "/" ? pod : []));
    assert.deepEqual([...new Set(told)], ["mesh/patient"]);
    await ztunnel.stop("SIGKILL");
    await until("it is not ready", async () => (await agent.get(8000, "/readyz")).status === 503);
    assert.equal(node.redirection(patient), "enabled", "a ztunnel that restarts comes back with the same pods");
    const next = await node.startZtunnel();
    await until("the pod is served again", () => servedBy(next).has("mesh/patient"));
    await until("it is ready", async () => (await agent.get(8000, "/readyz")).status === 200);
    assert.deepEqual([...servedBy(next)], ["mesh/patient"]);
    await node.removePod(patient);
  });
});

describe("a ztunnel that misbehaves", () => {
  let node: AmbientNode;
  let agent: TestAgent;
  let poller: Poller;
  const standIns: ZtunnelStandIn[] = [];

  before(async () => {
    node = await createAmbientNode("v4");
    poller = createPoller((error) => assert.fail(String(error)));
    agent = await node.launchAgent({ env: { PLUGIN_AGENT_WAIT: "8s" } });
    await node.mesh.node.waitForChained();
  });
  afterEach(() => {
    for (const standIn of standIns.splice(0)) standIn[Symbol.dispose]();
  });
  after(async () => {
    await poller.close();
    await node[Symbol.asyncDispose]();
  });

  function start(options: Partial<StandInOptions> = {}): ZtunnelStandIn {
    const standIn = startZtunnelStandIn({ path: ZTUNNEL_SOCKET, poller, ...options });
    standIns.push(standIn);
    return standIn;
  }

  for (const [what, fault] of [
    ["dies before it takes the pod", "die-before"],
    ["dies when it has taken the pod", "die-after"],
    ["answers with garbage", { bytes: GARBAGE }],
    ["answers twice at once", { bytes: Uint8Array.of(0x0a, 0x00, 0x0a, 0x00, 0x12) }],
  ] as const) {
    test(`${what}: it comes back and the pod starts all the same`, async () => {
      let faults = 1;
      const ztunnel = start({ fault: (request) => (request?.kind === "add" && faults-- > 0 ? fault : undefined) });
      const pod = await node.startPod({
        name: `at-${fault === "die-before" ? 1 : fault === "die-after" ? 2 : faults + 5}`,
      });
      await untilIn(node, pod);
      assert.ok(ztunnel.state.proxies.has(pod.uid));
      assert.ok(ztunnel.requests.filter((request) => request === `add ${pod.uid}`).length >= 2);
      assert.ok(!ztunnel.hasGivenUp(), "the agent keeps to the protocol");
      await node.removePod(pod);
      await until("it is forgotten", () => !ztunnel.state.proxies.has(pod.uid));
    });
  }

  test("that cannot start the pod's proxy: the pod is refused in its words, and in no later snapshot", async () => {
    const ztunnel = start();
    const object = node.putPod({ name: "unlucky" });
    const uid = String(readPath(object, "metadata", "uid"));
    ztunnel.failing.add(uid);
    await assert.rejects(node.mesh.startPod(object), (error) => {
      assert.ok(error instanceof CriError);
      assert.match(error.details, /ztunnel does not take it: failure to start proxy : Address in use/);
      return true;
    });
    await until("ztunnel was told to forget it", () => ztunnel.requests.at(-1) === `del ${uid}`);
    const before = ztunnel.requests.length;
    ztunnel.hangUp();
    await until("a new snapshot", () => ztunnel.requests.slice(before).includes("snapshot-sent"));
    assert.ok(!ztunnel.requests.slice(before).includes(`add ${uid}`));
    assert.equal(node.redirection({ namespace: "mesh", name: "unlucky" }), undefined);
    ztunnel.failing.clear();
    const pod = await node.mesh.startPod(object);
    node.report(pod);
    await untilIn(node, pod);
    await node.removePod(pod);
  });

  test("that cannot start the proxy of a running pod: the pod is not redirected until it can", async () => {
    const ztunnel = start();
    await until("it is live", () => ztunnel.requests.includes("snapshot-sent"));
    const pod = await node.startPod({ name: "running", namespace: "shop" });
    ztunnel.failing.add(pod.uid);
    node.changePod(pod, { labels: IN_MESH });
    await until("it was tried", () => ztunnel.requests.includes(`add ${pod.uid}`));
    assert.deepEqual(await ambientTraces(pod), []);
    assert.equal(node.redirection(pod), undefined);
    ztunnel.failing.clear();
    await untilIn(node, pod);
    node.changePod(pod, { labels: { "istio.io/dataplane-mode": null } });
    await untilOut(node, pod);
    await until("ztunnel has none", () => ztunnel.state.proxies.size === 0);
    await node.removePod(pod);
  });

  test("that says nothing to an add: the pod is refused after a bounded time, others start meanwhile by the other", async () => {
    const silent = start({ fault: (request) => (request?.kind === "add" ? "ignore" : undefined) });
    await until("it is live", () => silent.requests.includes("snapshot-sent"));
    const object = node.putPod({ name: "unheard" });
    await assert.rejects(node.mesh.startPod(object), /ztunnel did not answer in time/);
    const good = start();
    await until("the other is live", () => good.requests.includes("snapshot-sent"));
    assert.ok(!good.requests.includes(`add ${String(readPath(object, "metadata", "uid"))}`));
    const pod = await node.startPod({ name: "heard" });
    await untilIn(node, pod);
    await node.removePod(pod);
  });

  test("that never reads, or never says hello, beside a good one: nobody notices", async () => {
    const good = start();
    await until("the good one is live", () => good.requests.includes("snapshot-sent"));
    const deaf = start({ isDeaf: true });
    const mute = start({ hello: undefined });
    await until("both are connected", () => deaf.isConnected() && mute.isConnected());
    const pod = await node.startPod({ name: "beside" });
    await untilIn(node, pod);
    assert.ok(good.state.proxies.has(pod.uid));
    assert.equal((await agent.get(8000, "/readyz")).status, 200);
    await node.removePod(pod);
    await until("it is forgotten", () => !good.state.proxies.has(pod.uid));
  });
});

describe("ztunnel is exchanged", () => {
  let node: AmbientNode;
  let client: TestPod;
  let server: TestPod;
  before(async () => {
    node = await createAmbientNode("dual");
  });
  after(() => node[Symbol.asyncDispose]());

  test("the next one first: requests pass all the while, and new pods go to the next", async () => {
    const old = await node.startZtunnel();
    await node.startAgent();
    client = await node.startPod({ name: "client" });
    server = await node.startPod({ name: "server" });
    await untilIn(node, client, server);
    await using _application = await startApplication(node.mesh.node.nettool, server, [8080]);
    const stopping = new AbortController();
    const failures: string[] = [];
    const requests = keepAsking(stopping.signal, failures);
    const next = await node.startZtunnel();
    await until("the next has both", () => servedBy(next).size === 2);
    const late = await node.startPod({ name: "late" });
    await untilIn(node, late);
    await until("the next says that it has it", () => servedBy(next).has("mesh/late"));
    assert.ok(!servedBy(old).has("mesh/late"));
    await old.stop();
    for (let count = 0; count < 5; count++) await ask(failures);
    stopping.abort();
    await requests;
    assert.deepEqual(failures, []);
    await node.removePod(late);
    await until("it is forgotten", () => !servedBy(next).has("mesh/late"));
    await next.stop();
  });

  test("the old one first: pods stay inside without a network, and have it again with the next", async () => {
    await using _application = await startApplication(node.mesh.node.nettool, server, [8080]);
    const failures: string[] = [];
    await ask(failures);
    assert.equal(failures.length, server.ips.length, "nothing passes outside the mesh");
    assert.ok(await isRedirected(client));
    assert.equal(node.redirection(client), "enabled");
    await node.startZtunnel();
    await until("requests pass", async () => {
      const tried: string[] = [];
      await ask(tried);
      return tried.length === 0;
    });
  });

  async function ask(failures: string[]): Promise<void> {
    for (const ip of server.ips) {
      const result = await probe(node.mesh.node.nettool, { ip, port: 8080 }, { pod: client, timeoutMs: 10_000 });
      if (result.outcome !== "direct") failures.push(`${ip}: ${JSON.stringify(result)}`);
    }
  }

  async function keepAsking(signal: AbortSignal, failures: string[]): Promise<void> {
    while (!signal.aborted) await ask(failures);
  }
});
