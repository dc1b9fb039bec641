// The agent is exchanged while pods start: none fails, none starts outside the mesh, whichever way the two agents follow or
// overlap each other, and whatever becomes of the plugin's file meanwhile.
import assert from "node:assert/strict";
import { copyFileSync, existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD, podSpecOf } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { eventually, readRules } from "./captured-pods.ts";
import { countPlugins } from "./running-plugins.ts";

enterNodeNamespaces();

const PODS = 20;
/** Starts under way at any moment, as on a node where a Deployment is scaled up. */
const AT_ONCE = 4;
const SOCKET = "/run/istio-cni/plugin.sock";
let names = 0;
const nextName = (): string => `pod-${names++}`;

describe("while 20 pods start", () => {
  let mesh: MeshNode;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
  });
  after(() => mesh.destroy());

  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    test(`the old agent ends by ${signal} and the new one starts: no start fails, no pod is outside`, async () => {
      const old = await mesh.startAgent();
      let next: Promise<TestAgent> | undefined;
      const exchange = async (): Promise<TestAgent> => {
        await old.stop(signal);
        return mesh.launchAgent();
      };
      const pods = await startPods(mesh, PODS, (started) => {
        if (started >= 5) next ??= exchange();
      });
      for (const pod of pods) await assertCapturedByRules(pod);
      const agent = await next;
      assert.ok(agent !== undefined);
      await agent.waitReady();
      // Both had a part in it; who takes the signal in the middle of an answer may have had any.
      await agent.waitForLine((line) => line.includes("Captured pod"));
      for (const pod of pods) await pod.remove();
      await agent.stop();
    });
  }
});

describe("two agents that overlap", () => {
  let mesh: MeshNode;
  let first: TestAgent;
  let second: TestAgent;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
    first = await startInOwnPod(mesh, "istio-cni-node-first");
  });
  after(() => mesh.destroy());

  test("the second takes the socket over without a moment in which nobody listens, and pods start all the while", async () => {
    let starting: Promise<TestAgent> | undefined;
    const pods = await startPods(mesh, PODS, (started) => {
      if (started >= 3) starting ??= startInOwnPod(mesh, "istio-cni-node-second");
    });
    assert.ok(starting !== undefined);
    second = await starting;
    for (const pod of pods) await assertCapturedByRules(pod);
    await first.waitForLine((line) => line.includes("Captured pod"));
    for (const pod of pods) await pod.remove();
    const seen = first.log.length;
    await assertCapturedByRules(await mesh.startPod(sidecarPod({ ...NEW_POD, name: nextName() })));
    assert.ok(!first.log.slice(seen).some((line) => line.includes("Captured pod")), "the first is not asked any more");
  });

  test("the first leaves the second's socket in place when it ends", async () => {
    await first.stop();
    await assertCapturedByRules(await mesh.startPod(sidecarPod({ ...NEW_POD, name: nextName() })));
  });

  test("a pod that the first is waiting for is captured by the second", async () => {
    const third = await startInOwnPod(mesh, "istio-cni-node-third");
    const object = sidecarPod({ ...NEW_POD, name: nextName() });
    const starting = mesh.node.runPod(podSpecOf(object));
    const { name } = object.metadata;
    await mesh.api.waitFor((server) => server.requests({ name, status: 404 }).length > 0, "the third agent to ask");
    const fourth = await startInOwnPod(mesh, "istio-cni-node-fourth");
    await third.stop();
    mesh.api.put(object);
    await assertCapturedByRules(await starting);
    await second.stop();
    await fourth.stop();
  });
});

describe("the plugin's file", () => {
  let mesh: MeshNode;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
  });
  after(() => mesh.destroy());

  test("may be replaced and removed while plugins run: they go on with what they have", async () => {
    const agent = await mesh.startAgent();
    await agent.stop();
    rmSync(SOCKET, { force: true });
    const starting = Promise.all(
      Array.from({ length: 3 }, () => mesh.startPod(sidecarPod({ ...NEW_POD, name: nextName() }))),
    );
    await eventually(
      () => countPlugins() === 3,
      () => "for three plugins to wait for an agent",
    );
    const installed = join(mesh.node.cniBinDir, "istio-cni");
    copyFileSync(installed, `${installed}.next`);
    renameSync(`${installed}.next`, installed);
    rmSync(installed);
    const next = await mesh.launchAgent();
    for (const pod of await starting) await assertCapturedByRules(pod);
    await next.waitReady();
    assert.ok(existsSync(installed), "the agent puts it back");
    await next.stop();
  });
});

/** Starts that many sidecar pods, some at once; `onStarted` is told after each how many run. */
async function startPods(mesh: MeshNode, count: number, onStarted: (started: number) => void): Promise<TestPod[]> {
  const pods: TestPod[] = [];
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      pods.push(await mesh.startPod(sidecarPod({ ...NEW_POD, name: nextName() })));
      onStarted(pods.length);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  assert.equal(pods.length, count);
  return pods;
}

/** As the chart has it: not on the host's network, so that two can have the same ports. */
async function startInOwnPod(mesh: MeshNode, name: string): Promise<TestAgent> {
  const pod = await mesh.startPod(plainPod({ ...NEW_POD, name, namespace: "istio-system" }));
  return mesh.startAgent({ pod });
}

async function assertCapturedByRules(pod: TestPod): Promise<void> {
  assert.match((await readRules(pod)).v4, /-A PREROUTING -p tcp -j ISTIO_INBOUND/, pod.name);
}
