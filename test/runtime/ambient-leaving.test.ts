// Pods that leave the ambient mesh while they talk, on a real containerd: what is under way is finished through ztunnel, which is
// told last, also by an agent that was not there when they left.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type RunningCommand, startCommand } from "../../testbed/node/command.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { probe, startApplication } from "../../testbed/sidecar/sidecar.ts";
import { startSlowServer } from "../../testbed/sidecar/slow-server.ts";
import type { ZtunnelProcess } from "../../testbed/ztunnel/ztunnel-process.ts";
import {
  type AmbientNode,
  ambientTraces,
  createAmbientNode,
  isRedirected,
  servedBy,
  until,
  untilIn,
  untilOut,
} from "./ambient-node.ts";

enterNodeNamespaces();

const OUT = { labels: { "istio.io/dataplane-mode": "none" } };
const BACK = { labels: { "istio.io/dataplane-mode": null } };
const SLOW_PORT = 9090;

describe("pods with a request under way", () => {
  let node: AmbientNode;
  let ztunnel: ZtunnelProcess;
  let agent: Awaited<ReturnType<AmbientNode["startAgent"]>>;
  let client: TestPod;
  let server: TestPod;

  before(async () => {
    node = await createAmbientNode("dual");
    ztunnel = await node.startZtunnel();
    agent = await node.startAgent();
    client = await node.startPod({ name: "client" });
    server = await node.startPod({ name: "server" });
  });
  after(() => node[Symbol.asyncDispose]());

  for (const isKilled of [false, true]) {
    const how = isKilled ? ", although their agent was killed and another one goes on" : "";
    test(`leave: it is answered, new ones pass by, ztunnel is told last, nothing is left${how}`, async () => {
      for (const pod of [client, server]) node.changePod(pod, BACK);
      await untilIn(node, client, server);
      const { nettool } = node.mesh.node;
      const ip = server.ips.find((each) => !each.includes(":")) ?? assert.fail("no IPv4 address");
      await using slow = await startSlowServer(server, SLOW_PORT, "answered");
      await using _application = await startApplication(nettool, server, [8080]);
      const before = ztunnel.connections().length;
      await using asking = startAsking(client, ip);
      await slow.waitUntilAsked();
      await until("ztunnel tells of both", () => ztunnel.connections().length === before + 2);
      if (isKilled) await agent.kill();
      for (const pod of [client, server]) node.changePod(pod, OUT);
      if (isKilled) agent = await node.startAgent();
      await until("new connections pass by, and the mesh knows", async () => {
        const redirected = await Promise.all([client, server].map(isRedirected));
        return !redirected.some(Boolean) && [client, server].every((pod) => node.redirection(pod) === undefined);
      });
      if (!isKilled) {
        // Whoever takes over now finds pods that are on their way out.
        await agent.kill();
        agent = await node.startAgent();
        await until("ztunnel knows the new agent", () => snapshots(ztunnel) > 1);
      }
      assert.equal(servedBy(ztunnel).size, 2, "ztunnel would cut the request");
      assert.notDeepEqual(await ambientTraces(server), []);
      assert.deepEqual(await probe(nettool, { ip, port: 8080 }, { pod: client }), { outcome: "direct", port: 8080 });
      assert.equal(ztunnel.connections().length, before + 2, "a new request passes by ztunnel");
      slow.answer();
      await asking.waitForLine((line) => line === "answered");
      await untilOut(node, client, server);
      await until("ztunnel serves nobody", () => servedBy(ztunnel).size === 0);
    });
  }

  test("leave with install-cni uninstall, which no agent is needed for: it is answered before the command ends", async () => {
    for (const pod of [client, server]) node.changePod(pod, BACK);
    await untilIn(node, client, server);
    const { nettool } = node.mesh.node;
    const ip = server.ips.find((each) => !each.includes(":")) ?? assert.fail("no IPv4 address");
    await using slow = await startSlowServer(server, SLOW_PORT, "answered");
    await using _application = await startApplication(nettool, server, [8080]);
    await using asking = startAsking(client, ip);
    await slow.waitUntilAsked();
    await agent.kill();
    const command = await node.mesh.launchAgent({ args: ["uninstall"] });
    await until(
      "new connections pass by",
      async () => !(await Promise.all([client, server].map(isRedirected))).some(Boolean),
    );
    assert.deepEqual(await probe(nettool, { ip, port: 8080 }, { pod: client }), { outcome: "direct", port: 8080 });
    assert.notDeepEqual(await ambientTraces(server), [], "what is open needs it");
    slow.answer();
    await asking.waitForLine((line) => line === "answered");
    assert.equal(await command.exited, 0, command.log.join("\n"));
    for (const pod of [client, server]) assert.deepEqual(await ambientTraces(pod), []);
  });
});

function snapshots(ztunnel: ZtunnelProcess): number {
  return ztunnel.events().filter(({ event }) => event === "snapshot-sent").length;
}

/** Asks, and waits for the answer as long as it takes. */
function startAsking({ netnsPath }: TestPod, ip: string): RunningCommand {
  const program = `require("node:net").connect(${SLOW_PORT}, "${ip}").pipe(process.stdout)`;
  return startCommand(["nsenter", `--net=${netnsPath}`, process.execPath, "-e", program]);
}
