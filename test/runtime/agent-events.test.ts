// Events on pods, as kubectl shows them: when one is refused at ADD, taken into the mesh while it runs, or its redirection
// was altered and repaired. Without the right to write them all goes on, said once. The fight over the conflist has its Event
// in agent-conflist.test.ts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createPoller } from "../../src/platform/linux/poller.ts";
import { type JsonObject, readText } from "../../testbed/api-server/kube-object.ts";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import { startZtunnelStandIn } from "../../testbed/ztunnel/ztunnel-stand-in.ts";
import { createAmbientNode, IN_MESH, ZTUNNEL_SOCKET } from "./ambient-node.ts";
import { assertAlive, eventually, readGolden, readRules } from "./captured-pods.ts";

enterNodeNamespaces();

const MALFORMED = { "traffic.sidecar.istio.io/includeInboundPorts": "80,http" };

function eventsOf(mesh: MeshNode, pod: string): readonly JsonObject[] {
  return mesh.api.list("events").filter((event) => readText(event, "involvedObject", "name") === pod);
}

async function eventOf(mesh: MeshNode, pod: string, reason: string): Promise<JsonObject> {
  const find = () => eventsOf(mesh, pod).find((event) => event["reason"] === reason);
  await mesh.api.waitFor(() => find() !== undefined, `Event ${reason} of ${pod}`);
  return find() ?? {};
}

test("a pod that is refused has an Event with the sentence, counted at each try, and none when it starts at last", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const agent = await mesh.startAgent();
  const object = sidecarPod({ ...NEW_POD, name: "web", annotations: MALFORMED });
  await assert.rejects(mesh.startPod(object), /includeInboundPorts/);
  const event = await eventOf(mesh, "web", "RedirectionRefused");
  assert.equal(event["type"], "Warning");
  assert.match(readText(event, "message"), /^Cannot start pod shop\/web: .*includeInboundPorts.*80,http/);
  assert.equal(readText(event, "involvedObject", "uid"), readText(object, "metadata", "uid"));
  for (let times = 0; times < 3; times++) await assert.rejects(mesh.startPod(object), /includeInboundPorts/);
  await eventually(
    () => eventsOf(mesh, "web").length === 1 && eventsOf(mesh, "web")[0]?.["count"] === 4,
    () => JSON.stringify(eventsOf(mesh, "web")),
  );
  const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "good" }));
  const plain = await mesh.startPod(plainPod({ ...NEW_POD, name: "plain" }));
  assert.deepEqual([...eventsOf(mesh, "good"), ...eventsOf(mesh, "plain")], []);
  assertAlive(agent);
  await pod.remove();
  await plain.remove();
});

test("a pod that joins the ambient mesh while it runs, and leaves it, has an Event for each", async () => {
  await using node = await createAmbientNode("v4");
  const poller = createPoller((error) => assert.fail(String(error)));
  try {
    using _ztunnel = startZtunnelStandIn({ path: ZTUNNEL_SOCKET, poller });
    await node.startAgent();
    const pod = await node.startPod({ name: "web", namespace: "shop" });
    node.changePod(pod, { labels: IN_MESH });
    assert.equal((await eventOf(node.mesh, "web", "AmbientEnrolled"))["type"], "Normal");
    node.changePod(pod, { labels: { "istio.io/dataplane-mode": null } });
    assert.equal((await eventOf(node.mesh, "web", "AmbientReleased"))["type"], "Normal");
    await node.removePod(pod);
  } finally {
    await poller.close();
  }
});

test("without the right to write Events rules are repaired all the same; log and metric say it once", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const message =
    'events is forbidden: User "system:serviceaccount:istio-system:istio-cni" cannot create resource "events"';
  mesh.api.fault({ verb: "create", resource: "events" }, { kind: "status", code: 403, message });
  const agent = await mesh.startAgent();
  const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "web" }));
  mesh.report(pod);
  const dropped = async () =>
    Number(
      /istio_cni_agent_events_dropped_total\{reason="forbidden"\} (\d+)/.exec(
        (await agent.get(15014, "/metrics")).text,
      )?.[1] ?? 0,
    );
  for (let times = 1; times <= 3; times++) {
    await pod.exec(["iptables-nft", "-t", "nat", "-F"]);
    await eventually(
      async () => (await readRules(pod)).v4 === readGolden("v4") && (await dropped()) >= times,
      () => agent.log.slice(-20).join("\n"),
    );
  }
  const isSaid = (line: string): boolean => line.includes("Cannot write Events: the right is missing");
  await agent.waitForLine(isSaid);
  const said = agent.log.filter(isSaid);
  assert.equal(said.length, 1, said.join("\n"));
  assert.equal(mesh.api.requests({ resource: "events" }).length, 1, "nobody is asked again");
  assert.deepEqual(mesh.api.list("events"), []);
});
