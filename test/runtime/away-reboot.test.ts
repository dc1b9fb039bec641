// Nobody answers on the node: after a reboot, for good, or because the API server was never heard. What is provably
// outside the mesh starts, the rest is refused until an agent is there, and nothing has to be done by hand.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { type PluginState, renderPluginState, STATE_FILE_NAME } from "../../src/core/plugin-protocol/state-file.ts";
import type { JsonObject } from "../../testbed/api-server/kube-object.ts";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { CriError } from "../../testbed/node/cri-error.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD, podSpecOf } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { eventually, readRules } from "./captured-pods.ts";

enterNodeNamespaces();

const RUN_DIR = "/run/istio-cni";
const STATE_FILE = `${RUN_DIR}/${STATE_FILE_NAME}`;
const STATE: PluginState = {
  mode: "sidecar",
  whenAway: "enroll-later",
  excludedNamespaces: ["kube-system", "bank"],
  enrollment: undefined,
};
const OWN_POD = { ...NEW_POD, name: "istio-cni-node-x7k2p", namespace: "istio-system" };
/** Of a pod that is refused at each; the plugin waits 300 ms for an agent. */
const MAX_ATTEMPTS = 500;
let pods = 0;
const sidecarIn = (namespace: string): JsonObject => sidecarPod({ ...NEW_POD, namespace, name: `sidecar-${pods++}` });

describe("on a node without an agent", () => {
  let mesh: MeshNode;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
    const agent = await mesh.startAgent({ env: { PLUGIN_AGENT_WAIT: "300ms" } });
    await agent.kill();
  });
  after(() => mesh.destroy());

  test("after a reboot, with an empty /var/run, all that is not in the mesh starts, the agent's own pod first", async () => {
    rmSync(RUN_DIR, { recursive: true });
    await assertOutside(mesh, plainPod(OWN_POD));
    await assertOutside(mesh, sidecarIn("kube-system"));
    await assertOutside(mesh, plainPod({ ...NEW_POD, name: "plain" }));
    await assertRefused(mesh, sidecarIn("shop"));
  });

  test("a state file that says so lets a namespace pass that the conflist's copy does not exclude", async () => {
    await assertRefused(mesh, sidecarIn("bank"));
    putState(renderPluginState(STATE));
    await assertOutside(mesh, sidecarIn("bank"));
    await assertRefused(mesh, sidecarIn("shop"));
  });

  test("a damaged state file lets nothing pass that would not pass without it", async () => {
    const whole = renderPluginState(STATE);
    for (const damaged of [whole.subarray(0, whole.length - 5), new Uint8Array(whole.length)]) {
      putState(damaged);
      await assertRefused(mesh, sidecarIn("bank"));
      await assertOutside(mesh, sidecarIn("kube-system"));
    }
  });

  test("a pod of the mesh that was refused starts, captured, once the agent is there", async () => {
    rmSync(RUN_DIR, { recursive: true, force: true });
    const object = mesh.api.put(sidecarIn("shop"));
    let attempts = 0;
    // As a kubelet does: the same pod again, a new sandbox each time.
    const starting = (async (): Promise<TestPod> => {
      for (;;) {
        try {
          return await mesh.node.runPod({ ...podSpecOf(object), attempt: attempts });
        } catch (error) {
          if (!(error instanceof CriError) || attempts === MAX_ATTEMPTS) throw error;
          attempts++;
        }
      }
    })();
    // Told by the assertion that awaits it; not as an unhandled rejection before that.
    starting.catch(() => undefined);
    await eventually(
      () => attempts > 0,
      () => "for the first refusal",
    );
    // In its own pod, which this node let start.
    const own = await mesh.startPod(plainPod(OWN_POD));
    // The kubelet makes what the chart mounts (DirectoryOrCreate).
    mkdirSync(RUN_DIR);
    const agent = await mesh.startAgent({ pod: own });
    await assertCapturedByRules(await starting);
    assert.ok(attempts > 0);
    await agent.stop();
  });
});

