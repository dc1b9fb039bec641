// Requests of ambient pods, on a real containerd: out of one pod through ztunnel's listener in its namespace, and in through
// that of the other; DNS likewise; probes of the node past them.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { FAMILIES } from "../../src/core/address.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { probe, startApplication } from "../../testbed/sidecar/sidecar.ts";
import type { ZtunnelProcess } from "../../testbed/ztunnel/ztunnel-process.ts";
import { type AmbientNode, createAmbientNode, until, untilIn } from "./ambient-node.ts";

enterNodeNamespaces();

describe("two pods of the ambient mesh", () => {
  let node: AmbientNode;
  let ztunnel: ZtunnelProcess;
  let client: TestPod;
  let server: TestPod;

  before(async () => {
    node = await createAmbientNode("dual");
    ztunnel = await node.startZtunnel({ dns: true });
    await node.startAgent();
    client = await node.startPod({ name: "client" });
    server = await node.startPod({ name: "server" });
    await untilIn(node, client, server);
  });
  after(() => node[Symbol.asyncDispose]());

  for (const family of FAMILIES) {
    test(`a request over IPv${family} leaves one pod and enters the other by ztunnel's listeners`, async () => {
      const ip = ipOf(server, family);
      const peer = ipOf(client, family);
      const target = family === 6 ? `[${ip}]:8080` : `${ip}:8080`;
      const { nettool } = node.mesh.node;
      await using application = await startApplication(nettool, server, [8080]);
      assert.deepEqual(await probe(nettool, { ip, port: 8080 }, { pod: client }), { outcome: "direct", port: 8080 });
      await until("ztunnel tells of both", () => connections(target).length === 2);
      const [outbound, inbound] = connections(target).toSorted((left, right) =>
        right.direction.localeCompare(left.direction),
      );
      assert.partialDeepStrictEqual(outbound, { uid: client.uid, direction: "outbound", result: "forwarded" });
      assert.partialDeepStrictEqual(inbound, { uid: server.uid, direction: "inbound", result: "forwarded" });
      assert.ok(inbound?.peer.includes(peer), `${inbound?.peer} is not the client`);
      await until("the application tells of it", () => application.connections().length > 0);
      assert.equal(application.connections().length, 1);
      assert.ok(application.connections()[0]?.peer.includes(peer), "the application sees the client's address");
    });
  }

  test("a question to any resolver is answered by ztunnel", async () => {
    const script = [
      "import socket",
      "for family, at in ((socket.AF_INET, '10.255.255.1'), (socket.AF_INET6, 'fd00:ffff::1')):",
      "  s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(20)",
      "  s.connect((at, 53)); s.send(b'?'); print(s.recv(100).decode().strip())",
    ].join("\n");
    const done = await client.exec(["python3", "-c", script]);
    assert.equal(done.stdout, "ztunnel 15053\nztunnel 15053\n", done.stderr);
  });

  test("a pod outside the mesh reaches one inside through its ztunnel, and is not touched itself", async () => {
    const outside = await node.startPod({ name: "outside", namespace: "shop" });
    const { nettool } = node.mesh.node;
    const ip = ipOf(server, 4);
    await using _application = await startApplication(nettool, server, [8081]);
    assert.deepEqual(await probe(nettool, { ip, port: 8081 }, { pod: outside }), { outcome: "direct", port: 8081 });
    await until("ztunnel tells of it", () => connections(`${ip}:8081`).length === 1);
    assert.partialDeepStrictEqual(connections(`${ip}:8081`)[0], { uid: server.uid, direction: "inbound" });
    await node.removePod(outside);
  });

  function connections(destination: string) {
    return ztunnel.connections().filter((connection) => connection.destination === destination);
  }
});

function ipOf(pod: TestPod, family: 4 | 6): string {
  const found = pod.ips.find((ip) => ip.includes(":") === (family === 6));
  assert.ok(found !== undefined, `${pod.name} has no IPv${family} address`);
  return found;
}
