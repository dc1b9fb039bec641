// Off the node again: by `install-cni uninstall`, without API server, with and without an agent, while pods start; and by the
// agent itself where its end is proven to be the end of all.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import type { JsonObject } from "../../testbed/api-server/kube-object.ts";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import { renderPodNetwork } from "../../testbed/node/node-network.ts";
import { AGENT_DAEMON_SET, untilDaemonSetSeen } from "./agent-daemonset.ts";
import { eventually, readRules } from "./captured-pods.ts";

enterNodeNamespaces();

const CONFLIST = renderPodNetwork("v4", "1.0.0");
const RUN_DIR = "/run/istio-cni";
const KUBECONFIG = "apiVersion: v1\ncurrent-context: istio-cni-context\nkind: Config\n";

let mesh: MeshNode;
let pods = 0;
before(async () => {
  mesh = await createMeshNode({ families: "v4" });
});
after(() => mesh.destroy());

async function startPlainPod(): Promise<void> {
  pods += 1;
  const pod = await mesh.startPod(plainPod({ ...NEW_POD, name: `plain-${pods}` }));
  await pod.remove();
}

async function uninstall(...args: string[]): Promise<{ status: number; lines: readonly string[] }> {
  const command = await mesh.launchAgent({ args: ["uninstall", ...args] });
  return { status: await command.exited, lines: command.log };
}

function leftOnNode(): string[] {
  const { cniBinDir, cniConfDir } = mesh.node;
  const folders = [cniBinDir, cniConfDir, RUN_DIR].filter((folder) => existsSync(folder));
  return folders.flatMap((folder) =>
    readdirSync(folder)
      .map((name) => join(folder, name))
      .filter((path) => path.startsWith(RUN_DIR) || path.includes("istio")),
  );
}

function assertRemoved(): void {
  assert.equal(readFileSync(mesh.node.conflistPath, "utf8"), CONFLIST);
  assert.deepEqual(leftOnNode(), []);
}

function assertInstalled(): void {
  assert.match(readFileSync(mesh.node.conflistPath, "utf8"), /"istio-cni"/);
  assert.ok(existsSync(join(mesh.node.cniBinDir, "istio-cni")));
}

describe("install-cni uninstall", { concurrency: false }, () => {
  test("gives the node back to the byte when agent and API server are gone, and finds nothing the second time", async () => {
    const agent = await mesh.startAgent();
    const captured = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "captured" }));
    const rules = await readRules(captured);
    await agent.stop();
    assertInstalled();
    writeFileSync(join(RUN_DIR, "istio-cni-kubeconfig"), KUBECONFIG);
    writeFileSync(join(mesh.node.cniConfDir, "ZZZ-istio-cni-kubeconfig"), KUBECONFIG);
    mesh.api.fault({}, { kind: "never-answer" });
    const first = await uninstall();
    assert.equal(first.status, 0, first.lines.join("\n"));
    assertRemoved();
    assert.match(first.lines[0] ?? "", /^Took our entry out of \/host\/etc\/cni\/net\.d\//);
    assert.equal(first.lines.at(-1), "istio-cni is removed from this node");
    const second = await uninstall();
    assert.deepEqual([second.status, second.lines], [0, ["There is nothing of istio-cni on this node"]]);
    mesh.api.clearFaults();
    const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "after-removal" }));
    await pod.remove();
    // A sidecar goes on to serve its pod for as long as that lives, with us or without.
    assert.match(rules.v4, /ISTIO_REDIRECT/);
    assert.deepEqual(await readRules(captured), rules);
    await captured.remove();
  });

  test("tells programs in JSON what was done, kept and failed", async () => {
    const { status, lines } = await uninstall("--output", "json");
    assert.equal(status, 0);
    assert.deepEqual(JSON.parse(lines.join("\n")), { isDone: true, done: [], kept: [], failed: [] });
  });

  test("takes a running agent off too, while pods start all the time, and the next agent installs again", async () => {
    const agent = await mesh.startAgent();
    let isOver = false;
    let started = 0;
    const starting = (async () => {
      for (; !isOver; started++) await startPlainPod();
    })();
    await eventually(
      () => started > 0,
      () => "no pod has started",
    );
    const { status, lines } = await uninstall();
    await eventually(
      async () => (await agent.get(8000, "/readyz")).text.includes("taken off this node by install-cni uninstall"),
      () => agent.log.slice(-5).join("\n"),
    );
    isOver = true;
    await starting;
    assert.ok(started > 1);
    assert.equal(status, 0, lines.join("\n"));
    assert.equal(readFileSync(mesh.node.conflistPath, "utf8"), CONFLIST);
    assert.equal(existsSync(join(mesh.node.cniBinDir, "istio-cni")), false);
    await agent.stop();
    const next = await mesh.startAgent();
    assertInstalled();
    await next.stop();
  });

  test("refuses what it does not know, and changes nothing then", async () => {
    const { status, lines } = await uninstall("--everything");
    assert.equal(status, 2, lines.join("\n"));
    assertInstalled();
  });
});