describe("an agent that has never reached the API server", () => {
  let mesh: MeshNode;
  let agent: TestAgent;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
    await mesh.api.stop();
    agent = await mesh.launchAgent({ env: { PLUGIN_AGENT_WAIT: "5s" } });
    await mesh.node.waitForChained();
  });
  after(() => mesh.destroy());

  test("starts what is not in the mesh, is not ready, and refuses the rest with the reason", async () => {
    await assertOutside(mesh, plainPod(OWN_POD));
    await assertOutside(mesh, sidecarIn("kube-system"));
    await assertOutside(mesh, plainPod({ ...NEW_POD, name: "plain" }));
    await assert.rejects(
      mesh.startPod(sidecarIn("shop")),
      (error) => error instanceof CriError && /Cannot decide on pod shop\/.*is not known yet/.test(error.details),
    );
    assert.equal((await agent.get(8000, "/readyz")).status, 503);
    assert.equal((await agent.get(8000, "/healthz")).status, 200);
  });

  test("captures the pods of the mesh as soon as it has", async () => {
    await mesh.api.start();
    await agent.waitReady();
    const pod = await mesh.startPod(sidecarIn("shop"));
    await assertCapturedByRules(pod);
  });
});

describe("when EXCLUDE_NAMESPACES changes while the agent is away", () => {
  let mesh: MeshNode;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
  });
  after(() => mesh.destroy());

  test("a namespace that is not excluded any more is passed until the agent knows it, and captured from then on", async () => {
    const old = await mesh.startAgent({ env: { EXCLUDE_NAMESPACES: "kube-system,shop" } });
    await old.stop();
    await assertOutside(mesh, sidecarIn("shop"));
    const next = await mesh.startAgent({ env: { EXCLUDE_NAMESPACES: "kube-system" } });
    await assertCapturedByRules(await mesh.startPod(sidecarIn("shop")));
    await assertOutside(mesh, sidecarIn("kube-system"));
    await next.stop();
  });

  test("a namespace that is excluded now waits for the agent that says so, and passes", async () => {
    const object = sidecarIn("shop");
    const starting = mesh.startPod(object);
    const next = await mesh.startAgent({ env: { EXCLUDE_NAMESPACES: "shop" } });
    const pod = await starting;
    assert.deepEqual(await readRules(pod), { v4: "", v6: "" });
    await assertOutside(mesh, sidecarIn("shop"));
    await assertCapturedByRules(await mesh.startPod(sidecarIn("kube-system")));
    assert.match(readFileSync(mesh.node.conflistPath, "utf8"), /"exclude_namespaces":\s*\[\s*"shop"\s*\]/);
    await next.stop();
  });
});

function putState(bytes: Uint8Array): void {
  rmSync(RUN_DIR, { recursive: true, force: true });
  mkdirSync(RUN_DIR, { mode: 0o750 });
  writeFileSync(STATE_FILE, bytes, { mode: 0o600 });
}

async function assertOutside(mesh: MeshNode, object: JsonObject): Promise<void> {
  const pod = await mesh.startPod(object);
  assert.equal((await pod.exec(["nft", "list", "tables"])).stdout, "", `${pod.namespace}/${pod.name}`);
  await pod.remove();
}

async function assertRefused(mesh: MeshNode, object: JsonObject): Promise<void> {
  await assert.rejects(
    mesh.startPod(object),
    (error) =>
      error instanceof CriError &&
      /Cannot set up the pod's redirection: the agent does not answer on .*look at the istio-cni-node pod of this node/s.test(
        error.details,
      ),
  );
}

async function assertCapturedByRules(pod: TestPod): Promise<void> {
  assert.match((await readRules(pod)).v4, /-A PREROUTING -p tcp -j ISTIO_INBOUND/, pod.name);
}
