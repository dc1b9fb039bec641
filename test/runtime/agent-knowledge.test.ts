// What the agent knows of a pod when its sandbox starts, and what becomes of the pod when it does not know it: never a
// request of its own for a pod that the watch has shown, and never outside the mesh because it was not seen.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { CriError } from "../../testbed/node/cri-error.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD, podSpecOf } from "../../testbed/node/mesh-node.ts";
import { readPluginInput, runInstalledPlugin } from "../../testbed/node/plugin-run.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { untilDaemonSetSeen } from "./agent-daemonset.ts";
import { assertCaptured, untilKnown } from "./captured-pods.ts";

enterNodeNamespaces();

/** Longer than the agent waits before it asks the API, short enough for the tests that wait in vain. */
const AGENT_WAIT = "4s";

describe("the agent", () => {
  let mesh: MeshNode;
  let agent: TestAgent;
  let peer: TestPod;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
    agent = await mesh.startAgent({ env: { PLUGIN_AGENT_WAIT: AGENT_WAIT } });
    peer = await mesh.startPod(plainPod({ ...NEW_POD, name: "peer" }));
  });
  after(() => mesh.destroy());

  /** Requests for one pod; the watches and lists of all pods are none. */
  function requestsFor(name: string): readonly string[] {
    return mesh.api.requests({ resource: "pods", name }).map(({ method, path }) => `${method} ${path}`);
  }

  test("makes no request to the API to start pods that the watch has shown", async () => {
    const objects = [
      sidecarPod({ ...NEW_POD, name: "known" }),
      sidecarPod({ ...NEW_POD, name: "known-native", native: true }),
      plainPod({ ...NEW_POD, name: "known-plain" }),
    ].map((object) => mesh.api.put(object));
    for (const { metadata } of objects) await untilKnown(`shop/${metadata.name}`);
    await untilDaemonSetSeen(mesh.api, agent);
    const before = mesh.api.requests().length;
    for (const object of objects) await (await mesh.node.runPod(podSpecOf(object))).remove();
    assert.deepEqual(
      mesh.api
        .requests()
        .slice(before)
        .map(({ method, path }) => `${method} ${path}`),
      [],
    );
  });

  test("asks the API once for a pod that the watch does not show, and captures it", async () => {
    using _silence = mesh.api.fault({ verb: "watch", resource: "pods" }, { kind: "silent-watch" });
    const watching = mesh.api.requests({ verb: "watch", resource: "pods" }).length;
    mesh.api.closeWatches("end");
    await mesh.api.waitFor(
      (server) => server.requests({ verb: "watch", resource: "pods" }).length > watching,
      "the silent watch",
    );
    const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "unwatched" }));
    await assertCaptured(mesh.node, pod, peer, [4]);
    assert.deepEqual(requestsFor("unwatched"), ["GET /api/v1/namespaces/shop/pods/unwatched"]);
    mesh.api.closeWatches("end");
  });

  test("waits for a pod that neither API nor watch shows yet, and captures it when it is there", async () => {
    const object = sidecarPod({ ...NEW_POD, name: "late" });
    const { name } = object.metadata;
    const starting = mesh.node.runPod(podSpecOf(object));
    // It has looked, and nothing is there: only now the pod appears.
    await mesh.api.waitFor(
      (server) => server.requests({ name, status: 404 }).length > 0,
      "the agent to ask for the pod",
    );
    mesh.api.put(object);
    await assertCaptured(mesh.node, await starting, peer, [4]);
  });

  test("does not take a StatefulSet's next pod for its predecessor of the same name", async () => {
    const first = mesh.api.put(plainPod({ ...NEW_POD, name: "db-0" }));
    const old = await mesh.node.runPod(podSpecOf(first));
    await old.remove();
    const next = sidecarPod({ ...NEW_POD, name: "db-0" });
    const starting = mesh.node.runPod(podSpecOf(next));
    await mesh.api.waitFor((server) => server.requests({ name: "db-0", verb: "get" }).length > 0, "the agent to ask");
    mesh.api.remove("pods", "shop/db-0");
    mesh.api.put(next);
    await assertCaptured(mesh.node, await starting, peer, [4]);
  });

  test("refuses a pod that nobody knows with CNI code 11 and a sentence", async () => {
    const unknown = sidecarPod({ ...NEW_POD, name: "unknown" });
    await assert.rejects(
      mesh.node.runPod(podSpecOf(unknown)),
      (error) =>
        error instanceof CriError &&
        /Cannot decide on pod shop\/unknown: .*is not known yet: the API server does not know it/.test(error.details),
    );
    assert.deepEqual(await refuse("unknown"), 11);
  });

  test("starts pods that it knows, and plain ones, while the API server is away, and refuses the others", async () => {
    const known = mesh.api.put(sidecarPod({ ...NEW_POD, name: "known-before" }));
    // The watch shows pods in order: it has shown that one when it has shown the next.
    await mesh.startPod(sidecarPod({ ...NEW_POD, name: "shown-after" }));
    await mesh.api.stop();
    try {
      await assertCaptured(mesh.node, await mesh.node.runPod(podSpecOf(known)), peer, [4]);
      await (await mesh.node.runPod(podSpecOf(plainPod({ ...NEW_POD, name: "plain" })))).remove();
      await assert.rejects(
        mesh.node.runPod(podSpecOf(sidecarPod({ ...NEW_POD, name: "unseen" }))),
        /Cannot decide on pod shop\/unseen: .*is not known yet/,
      );
    } finally {
      await mesh.api.start();
    }
    await assertCaptured(mesh.node, await mesh.startPod(sidecarPod({ ...NEW_POD, name: "afterwards" })), peer, [4]);
    assert.equal((await agent.get(8000, "/readyz")).status, 200);
  });

  /** The plugin's exit for a pod of that name: the code it prints. */
  async function refuse(name: string): Promise<unknown> {
    const template = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "template" }));
    const input = readPluginInput(mesh.node, template);
    const args = input.args.replace("K8S_POD_NAME=template", `K8S_POD_NAME=${name}`);
    const { failed, stdout } = await runInstalledPlugin(mesh.node, { ...input, args });
    assert.equal(failed, 1);
    const error: unknown = JSON.parse(stdout);
    assert.ok(typeof error === "object" && error !== null && "code" in error && "msg" in error && "details" in error);
    return error.code;
  }
});