describe("the agent at SIGTERM", { concurrency: false }, () => {
  afterEach(() => {
    mesh.api.clearFaults();
    mesh.api.remove("daemonsets", "istio-system/istio-cni-node");
  });

  async function agentThatSawItsDaemonSet(daemonSet: JsonObject = AGENT_DAEMON_SET): Promise<TestAgent> {
    mesh.api.put(daemonSet);
    mesh.api.clearRequests();
    const agent = await mesh.startAgent();
    await untilDaemonSetSeen(mesh.api, agent);
    return agent;
  }

  test("leaves nothing on the node when its DaemonSet is gone", async () => {
    const agent = await agentThatSawItsDaemonSet();
    mesh.api.remove("daemonsets", "istio-system/istio-cni-node");
    assert.equal(await agent.stop(), 0);
    assertRemoved();
    assert.ok(
      agent.log.some((line) => line.includes("Removing plugin and configuration")),
      agent.log.join("\n"),
    );
    await startPlainPod();
  });

  test("leaves nothing on the node when install-cni uninstall --all-nodes deletes its DaemonSet, which ends with the agents", async () => {
    // What the garbage collector of a cluster does to an object that is deleted in the foreground.
    const metadata = { namespace: "istio-system", name: "istio-cni-node", finalizers: ["foregroundDeletion"] };
    const agent = await agentThatSawItsDaemonSet({ ...AGENT_DAEMON_SET, metadata });
    const command = await mesh.launchAgent({ args: ["uninstall", "--all-nodes"] });
    await mesh.api.waitFor((api) => api.requests({ verb: "delete" }).length > 0, "the DaemonSet to be deleted");
    assert.equal(await agent.stop(), 0);
    assertRemoved();
    mesh.api.remove("daemonsets", "istio-system/istio-cni-node");
    assert.equal(await command.exited, 0, command.log.join("\n"));
    assert.deepEqual(command.log, ["Deleted the DaemonSet istio-cni-node, and every agent has ended"]);
    const again = await mesh.launchAgent({ args: ["uninstall", "--all-nodes", "--output=json"] });
    assert.equal(await again.exited, 0);
    const { isDone, result } = JSON.parse(again.log.join("\n"));
    assert.deepEqual([isDone, result], [true, "absent"]);
  });

  test("is not asked for by install-cni uninstall --all-nodes without the right: that tells what is missing", async () => {
    const agent = await agentThatSawItsDaemonSet();
    mesh.api.fault({ verb: "delete" }, { kind: "status", code: 403 });
    const command = await mesh.launchAgent({ args: ["uninstall", "--all-nodes"] });
    assert.equal(await command.exited, 1);
    assert.match(command.log.join("\n"), /^Cannot end the agents: .*403/);
    assert.equal(await agent.stop(), 0);
    assertInstalled();
  });

  for (const [what, act] of [
    ["is there: an upgrade", () => undefined],
    ["may not be seen any more", () => mesh.api.fault({ resource: "daemonsets" }, { kind: "status", code: 403 })],
    ["is asked for with a token nobody knows", () => mesh.api.fault({}, { kind: "status", code: 401 })],
    ["cannot be asked for", () => mesh.api.fault({}, { kind: "never-answer" })],
  ] as const) {
    test(`leaves everything in place when its DaemonSet ${what}`, async () => {
      const agent = await agentThatSawItsDaemonSet();
      act();
      assert.equal(await agent.stop(), 0);
      assertInstalled();
    });
  }

  test("leaves everything in place when it never saw a DaemonSet: it may have another name", async () => {
    const agent = await mesh.startAgent();
    assert.equal(await agent.stop(), 0);
    assertInstalled();
  });

  test("leaves nothing in ambient mode where AMBIENT_DISABLE_SAFE_UPGRADE asks for that at every end", async () => {
    // Not ready without a ztunnel.
    const agent = await mesh.launchAgent({ ambient: true, env: { AMBIENT_DISABLE_SAFE_UPGRADE: "true" } });
    await agent.waitForLine((line) => line.includes("valid Istio config present"));
    assert.equal(await agent.stop(), 0, agent.log.slice(-10).join("\n"));
    assertRemoved();
  });
});
