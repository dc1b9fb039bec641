// The agent of an ambient node is killed at every step of an enrolment and of a release, exchanged under pods that start, and
// away: afterwards every pod is where its labels want it, and nothing is left of those that are not in.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { createPoller, type Poller } from "../../src/platform/linux/poller.ts";
import { plainPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { runCommand } from "../../testbed/node/command.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { NEW_POD, podSpecOf } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import {
  type StandInOptions,
  startZtunnelStandIn,
  type Fault as ZtunnelFault,
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

describe("an agent that is killed", () => {
  let node: AmbientNode;
  let poller: Poller;
  let agent: TestAgent;
  let ztunnel: ZtunnelStandIn;
  let fault: (kind: string) => ZtunnelFault | undefined = () => undefined;
  let count = 0;

  before(async () => {
    node = await createAmbientNode("v4");
    poller = createPoller((error) => assert.fail(String(error)));
    ztunnel = start({ fault: (request) => fault(request?.kind ?? "") });
    agent = await node.startAgent();
  });
  afterEach(() => {
    fault = () => undefined;
    node.mesh.api.clearFaults();
  });
  after(async () => {
    ztunnel[Symbol.dispose]();
    await poller.close();
    await node[Symbol.asyncDispose]();
  });

  function start(options: Partial<StandInOptions>): ZtunnelStandIn {
    return startZtunnelStandIn({ path: ZTUNNEL_SOCKET, poller, ...options });
  }

  function nextName(): string {
    count += 1;
    return `pod-${count}`;
  }

  async function exchange(): Promise<void> {
    await agent.kill();
    fault = () => undefined;
    node.mesh.api.clearFaults();
    agent = await node.startAgent();
  }

  /** Exactly these pods are ztunnel's. */
  async function untilServed(...pods: readonly TestPod[]): Promise<void> {
    const wanted = pods.map(({ uid }) => uid).toSorted();
    await until(
      `ztunnel has ${pods.map(({ name }) => name).join()}`,
      () => JSON.stringify([...ztunnel.state.proxies.keys()].toSorted()) === JSON.stringify(wanted),
      () => ztunnel.requests.slice(-10).join("\n"),
    );
  }

  const patchIsStuck = () => node.mesh.api.fault({ verb: "patch", resource: "pods" }, { kind: "never-answer" });

  test("while it looks for the pod: the next one captures it at the same ADD", async () => {
    const object = plainPod({ ...NEW_POD, namespace: "mesh", name: nextName() });
    const { name } = object.metadata;
    const starting = node.mesh.node.runPod(podSpecOf(object));
    await node.mesh.api.waitFor((server) => server.requests({ name, status: 404 }).length > 0, "the agent to ask");
    await agent.kill();
    node.mesh.api.put(object);
    agent = await node.startAgent();
    const pod = await starting;
    assert.ok(await isRedirected(pod));
    node.report(pod);
    await untilIn(node, pod);
    await untilServed(pod);
    await node.removePod(pod);
    await untilServed();
  });

  test("while ztunnel has yet to answer at ADD", async () => {
    const seen = ztunnel.requests.length;
    fault = (kind) => (kind === "add" ? "hold" : undefined);
    const object = node.putPod({ name: nextName() });
    const starting = node.mesh.startPod(object);
    await until("ztunnel is asked", () => ztunnel.requests.slice(seen).some((request) => request.startsWith("add ")));
    await exchange();
    const pod = await starting;
    node.report(pod);
    await untilIn(node, pod);
    await untilServed(pod);
    await node.removePod(pod);
    await untilServed();
  });

  test("after ADD, before the annotation", async () => {
    const patch = patchIsStuck();
    const pod = await node.startPod({ name: nextName() });
    await until("the patch is sent", () => patch.hits() > 0);
    assert.equal(node.redirection(pod), undefined);
    await exchange();
    await untilIn(node, pod);
    await untilServed(pod);
    await node.removePod(pod);
  });

  test("after ADD, and the pod is gone when the next one comes", async () => {
    const pod = await node.startPod({ name: nextName() });
    await untilIn(node, pod);
    await agent.kill();
    await pod.remove();
    node.mesh.api.remove("pods", `mesh/${pod.name}`);
    agent = await node.startAgent();
    await untilServed();
  });

  test("while ztunnel has yet to take a pod that runs", async () => {
    const pod = await node.startPod({ name: nextName(), namespace: "shop" });
    const seen = ztunnel.requests.length;
    fault = (kind) => (kind === "add" ? "hold" : undefined);
    node.changePod(pod, { labels: IN_MESH });
    await until("ztunnel is asked", () => ztunnel.requests.slice(seen).includes(`add ${pod.uid}`));
    assert.deepEqual(await ambientTraces(pod), []);
    await exchange();
    await untilIn(node, pod);
    await untilServed(pod);
    await node.removePod(pod);
  });

  test("with a pod that runs redirected and not annotated; then its label goes while nobody looks", async () => {
    const pod = await node.startPod({ name: nextName(), namespace: "shop" });
    const patch = patchIsStuck();
    node.changePod(pod, { labels: IN_MESH });
    await until("the patch is sent", () => patch.hits() > 0);
    assert.ok(await isRedirected(pod));
    await agent.kill();
    node.changePod(pod, { labels: { "istio.io/dataplane-mode": null } });
    await exchange();
    await untilOut(node, pod);
    await untilServed();
    await node.removePod(pod);
  });

  for (const [what, prepare, isReached] of [
    [
      "while ztunnel has yet to let a pod go",
      () => {
        fault = (kind) => (kind === "del" ? "hold" : undefined);
        return () => false;
      },
      "del",
    ],
    [
      "with a pod let go, and its annotation still there",
      () => {
        const patch = patchIsStuck();
        return () => patch.hits() > 0;
      },
      "patch",
    ],
  ] as const) {
    test(what, async () => {
      const pod = await node.startPod({ name: nextName(), labels: IN_MESH });
      await untilIn(node, pod);
      const hasHit = prepare();
      node.changePod(pod, { labels: { "istio.io/dataplane-mode": "none" } });
      await until("it is reached", () =>
        isReached === "del" ? ztunnel.requests.at(-1) === `del ${pod.uid}` : hasHit(),
      );
      // The annotation goes while what is open finishes, ztunnel is told when nothing of ours is left.
      assert.ok(!(await isRedirected(pod)), "nothing new is redirected");
      if (isReached === "del") assert.deepEqual(await ambientTraces(pod), []);
      await exchange();
      await untilOut(node, pod);
      await untilServed();
      await node.removePod(pod);
    });
  }

  test("and its labels change back and forth while it is away", async () => {
    const stays = await node.startPod({ name: nextName() });
    const leaves = await node.startPod({ name: nextName() });
    const joins = await node.startPod({ name: nextName(), namespace: "shop" });
    await untilIn(node, stays, leaves);
    await agent.kill();
    node.changePod(leaves, { labels: { "istio.io/dataplane-mode": "none" } });
    node.changePod(joins, { labels: IN_MESH });
    agent = await node.startAgent();
    await untilIn(node, stays, joins);
    await untilOut(node, leaves);
    await untilServed(stays, joins);
    for (const pod of [stays, leaves, joins]) await node.removePod(pod);
    await untilServed();
  });
});

describe("an agent that is exchanged", () => {
  let node: AmbientNode;
  before(async () => {
    node = await createAmbientNode("v4");
  });
  after(() => node[Symbol.asyncDispose]());

  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    test(`by ${signal}, under pods that start: no start fails and no pod is outside`, async () => {
      const ztunnel = await node.startZtunnel();
      const old = await node.startAgent();
      const before = await node.startPod({ name: `before-${signal.toLowerCase()}` });
      await untilIn(node, before);
      const pods: TestPod[] = [];
      let next: Promise<TestAgent> | undefined;
      const names = Array.from({ length: 16 }, (_, index) => `${signal.toLowerCase()}-${index}`);
      const worker = async (): Promise<void> => {
        for (let name = names.shift(); name !== undefined; name = names.shift()) {
          pods.push(await node.startPod({ name }));
          if (pods.length >= 4) next ??= old.stop(signal).then(() => node.startAgent());
        }
      };
      await Promise.all(Array.from({ length: 4 }, worker));
      for (const pod of pods) assert.ok(await isRedirected(pod), pod.name);
      const agent = await next;
      assert.ok(agent !== undefined);
      await untilIn(node, before, ...pods);
      await until("ztunnel has all", () => servedBy(ztunnel).size === 17);
      assert.equal(node.redirection(before), "enabled");
      for (const pod of [before, ...pods]) await node.removePod(pod);
      await until("ztunnel has none", () => servedBy(ztunnel).size === 0);
      await agent.stop();
      await ztunnel.stop();
    });
  }
});

