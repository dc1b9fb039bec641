// The agent is away: what cannot be in the mesh starts, what may be is refused with advice or waits, nothing is undone.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import { CriError } from "../../testbed/node/cri-error.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD, podSpecOf } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { assertCaptured, eventually, readGolden, readRules } from "./captured-pods.ts";
import { countPlugins } from "./running-plugins.ts";

enterNodeNamespaces();

for (const signal of ["SIGTERM", "SIGKILL"] as const) {
  describe(`after the agent's end by ${signal}`, () => {
    let mesh: MeshNode;
    let peer: TestPod;
    let captured: TestPod;
    let files: string;
    before(async () => {
      mesh = await createMeshNode({ families: "v4" });
      const agent = await mesh.startAgent({ env: { PLUGIN_AGENT_WAIT: "3s" } });
      peer = await mesh.startPod(plainPod({ ...NEW_POD, name: "peer" }));
      captured = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "captured" }));
      files = readHostFiles(mesh);
      const status = await agent.stop(signal);
      assert.equal(status, signal === "SIGTERM" ? 0 : 137, agent.log.slice(-5).join("\n"));
    });
    after(() => mesh.destroy());

    test("plugin, conflist and rules stay as they were", async () => {
      assert.equal(readHostFiles(mesh), files);
      assert.deepEqual(await readRules(captured), { v4: readGolden("v4"), v6: "" });
      await assertCaptured(mesh.node, captured, peer, [4]);
    });

    test("a pod outside the mesh starts", async () => {
      await assertStartsOutside(plainPod({ ...NEW_POD, name: "plain" }));
    });

    test("a sidecar pod of an excluded namespace starts", async () => {
      await assertStartsOutside(sidecarPod({ ...NEW_POD, name: "excluded", namespace: "kube-system" }));
    });

    test("the agent's own pod starts", async () => {
      const own = { name: "istio-cni-node-x7k2p", namespace: "istio-system" };
      await assertStartsOutside(plainPod({ ...NEW_POD, ...own, annotations: { "sidecar.istio.io/status": "{}" } }));
    });

    test("a pod of the mesh is refused, and the error says where to look", async () => {
      await assert.rejects(
        mesh.startPod(sidecarPod({ ...NEW_POD, name: "refused" })),
        (error) =>
          error instanceof CriError &&
          /Cannot set up the pod's redirection: .*kubectl get pods .*istio-cni-node.*shop\/refused/s.test(
            error.details,
          ),
      );
      assert.equal((await mesh.node.runtime.cri.listPodSandboxes()).length, 2, "nothing is left of the refused pod");
    });

    test("pods of the mesh and outside of it can be deleted", async () => {
      await captured.remove();
      await peer.remove();
      assert.deepEqual(await mesh.node.runtime.cri.listPodSandboxes(), []);
    });

    async function assertStartsOutside(object: ReturnType<typeof plainPod>): Promise<void> {
      const pod = await mesh.startPod(object);
      assert.equal((await pod.exec(["nft", "list", "tables"])).stdout, "");
      await pod.remove();
    }
  });
}

describe("while the agent is exchanged", () => {
  let mesh: MeshNode;
  let peer: TestPod;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
  });
  after(() => mesh.destroy());

  test("a pod that starts in the meantime waits and is captured by the next agent", async () => {
    const agent = await mesh.startAgent();
    peer = await mesh.startPod(plainPod({ ...NEW_POD, name: "peer" }));
    await agent.stop();
    const starting = mesh.startPod(sidecarPod({ ...NEW_POD, name: "waiting" }));
    await eventually(
      () => countPlugins() > 0,
      () => "for the plugin to wait for an agent",
    );
    const next = await mesh.startAgent();
    await assertCaptured(mesh.node, await starting, peer, [4]);
    await next.stop();
  });

  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    test(`a pod that the agent is working on at its end by ${signal} is captured by the next agent`, async () => {
      const agent = await mesh.startAgent();
      const object = sidecarPod({ ...NEW_POD, name: `interrupted-by-${signal.toLowerCase()}` });
      // The agent has the request, and looks for a pod that is not there.
      const starting = mesh.node.runPod(podSpecOf(object));
      const { name } = object.metadata;
      await mesh.api.waitFor((server) => server.requests({ name, status: 404 }).length > 0, "the agent to ask");
      await agent.stop(signal);
      mesh.api.put(object);
      const next = await mesh.startAgent();
      await assertCaptured(mesh.node, await starting, peer, [4]);
      await next.stop();
    });
  }
});

/** Contents of everything the agent has put on the host. */
function readHostFiles({ node }: MeshNode): string {
  const plugin = readFileSync(join(node.cniBinDir, "istio-cni"), "base64");
  return `${plugin}\n${readFileSync(node.conflistPath, "utf8")}`;
}
