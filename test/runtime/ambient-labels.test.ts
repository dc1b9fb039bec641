// Which running pods are in ambient mode follows their labels and annotations as they are: in, out, back and forth, in
// whatever order they change, on a real containerd.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { namespace, plainPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { NEW_POD, podSpecOf } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import type { ZtunnelProcess } from "../../testbed/ztunnel/ztunnel-process.ts";
import {
  type AmbientNode,
  ambientTraces,
  createAmbientNode,
  IN_MESH,
  isRedirected,
  OUT_OF_MESH,
  REDIRECTION,
  servedBy,
  until,
  untilIn,
  untilOut,
} from "./ambient-node.ts";
import { assertAlive } from "./captured-pods.ts";

enterNodeNamespaces();

describe("pods that run", () => {
  let node: AmbientNode;
  let ztunnel: ZtunnelProcess;
  let agent: TestAgent;
  let first: TestPod;
  let second: TestPod;

  before(async () => {
    node = await createAmbientNode("dual");
    ztunnel = await node.startZtunnel();
    agent = await node.startAgent({ args: ["--log_output_level=debug"] });
    node.mesh.api.put(namespace("late"));
    first = await node.startPod({ name: "first", namespace: "late" });
    second = await node.startPod({ name: "second", namespace: "late" });
  });
  after(() => node[Symbol.asyncDispose]());

  test("join when their namespace gets the label, and the annotation is written through pods/status", async () => {
    node.mesh.api.clearRequests();
    node.labelNamespace("late", IN_MESH);
    await untilIn(node, first, second);
    await until(
      "ztunnel serves both",
      () => [...servedBy(ztunnel)].toSorted().join() === "late/first,late/second",
      () => [...servedBy(ztunnel)].join(),
    );
    for (const { name } of [first, second]) {
      const patches = node.mesh.api.requests({ verb: "patch", name });
      assert.ok(patches.length > 0 && patches.length <= 2, `${patches.length} patches of ${name}`);
      assert.ok(patches.every(({ path }) => path === `/api/v1/namespaces/late/pods/${name}/status`));
    }
  });

  test("leave when it loses the label: no rule, route, annotation or workload is left", async () => {
    node.labelNamespace("late", { "istio.io/dataplane-mode": null });
    await untilOut(node, first, second);
    await until("ztunnel serves nobody", () => servedBy(ztunnel).size === 0);
  });

  test("join and leave by their own label, whatever the namespace says", async () => {
    node.changePod(first, { labels: IN_MESH });
    await untilIn(node, first);
    assert.deepEqual(await ambientTraces(second), []);
    node.labelNamespace("late", IN_MESH);
    await untilIn(node, second);
    node.changePod(second, { labels: OUT_OF_MESH });
    await untilOut(node, second);
    assert.ok(await isRedirected(first));
    node.changePod(second, { labels: { "istio.io/dataplane-mode": null } });
    await untilIn(node, second);
  });

  test("end where the last label wants them, however fast it changes", async () => {
    for (let round = 0; round < 15; round++) {
      node.labelNamespace("late", round % 2 === 0 ? { "istio.io/dataplane-mode": null } : IN_MESH);
      node.changePod(first, { labels: round % 3 === 0 ? OUT_OF_MESH : { "istio.io/dataplane-mode": null } });
      await new Promise((resolve) => setTimeout(resolve, round * 7));
    }
    node.changePod(first, { labels: { "istio.io/dataplane-mode": null } });
    await untilOut(node, first, second);
    for (let round = 0; round < 15; round++) {
      node.labelNamespace("late", round % 2 === 0 ? IN_MESH : { "istio.io/dataplane-mode": null });
      await new Promise((resolve) => setTimeout(resolve, round * 7));
    }
    await untilIn(node, first, second);
    await until("ztunnel serves both", () => servedBy(ztunnel).size === 2);
  });

  test("follow a change of their annotations", async () => {
    node.changePod(first, { annotations: { "ambient.istio.io/dns-capture": "false" } });
    await until("no DNS", async () => !(await ambientTraces(first)).some((line) => line.includes("15053")));
    node.changePod(first, { annotations: { "ambient.istio.io/bypass-inbound-capture": "true" } });
    await until("no inbound", async () => !(await ambientTraces(first)).some((line) => line.includes("15006")));
    assert.ok((await ambientTraces(first)).some((line) => line.includes("--to-ports 15001")));
    assert.equal(node.redirection(first), "enabled");
    node.changePod(first, {
      annotations: { "ambient.istio.io/dns-capture": null, "ambient.istio.io/bypass-inbound-capture": null },
    });
    await untilIn(node, first);
    await until("DNS again", async () => (await ambientTraces(first)).some((line) => line.includes("15053")));
    const isRerouted = async () => (await ambientTraces(first)).some((line) => line.includes("-i tap0 "));
    node.changePod(first, { annotations: { "istio.io/reroute-virtual-interfaces": "tap0" } });
    await until("what a virtual machine sends", isRerouted);
    node.changePod(first, { annotations: { "istio.io/reroute-virtual-interfaces": null } });
    await until("no virtual machine", async () => !(await isRerouted()));
    await untilIn(node, first);
  });

  test("get their annotation back when somebody takes it or writes another", async () => {
    for (const value of [null, "pending", "nonsense"]) {
      node.changePod(first, { annotations: { [REDIRECTION]: value } });
      await until(`"${value}" is put right`, () => node.redirection(first) === "enabled");
    }
  });

  test("leave when they turn out to have a sidecar, and when they have finished", async () => {
    node.changePod(second, { annotations: { "sidecar.istio.io/status": "{}" } });
    await untilOut(node, second);
    node.report(first, "Succeeded");
    await until("the annotation is gone", () => node.redirection(first) === undefined);
    await until("ztunnel serves nobody", () => servedBy(ztunnel).size === 0);
    node.report(first);
    node.changePod(second, { annotations: { "sidecar.istio.io/status": null } });
    await untilIn(node, first, second);
  });

  test("stay in when their namespace is deleted and made anew before anybody looks", async () => {
    node.mesh.api.remove("namespaces", "late");
    node.mesh.api.put(namespace("late", IN_MESH));
    await untilIn(node, first, second);
    assertAlive(agent);
  });

  test("are asked nothing of when they are gone: no workload is left", async () => {
    await node.removePod(first);
    await node.removePod(second);
    await until("ztunnel serves nobody", () => servedBy(ztunnel).size === 0);
  });
});