describe("an agent of another dialect", () => {
  test("forgets the addresses of pods that went while nobody looked", async () => {
    await using node = await createAmbientNode("dual");
    await node.startZtunnel();
    const native = await node.startAgent({ env: { NATIVE_NFTABLES: "true" } });
    const [stays, goes] = [await node.startPod({ name: "stays" }), await node.startPod({ name: "goes" })];
    for (const pod of [stays, goes]) await until("it is enrolled", () => node.redirection(pod) === "enabled");
    const listed = async (): Promise<string> => (await runCommand(["ipset", "save"])).stdout;
    await native.kill();
    await node.removePod(goes);
    await node.startAgent();
    await until("the one that stays is listed", async () => {
      const text = await listed();
      return stays.ips.every((ip) => text.includes(` ${ip} `));
    });
    await until("the other is not", async () => {
      const text = await listed();
      return !goes.ips.some((ip) => text.includes(` ${ip} `));
    });
  });
});

describe("an agent that is away", () => {
  let node: AmbientNode;
  let agent: TestAgent;
  before(async () => {
    node = await createAmbientNode("v4");
    await node.startZtunnel();
    agent = await node.startAgent({ env: { PLUGIN_AGENT_WAIT: "5s" } });
    const pod = await node.startPod({ name: "first" });
    await untilIn(node, pod);
    await agent.stop();
  });
  after(() => node[Symbol.asyncDispose]());

  test("lets no pod of an enrolling namespace start, and what is excluded at once", async () => {
    await assert.rejects(node.startPod({ name: "refused" }), /istio-cni-node/);
    const excluded = await node.startPod({ name: "excluded", namespace: "kube-system", labels: IN_MESH });
    assert.deepEqual(await ambientTraces(excluded), []);
    await node.removePod(excluded);
  });

  test("lets a pod of a namespace that never enrolled any start after a while, and takes it in on its return", async () => {
    const plain = await node.startPod({ name: "plain", namespace: "shop" });
    const labelled = await node.startPod({ name: "labelled", namespace: "shop", labels: IN_MESH });
    assert.deepEqual(await ambientTraces(labelled), []);
    agent = await node.startAgent();
    await untilIn(node, labelled);
    assert.deepEqual(await ambientTraces(plain), []);
    for (const pod of [plain, labelled]) await node.removePod(pod);
  });
});
