// Ambient pods on a real containerd, with a ztunnel stand-in that proxies: enrolled at ADD, taken in and let out while they
// run, and what a request from one to the other passes.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { namespace, plainPod } from "../../testbed/api-server/pod-fixtures.ts";

import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import { startZtunnel, type ZtunnelProcess } from "../../testbed/ztunnel/ztunnel-process.ts";

enterNodeNamespaces();

const AMBIENT = { "istio.io/dataplane-mode": "ambient" };
const POD = { ...NEW_POD, namespace: "mesh" };
const SOCKET = "/run/ztunnel/ztunnel.sock";

describe("an ambient node", () => {
  let mesh: MeshNode;

  let ztunnel: ZtunnelProcess;
  before(async () => {
    mesh = await createMeshNode({ families: "dual" });
    mesh.api.put(namespace("mesh", AMBIENT));
    ztunnel = await startZtunnel({ socketPath: SOCKET });
    await mesh.startAgent({ ambient: true, env: { AMBIENT_ENABLED: "true" } });
  });
  after(async () => {
    await ztunnel.stop();
    await mesh.destroy();
  });

  test("a pod is captured and taken by ztunnel when its ADD answers", async () => {
    const pod = await mesh.startPod(plainPod({ ...POD, name: "web" }));
    const rules = await pod.exec(["iptables-nft-save"]);
    assert.match(
      rules.stdout,
      /-A ISTIO_OUTPUT ! -d 127.0.0.1\/32 -p tcp -m mark ! --mark 0x539\/0xfff -j REDIRECT --to-ports 15001/,
    );
    await pod.remove();
  });
});
