// The API server answers with errors, hangs, or is away for long while pods come, go and are relabelled: no pod of the ambient
// mesh starts outside it, and afterwards everything is where it belongs.
// API_AWAY_SECONDS (0 unless told) is how long it is away at least where it is away for long: 600 for the long variant.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import type { FaultAction } from "../../testbed/api-server/faults.ts";
import { isJsonObject, type JsonObject, readPath } from "../../testbed/api-server/kube-object.ts";
import { namespace } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { runCommand } from "../../testbed/node/command.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import type { ZtunnelProcess } from "../../testbed/ztunnel/ztunnel-process.ts";
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
} from "./ambient-node.ts";
import { assertAlive, untilKnown } from "./captured-pods.ts";

enterNodeNamespaces();

const AWAY_SECONDS = Number(process.env["API_AWAY_SECONDS"] ?? 0);

describe("an API server with faults", () => {
  let node: AmbientNode;
  let ztunnel: ZtunnelProcess;
  let agent: TestAgent;
  let count = 0;

  before(async () => {
    node = await createAmbientNode("v4");
    ztunnel = await node.startZtunnel();
    agent = await node.startAgent({ env: { PLUGIN_AGENT_WAIT: "6s" } });
  });
  afterEach(() => node.mesh.api.clearFaults());
  after(() => node[Symbol.asyncDispose]());

  function nextName(): string {
    count += 1;
    return `pod-${count}`;
  }

  /** A sandbox of a pod that the agent does not know by its watch. */
  function startUnseen(): Promise<TestPod> {
    const { watches } = node.mesh.api;
    assert.ok(watches("pods") >= 0);
    const object = node.putPod({ name: nextName() });
    const metadata = readPath(object, "metadata");
    assert.ok(isJsonObject(metadata));
    return node.mesh.node.runPod({ name: String(metadata["name"]), namespace: "mesh", uid: String(metadata["uid"]) });
  }

  async function untilServed(...pods: readonly TestPod[]): Promise<void> {
    const wanted = pods.map(({ name, namespace: of }) => `${of}/${name}`).toSorted();
    await until(`ztunnel serves ${wanted.join()}`, () => [...servedBy(ztunnel)].toSorted().join() === wanted.join());
  }

  for (const action of [
    { kind: "status", code: 500 },
    { kind: "status", code: 401 },
    { kind: "status", code: 429, retryAfterSeconds: 1 },
    { kind: "never-answer" },
    { kind: "reset" },
    { kind: "garbage" },
  ] as const satisfies readonly FaultAction[]) {
    test(`"${JSON.stringify(action)}" for 2.5 s and a watch that ends: the pod starts inside (baseline, surprise 1)`, async () => {
      const fault = node.mesh.api.fault({ path: /./ }, action);
      node.mesh.api.closeWatches("reset");
      const starting = startUnseen();
      setTimeout(() => fault.clear(), 2500);
      const pod = await starting.catch(async (error: unknown) => {
        // Refused is allowed where the fault outlasts patience; outside is not. The kubelet tries again.
        assert.match(String(error), /Cannot decide on pod/);
        fault.clear();
        return await startUnseen();
      });
      assert.ok(await isRedirected(pod));
      node.report(pod);
      await untilIn(node, pod);
      await node.removePod(pod);
      await untilServed();
    });
  }

  test("a watch that shows nothing: pods that only the API's answer told of stay with ztunnel", async () => {
    const fault = node.mesh.api.fault({ verb: "watch", resource: "pods" }, { kind: "silent-watch" });
    node.mesh.api.closeWatches("end");
    await node.mesh.api.waitFor(() => fault.hits() > 0, "the watch to be silent");
    const first = await startUnseen();
    // Whatever makes the agent look at everything: a second ztunnel comes and goes.
    const other = await node.startZtunnel();
    const second = await startUnseen();
    await until("the other serves both", () => servedBy(other).size === 2);
    await other.stop();
    // The older one takes over what the newer one had.
    await untilServed(first, second);
    assert.ok(!ztunnel.events().some(({ event, uid }) => event === "del" && uid === first.uid));
    assert.ok(!other.events().some(({ event, uid }) => event === "del" && uid === second.uid));
    for (const pod of [first, second]) assert.ok(await isRedirected(pod));
    fault.clear();
    node.mesh.api.closeWatches("reset");
    for (const pod of [first, second]) node.report(pod);
    await untilIn(node, first, second);
    for (const pod of [first, second]) await node.removePod(pod);
    await untilServed();
  });

  test("a watch that shows nothing and is too old then: a pod that came and went meanwhile leaves nothing", async () => {
    const { api } = node.mesh;
    using fault = api.fault({ verb: "watch", resource: "pods" }, { kind: "silent-watch" });
    api.closeWatches("end");
    await api.waitFor(() => fault.hits() > 0, "the watch to be silent");
    const pod = await node.startPod({ name: nextName() });
    const isListed = async () => (await runCommand(["ipset", "save"])).stdout.includes(` ${pod.ips[0]} `);
    assert.ok(await isListed());
    await node.removePod(pod);
    fault.clear();
    // What happened is not told any more: there is only the list, and the pod is not in it.
    api.compact();
    api.closeWatches("expired");
    await until("its address is no probe's any more", async () => !(await isListed()));
    assert.ok(!agent.log.some((line) => line.includes("Cannot bring a pod to its place")));
  });

  test("errors for good refuse pods that nobody knows, and start those that are known", async () => {
    const known = node.putPod({ name: nextName() });
    const name = String(readPath(known, "metadata", "name"));
    await untilKnown(`mesh/${name}`);
    node.mesh.api.fault({ path: /./ }, { kind: "status", code: 503 });
    node.mesh.api.closeWatches("reset");
    await assert.rejects(startUnseen(), /Cannot decide on pod mesh\//);
    const pod = await node.mesh.node.runPod({
      name,
      namespace: "mesh",
      uid: String(readPath(known, "metadata", "uid")),
    });
    assert.ok(await isRedirected(pod));
    assert.equal(node.redirection(pod), undefined, "nothing can be written");
    node.mesh.api.clearFaults();
    node.report(pod);
    await untilIn(node, pod);
    await node.removePod(pod);
    await untilServed();
  });

  test("away while pods come, go, finish and are relabelled: all are where they belong when it is back", async () => {
    node.mesh.api.put(namespace("joins"));
    node.mesh.api.put(namespace("leaves", IN_MESH));
    const stays = await node.startPod({ name: nextName() });
    const joins = await node.startPod({ name: nextName(), namespace: "joins" });
    const leaves = await node.startPod({ name: nextName(), namespace: "leaves" });
    const goes = await node.startPod({ name: nextName() });
    const finishes = await node.startPod({ name: nextName() });
    await untilIn(node, stays, leaves, goes, finishes);
    const known = specOf(node.putPod({ name: nextName() }));
    await untilKnown(`mesh/${known.name}`);
    await node.mesh.api.stop();
    node.labelNamespace("joins", IN_MESH);
    node.labelNamespace("leaves", { "istio.io/dataplane-mode": null });
    await node.removePod(goes);
    node.report(finishes, "Succeeded");
    const spec = specOf(node.putPod({ name: nextName() }));
    await assert.rejects(node.mesh.node.runPod(spec), /Cannot decide on pod/);
    assert.ok(await isRedirected(stays));
    assert.ok(await isRedirected(leaves), "what is not seen is not concluded");
    assert.deepEqual(await ambientTraces(joins), []);
    // Pods that are known come late and go early all the while, and come again as other sandboxes.
    const untilMs = performance.now() + AWAY_SECONDS * 1000;
    do {
      const again = await node.mesh.node.runPod(known);
      assert.ok(await isRedirected(again), "what was known stays known");
      await untilServed(stays, leaves, again, finishes);
      await assert.rejects(node.mesh.node.runPod(spec), /Cannot decide on pod/);
      for (const pod of [stays, leaves]) assert.ok(await isRedirected(pod));
      assert.deepEqual(await ambientTraces(joins), []);
      await again.remove();
    } while (performance.now() < untilMs);
    assertAlive(agent);
    await node.mesh.api.start();
    const late = await retried(() => node.mesh.node.runPod(spec));
    const last = await retried(() => node.mesh.node.runPod(known));
    for (const pod of [late, last]) node.report(pod);
    await untilIn(node, stays, joins, late, last);
    await untilOut(node, leaves);
    await until("the finished pod is forgotten", () => node.redirection(finishes) === undefined);
    await untilServed(stays, joins, late, last);
    for (const pod of [stays, joins, leaves, late, last, finishes]) await node.removePod(pod);
    await untilServed();
  });

  test("that refuses to be written to for a while gets the annotation later, and the pod is inside meanwhile", async () => {
    const fault = node.mesh.api.fault({ verb: "patch", resource: "pods" }, { kind: "status", code: 500 });
    const pod = await node.startPod({ name: nextName() });
    assert.ok(await isRedirected(pod));
    await until("it was tried", () => fault.hits() >= 2);
    assert.equal(node.redirection(pod), undefined);
    fault.clear();
    await untilIn(node, pod);
    await node.removePod(pod);
    await untilServed();
  });

  test("without the right to patch: said once, and pods are inside all the same", async () => {
    const seen = agent.log.length;
    const fault = node.mesh.api.fault({ verb: "patch", resource: "pods" }, { kind: "status", code: 403 });
    const pods = [await node.startPod({ name: nextName() }), await node.startPod({ name: nextName() })];
    await until("both were tried", () => fault.hits() >= 3);
    for (const pod of pods) assert.ok(await isRedirected(pod));
    const told = () => agent.log.slice(seen).filter((line) => line.includes("the right is missing"));
    await until("it is said", () => told().length > 0);
    assert.equal(told().length, 1, told().join("\n"));
    fault.clear();
    await untilIn(node, ...pods);
    for (const pod of pods) await node.removePod(pod);
    await untilServed();
  });
});

function specOf(pod: JsonObject): { readonly name: string; readonly namespace: string; readonly uid: string } {
  const [name, uid] = ["name", "uid"].map((key) => String(readPath(pod, "metadata", key)));
  return { name: name ?? "", namespace: "mesh", uid: uid ?? "" };
}

/** As the kubelet does. */
async function retried(start: () => Promise<TestPod>): Promise<TestPod> {
  for (let tries = 1; ; tries++) {
    try {
      return await start();
    } catch (error) {
      if (tries === 5) throw error;
    }
  }
}