describe("events in any order", () => {
  let node: AmbientNode;
  before(async () => {
    node = await createAmbientNode("v4");
    await node.startZtunnel();
    await node.startAgent();
  });
  after(() => node[Symbol.asyncDispose]());

  test("a pod whose namespace nobody has shown is not started outside, and starts when it is shown", async () => {
    const object = node.putPod({ name: "early", namespace: "unseen" });
    const starting = node.mesh.startPod(object);
    await node.mesh.api.waitFor(
      (server) => server.requests({ name: "unseen", status: 404 }).length > 0,
      "the agent to ask",
    );
    node.mesh.api.put(namespace("unseen", IN_MESH));
    const pod = await starting;
    assert.ok(await isRedirected(pod), "it was captured at its ADD");
    node.report(pod);
    await untilIn(node, pod);
    await node.removePod(pod);
  });

  test("a pod that the API shows after its sandbox was begun is captured at its ADD", async () => {
    const object = plainPod({ ...NEW_POD, namespace: "mesh", name: "late-shown" });
    const starting = node.mesh.node.runPod(podSpecOf(object));
    await node.mesh.api.waitFor(
      (server) => server.requests({ name: "late-shown", status: 404 }).length > 0,
      "the agent to ask",
    );
    node.mesh.api.put(object);
    const pod = await starting;
    assert.ok(await isRedirected(pod));
    await node.removePod(pod);
  });

  test("a pod that is relabelled out while its ADD runs ends outside", async () => {
    const pod = await node.mesh.startPod(node.putPod({ name: "changing" }));
    node.changePod(pod, { labels: OUT_OF_MESH });
    node.report(pod);
    await untilOut(node, pod);
    await node.removePod(pod);
  });
});
