// What becomes of pods that start while the API server answers wrongly, late or not at all, request by request as measured
// of upstream's plugin (docs/differences.md, "At ADD"). The watch is silenced, so that the agent has to ask for new pods.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import type { FaultMatch } from "../../testbed/api-server/faults.ts";
import type { JsonObject } from "../../testbed/api-server/kube-object.ts";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { CriError } from "../../testbed/node/cri-error.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD, podSpecOf } from "../../testbed/node/mesh-node.ts";
import { callInstalledPlugin, readPluginInput } from "../../testbed/node/plugin-run.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { LASTING_ANSWERS, PASSING_ANSWERS } from "./api-answers.ts";
import { assertAlive, readGolden, readRules } from "./captured-pods.ts";

enterNodeNamespaces();

const WATCH: FaultMatch = { verb: "watch", resource: "pods" };
const GET: FaultMatch = { verb: "get", resource: "pods" };
const OWN_POD = { ...NEW_POD, name: "istio-cni-node-x7k2p", namespace: "istio-system" };

describe("while the API server", () => {
  let mesh: MeshNode;
  let agent: TestAgent;
  let peer: TestPod;
  let pods = 0;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
  });
  after(() => mesh.destroy());
  afterEach(async () => {
    mesh.api.clearFaults();
    await mesh.api.start();
    await watchBegins(() => mesh.api.closeWatches("end"));
  });

  const watchCount = () => mesh.api.requests({ verb: "watch", resource: "pods" }).length;

  async function watchBegins(disturb: () => void): Promise<void> {
    const before = watchCount();
    disturb();
    await mesh.api.waitFor(() => watchCount() > before, "a watch");
  }

  const silenceWatch = (): Promise<void> =>
    watchBegins(() => {
      mesh.api.fault(WATCH, { kind: "silent-watch" });
      mesh.api.closeWatches("end");
    });

  function nextSidecar(name: string): ReturnType<typeof sidecarPod> {
    pods += 1;
    return sidecarPod({ ...NEW_POD, name: `${name}-${pods}` });
  }

  describe("for longer than the plugin may wait", () => {
    before(async () => {
      agent = await mesh.startAgent({ env: { PLUGIN_AGENT_WAIT: "4s" } });
      peer = await mesh.startPod(plainPod({ ...NEW_POD, name: "peer" }));
    });
    after(() => agent.stop());

    for (const [what, { fault, says }] of Object.entries(LASTING_ANSWERS)) {
      test(`${what}: known and plain pods start, others are refused with the reason`, async () => {
        const known = mesh.api.put(nextSidecar("known"));
        // The watch shows pods in order: it has shown that one when it has shown the next.
        const shown = await mesh.startPod(nextSidecar("shown"));
        await silenceWatch();
        const unseen = nextSidecar("unseen");
        if (fault === "stopped") await mesh.api.stop();
        else {
          mesh.api.fault(GET, fault);
          mesh.api.put(unseen);
        }

        await assert.rejects(
          mesh.node.runPod(podSpecOf(unseen)),
          (error) =>
            error instanceof CriError &&
            error.details.includes(`Cannot decide on pod shop/${unseen.metadata.name}: `) &&
            says.test(error.details),
        );
        assert.equal(await codeOfAdd(shown, unseen), 11);

        const captured = await mesh.node.runPod(podSpecOf(known));
        assert.equal((await readRules(captured)).v4, readGolden("v4"));
        await captured.remove();
        await assertStartsOutside(plainPod({ ...NEW_POD, name: "plain" }));
        await assertStartsOutside(sidecarPod({ ...NEW_POD, name: "excluded", namespace: "kube-system" }));
        await assertStartsOutside(sidecarPod(OWN_POD));
        assert.equal((await agent.get(8000, "/readyz")).status, 200);
        assertAlive(agent);
        await shown.remove();
      });
    }
  });

  describe("for less than that,", () => {
    before(async () => {
      agent = await mesh.startAgent();
    });
    after(() => agent.stop());

    for (const [what, { action, times }] of Object.entries(PASSING_ANSWERS)) {
      test(`${what}: a pod of the mesh starts, and captured`, async () => {
        await silenceWatch();
        const fault = mesh.api.fault(GET, action, times);
        const pod = await mesh.startPod(nextSidecar("late"));
        assert.equal((await readRules(pod)).v4, readGolden("v4"));
        assert.equal(fault.hits(), times);
        await pod.remove();
      });
    }
  });

  /** Calls the plugin as for `template`, but for another pod, in the namespace of one that is outside the mesh. */
  async function codeOfAdd(template: TestPod, object: ReturnType<typeof sidecarPod>): Promise<unknown> {
    const { netconf, args } = readPluginInput(mesh.node, template);
    const { name, uid } = object.metadata;
    const environment = {
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: `by-hand-${pods}`,
      CNI_NETNS: peer.netnsPath,
      CNI_IFNAME: "eth0",
      CNI_PATH: mesh.node.cniBinDir,
      CNI_ARGS: args.replace(template.name, name).replace(template.uid, uid ?? ""),
    };
    const { status, stdout } = await callInstalledPlugin(mesh.node, environment, netconf);
    assert.equal(status, 1, stdout);
    const error: { code: unknown } = JSON.parse(stdout);
    assert.deepEqual(await readRules(peer), { v4: "", v6: "" });
    return error.code;
  }

  /** Nobody asks the API for it, so it does not matter whether it is there. */
  async function assertStartsOutside(object: JsonObject): Promise<void> {
    const pod = await mesh.startPod(object);
    assert.equal((await pod.exec(["nft", "list", "tables"])).stdout, "", pod.name);
    await pod.remove();
  }
});
