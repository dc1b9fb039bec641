// Pods in the mesh, by address family: what is captured, and with which rules; and that other pods are untouched.
import assert from "node:assert/strict";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { istioInitPod, plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD, withProxyEnv } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { assertCaptured, readGolden, readRules } from "./captured-pods.ts";

enterNodeNamespaces();

const DUAL_STACK = { ISTIO_DUAL_STACK: "true" };

for (const { families, captured } of [
  { families: "v4", captured: [4] },
  { families: "v6", captured: [6] },
] as const) {
  test(`on a ${families} node a sidecar pod is captured in that family, in and out`, async () => {
    await using mesh = await createMeshNode({ families });
    await mesh.startAgent();
    const peer = await mesh.startPod(plainPod({ ...NEW_POD, name: "peer" }));
    const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "web" }));
    await assertCaptured(mesh.node, pod, peer, captured);
    // Rules of IPv4 are always written: contract 5.3.
    assert.deepEqual(await readRules(pod), { v4: readGolden("v4"), v6: families === "v6" ? readGolden("v6") : "" });
    await pod.remove();
  });
}

describe("on a dual-stack node", () => {
  let mesh: MeshNode;
  let agent: TestAgent;
  let peer: TestPod;
  before(async () => {
    mesh = await createMeshNode({ families: "dual" });
    agent = await mesh.startAgent();
    peer = await mesh.startPod(plainPod({ ...NEW_POD, name: "peer" }));
  });
  after(() => mesh.destroy());

  test("the family of a sidecar pod's first address is captured, and the other one is reported", async () => {
    const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "first-family" }));
    await assertCaptured(mesh.node, pod, peer, [4]);
    assert.deepEqual(await readRules(pod), { v4: readGolden("v4"), v6: "" });
    const line = await agent.waitForLine((text) => text.includes("passes by its proxy") && text.includes(pod.id));
    assert.match(line, /\twarn\t.*name=first-family .*family=ipv6/);
  });

  test("both families are captured where the proxy says ISTIO_DUAL_STACK", async () => {
    const pod = await mesh.startPod(withProxyEnv(sidecarPod({ ...NEW_POD, name: "both" }), DUAL_STACK));
    await assertCaptured(mesh.node, pod, peer, [4, 6]);
    assert.deepEqual(await readRules(pod), { v4: readGolden("v4"), v6: readGolden("v6") });
    assert.ok(!agent.log.some((line) => line.includes("passes by its proxy") && line.includes(pod.id)));
  });

  test("a sandbox is not refused where the runtime's loopback plugin comes last (D39)", async () => {
    const loopback = join(mesh.node.cniBinDir, "loopback");
    renameSync(loopback, `${loopback}-itself`);
    try {
      // The bridge and we are done in half of that.
      writeFileSync(loopback, '#!/bin/sh\nsleep 0.1\nexec "$0-itself"\n', { mode: 0o755 });
      const object = withProxyEnv(sidecarPod({ ...NEW_POD, name: "late-loopback" }), DUAL_STACK);
      const refusals: string[] = [];
      // A machine with other work may delay it beyond what is waited for; not every time.
      for (let pod: TestPod | undefined; pod === undefined; ) {
        pod = await mesh.startPod(object).catch((error: unknown) => {
          refusals.push(String(error));
          return undefined;
        });
        assert.ok(refusals.length < 3, refusals.join("\n"));
        if (pod !== undefined) await assertCaptured(mesh.node, pod, peer, [4, 6]);
      }
    } finally {
      renameSync(`${loopback}-itself`, loopback);
    }
  });

  test("a native sidecar is captured as one among the containers is", async () => {
    const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "native", native: true }));
    await assertCaptured(mesh.node, pod, peer, [4]);
    assert.deepEqual(await readRules(pod), { v4: readGolden("v4"), v6: "" });
  });

  test("pods outside the mesh have no table at all, and their connections go where they are sent", async () => {
    const pods = [
      plainPod({ ...NEW_POD, name: "plain" }),
      plainPod({ ...NEW_POD, name: "annotated", annotations: { "example.com/note": "any" } }),
      istioInitPod({ ...NEW_POD, name: "istio-init" }),
      sidecarPod({ ...NEW_POD, name: "excluded", namespace: "kube-system" }),
      sidecarPod({ ...NEW_POD, name: "switched-off", labels: { "sidecar.istio.io/inject": "false" } }),
    ];
    for (const object of pods) {
      const pod = await mesh.startPod(object);
      assert.equal((await pod.exec(["nft", "list", "tables"])).stdout, "", pod.name);
      await assertCaptured(mesh.node, pod, peer, []);
      await pod.remove();
    }
  });

  test("a malformed annotation refuses the pod and names annotation, value and what is accepted", async () => {
    const annotations = { "traffic.sidecar.istio.io/includeInboundPorts": "80,http" };
    await assert.rejects(
      mesh.startPod(sidecarPod({ ...NEW_POD, name: "malformed", annotations })),
      /Cannot start pod shop\/malformed: .*includeInboundPorts.*80,http/,
    );
  });

  test("every family that has an address is captured with STRICT_FAMILIES", async () => {
    await agent.stop();
    agent = await mesh.startAgent({ env: { STRICT_FAMILIES: "true" } });
    const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "strict" }));
    await assertCaptured(mesh.node, pod, peer, [4, 6]);
    assert.deepEqual(await readRules(pod), { v4: readGolden("v4"), v6: readGolden("v6") });
  });

  test("both families are captured in native nftables, whatever the proxy says", async () => {
    await agent.stop();
    agent = await mesh.startAgent({ env: { NATIVE_NFTABLES: "true" } });
    for (const env of [{}, DUAL_STACK]) {
      const name = `native-nftables-${Object.keys(env).length}`;
      const pod = await mesh.startPod(withProxyEnv(sidecarPod({ ...NEW_POD, name }), env));
      await assertCaptured(mesh.node, pod, peer, [4, 6]);
      assert.equal((await pod.exec(["nft", "list", "tables"])).stdout, "table inet istio-proxy-nat\n");
    }
  });
});
