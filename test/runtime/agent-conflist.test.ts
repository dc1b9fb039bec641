// The conflist belongs to others too: whatever they do to it while the agent runs, the agent stays and heals it, and the
// next pod of the mesh is captured.
import assert from "node:assert/strict";
import {
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { askOverUnix } from "../../src/platform/http/unix-client.ts";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import { renderPodNetwork } from "../../testbed/node/node-network.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { assertAlive, assertCaptured, eventually } from "./captured-pods.ts";

enterNodeNamespaces();

const PODS = renderPodNetwork("v4", "1.0.0");

describe("the agent heals the conflist", () => {
  let mesh: MeshNode;
  let agent: TestAgent;
  let peer: TestPod;
  let path: string;
  let pods = 0;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
    path = mesh.node.conflistPath;
    // The agent's own pod, which Events on the node's files are about.
    const own = { name: "istio-cni-node-agent-1", namespace: "istio-system", nodeName: "testbed-node" };
    mesh.api.put(plainPod({ ...own, podIps: [], phase: "Running" }));
    agent = await mesh.startAgent({ args: ["--log_output_level=debug"] });
    peer = await mesh.startPod(plainPod({ ...NEW_POD, name: "peer" }));
  });
  after(() => mesh.destroy());

  async function assertHealed(): Promise<void> {
    await mesh.node.waitForChained();
    pods += 1;
    const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: `after-${pods}` }));
    await assertCaptured(mesh.node, pod, peer, [4]);
    await pod.remove();
    await untilReadiness(200);
    assertAlive(agent);
  }

  async function untilReadiness(wanted: number): Promise<void> {
    let seen = 0;
    await eventually(
      async () => {
        seen = (await agent.get(8000, "/readyz")).status;
        return seen === wanted;
      },
      () => `/readyz says ${seen} instead of ${wanted}\n${agent.log.slice(-10).join("\n")}`,
    );
  }

  test("when its owner writes it anew in place", async () => {
    writeFileSync(path, PODS);
    await assertHealed();
  });

  test("when its owner exchanges it by rename", async () => {
    writeFileSync(`${path}.new`, PODS);
    renameSync(`${path}.new`, path);
    await assertHealed();
  });

  test("when its owner adds a plugin, which stays", async () => {
    const conflist: { plugins: object[] } = JSON.parse(PODS);
    conflist.plugins.push({ type: "portmap", capabilities: { portMappings: true }, snat: false });
    writeFileSync(path, JSON.stringify(conflist));
    await assertHealed();
    const { plugins } = JSON.parse(readFileSync(path, "utf8"));
    assert.deepEqual(plugins[2], { type: "portmap", capabilities: { portMappings: true }, snat: false });
  });

  test("when it is deleted, once its owner has written it again", async () => {
    unlinkSync(path);
    await untilReadiness(503);
    assertAlive(agent);
    writeFileSync(path, PODS);
    await assertHealed();
  });

  test("when it is written in two halves", async () => {
    writeFileSync(path, PODS.slice(0, PODS.length / 2));
    await untilReadiness(503);
    assert.equal(readFileSync(path, "utf8"), PODS.slice(0, PODS.length / 2), "half a file is not touched");
    writeFileSync(path, PODS);
    await assertHealed();
  });

  test("when it is empty for a while", async () => {
    writeFileSync(path, "");
    await untilReadiness(503);
    writeFileSync(path, PODS);
    await assertHealed();
  });

  test("when it has no plugins for a while", async () => {
    writeFileSync(path, JSON.stringify({ cniVersion: "1.0.0", name: "testbed", plugins: [] }));
    await untilReadiness(503);
    writeFileSync(path, PODS);
    await assertHealed();
  });

  test("when a directory lies in its place for a while", async () => {
    unlinkSync(path);
    mkdirSync(path);
    await untilReadiness(503);
    assertAlive(agent);
    rmdirSync(path);
    writeFileSync(path, PODS);
    await assertHealed();
  });

  test("when it becomes a symbolic link", async () => {
    const target = `${path}.vendor`;
    writeFileSync(target, PODS);
    symlinkSync(basename(target), `${path}.link`);
    renameSync(`${path}.link`, path);
    await assertHealed();
    rmSync(path);
    rmSync(target);
    writeFileSync(path, PODS);
    await assertHealed();
  });

  test("when a file of higher priority appears, and when it goes", async () => {
    const first = join(mesh.node.cniConfDir, "00-first.conflist");
    writeFileSync(first, PODS);
    await assertHealed();
    assert.equal(await mesh.node.runtime.cri.networkSource(), readFileSync(first, "utf8"));
    unlinkSync(first);
    await assertHealed();
  });

  // containerd takes no file at all while the first one is not valid: pods wait for the file, not for the agent.
  test("when a file of higher priority is not valid, once it is gone", async () => {
    const broken = join(mesh.node.cniConfDir, "00-broken.conflist");
    // It waits for this one, in case somebody is still writing it, and says so; then it goes by the next.
    const seen = agent.log.length;
    writeFileSync(broken, "{");
    await eventually(
      () => agent.log.slice(seen).some((line) => /Not ready: install: .*00-broken\.conflist comes first/.test(line)),
      () => agent.log.slice(seen).join("\n"),
    );
    await untilReadiness(200);
    assert.equal(readFileSync(broken, "utf8"), "{");
    unlinkSync(broken);
    await assertHealed();
  });

  test("and the plugin, when it is deleted or replaced", async () => {
    const plugin = join(mesh.node.cniBinDir, "istio-cni");
    const ours = readFileSync(plugin);
    for (const spoil of [() => unlinkSync(plugin), () => writeFileSync(plugin, "#!/bin/sh\nexit 1\n")]) {
      spoil();
      await eventually(
        () => isSame(plugin, ours),
        () => "the plugin is not put back",
      );
      await assertHealed();
    }
  });

  test("however often somebody takes the plugin out of it, and says so once", async () => {
    const warnings = () => agent.log.filter((line) => line.includes("Another writer keeps taking our entry out"));
    // The tests above count as well; seven in a row are enough.
    for (let times = 0; times < 7 && warnings().length === 0; times += 1) {
      writeFileSync(path, PODS);
      await mesh.node.waitForChained();
    }
    writeFileSync(path, PODS);
    await assertHealed();
    await agent.waitForLine((line) => warnings().includes(line));
    assert.equal(warnings().length, 1);
    const isTold = (): boolean =>
      mesh.api
        .list("events")
        .some(
          ({ reason, message, involvedObject }) =>
            reason === "ConflistFight" &&
            JSON.stringify(involvedObject).includes("istio-cni-node-agent-1") &&
            String(message).includes("(bridge)"),
        );
    await mesh.api.waitFor(isTold, "the Event on the agent's pod");
    assert.match((await agent.get(15014, "/metrics")).text, /^istio_cni_agent_conflist_fight 1$/m);
    const status = await askOverUnix("/run/istio-cni/admin.sock", "/status", { timeoutMs: 10_000, maxBytes: 1 << 20 });
    assert.partialDeepStrictEqual(JSON.parse(status.body), {
      install: {
        state: "installed",
        fight: { conf: basename(path), writer: `the writer of ${basename(path)} (bridge)`, policy: "keep" },
      },
    });
  });
});

function isSame(path: string, bytes: Uint8Array): boolean {
  try {
    return readFileSync(path).equals(bytes);
  } catch {
    return false;
  }
}
