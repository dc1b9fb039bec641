// Ambient mode is switched off: the next agent takes out what the one before took in, and nothing of it is left on the node.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { runCommand } from "../../testbed/node/command.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { NEW_POD } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import {
  type AmbientNode,
  ambientTraces,
  createAmbientNode,
  isRedirected,
  until,
  untilIn,
  untilOut,
} from "./ambient-node.ts";
import { readRules } from "./captured-pods.ts";

enterNodeNamespaces();

/** What ambient mode makes in the node's own namespace. */
async function hostTraces(): Promise<readonly string[]> {
  const [rules, tables, sets] = await Promise.all([
    runCommand(["iptables-nft-save"]),
    runCommand(["nft", "list", "tables"]),
    runCommand(["ipset", "list", "-n"]),
  ]);
  const lines = [rules, tables, sets].flatMap(({ stdout }) => stdout.split("\n"));
  return lines.filter((line) => /ISTIO|istio/.test(line));
}

describe("ambient mode is switched off", () => {
  let node: AmbientNode;
  let pods: TestPod[];
  before(async () => {
    node = await createAmbientNode("dual");
    await node.startZtunnel();
    const agent = await node.startAgent();
    pods = [await node.startPod({ name: "first" }), await node.startPod({ name: "second" })];
    await untilIn(node, ...pods);
    await agent.stop();
    assert.notDeepEqual(await hostTraces(), []);
  });
  after(() => node[Symbol.asyncDispose]());

  // The chart mounts /proc for the repair of sidecar pods too; AMBIENT_ENABLED is what the operator changed.
  const startOff = (): Promise<TestAgent> => node.mesh.startAgent({ env: { AMBIENT_ENABLED: "false" } });

  test("while nothing may be written to the API: rules go, and the annotation follows", async () => {
    const fault = node.mesh.api.fault({ verb: "patch", resource: "pods" }, { kind: "status", code: 403 });
    const agent = await startOff();
    for (const pod of pods) await until("no rules", async () => (await ambientTraces(pod)).length === 0);
    assert.equal(node.redirection(pods[0] ?? { namespace: "", name: "" }), "enabled");
    await agent.waitForLine((line) => line.includes("the right is missing"));
    await node.mesh.api.waitFor(
      (server) => server.list("events").some((event) => event["reason"] === "AmbientAnnotationStale"),
      "the Event that says what to do",
    );
    fault.clear();
    await untilOut(node, ...pods);
    await until("the node's own rules are gone", async () => (await hostTraces()).length === 0);
    await agent.stop();
  });

  test("an agent without ambient mode finds nothing to do, and captures sidecars", async () => {
    const agent = await startOff();
    const seen = agent.log.length;
    const pod = await node.mesh.startPod(sidecarPod({ ...NEW_POD, name: "sidecar" }));
    assert.match((await readRules(pod)).v4, /-A PREROUTING -p tcp -j ISTIO_INBOUND/);
    const plain = await node.startPod({ name: "plain" });
    assert.deepEqual(await ambientTraces(plain), [], "the label of its namespace means nothing now");
    assert.ok(!agent.log.slice(0, seen).some((line) => line.includes("Ambient mode is off")));
    await node.removePod(plain);
    await pod.remove();
    await agent.stop();
  });

  test("and on again: pods are in as before", async () => {
    const agent = await node.startAgent();
    await untilIn(node, ...pods);
    await agent.kill();
  });

  test("killed in the middle of leaving: the next one goes on", async () => {
    const patch = node.mesh.api.fault({ verb: "patch", resource: "pods" }, { kind: "never-answer" });
    const agent = await startOff();
    await until("rules are out", () => patch.hits() > 0);
    await agent.kill();
    patch.clear();
    const next = await startOff();
    await untilOut(node, ...pods);
    await until("the node's own rules are gone", async () => (await hostTraces()).length === 0);
    await next.stop();
  });

  test("a pod that is known by its record only is taken out, too", async () => {
    const agent = await node.startAgent();
    await untilIn(node, ...pods);
    const patch = node.mesh.api.fault({ verb: "patch", resource: "pods" }, { kind: "never-answer" });
    const pod = await node.startPod({ name: "unannotated" });
    await until("it was tried", () => patch.hits() > 0);
    assert.ok(await isRedirected(pod));
    await agent.kill();
    patch.clear();
    assert.equal(node.redirection(pod), undefined);
    const next = await startOff();
    await untilOut(node, pod, ...pods);
    await next.stop();
  });
});
