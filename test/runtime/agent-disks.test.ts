// The host's folders on disks that are full or read-only, by the kernel's own answers: the agent says so, keeps what was there,
// leaves nothing half written, and goes on when there is room. A plugin folder that is read-only from the first is in
// upstream-in-turn.test.ts.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { mustRun } from "../../testbed/node/command.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode } from "../../testbed/node/mesh-node.ts";
import { renderPodNetwork } from "../../testbed/node/node-network.ts";
import { assertAlive, eventually } from "./captured-pods.ts";

enterNodeNamespaces();

const PODS = renderPodNetwork("v4", "1.0.0");

describe("the agent on", () => {
  let mesh: MeshNode;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
  });
  after(() => mesh.destroy());

  /** Until /readyz has these words, or none with `undefined`. */
  async function untilReadiness(agent: TestAgent, words: RegExp | undefined): Promise<void> {
    let text = "";
    await eventually(
      async () => {
        // Nobody listens at first.
        const answer = await agent.get(8000, "/readyz").catch(() => undefined);
        if (answer === undefined) return false;
        text = answer.text;
        return words === undefined ? text === "" : words.test(text);
      },
      () => `${text}\n${agent.log.slice(-10).join("\n")}`,
    );
    assertAlive(agent);
  }

  type Launch = MeshNode["launchAgent"];

  async function onTmpfs(folder: string, options: string, work: (launch: Launch) => Promise<void>): Promise<void> {
    const agents: TestAgent[] = [];
    await mustRun(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]);
    try {
      await work(async (agentOptions) => {
        const agent = await mesh.launchAgent(agentOptions);
        agents.push(agent);
        return agent;
      });
    } finally {
      for (const agent of agents) await agent.kill();
      await mustRun(["umount", folder]);
    }
  }

  test("a full disk for plugins names none in the conflist, and installs once there is room", async () => {
    const { cniBinDir, conflistPath } = mesh.node;
    await onTmpfs(cniBinDir, "size=8k", async (launch) => {
      const agent = await launch();
      await untilReadiness(agent, /cannot copy the plugin to .*the file system is full/);
      assert.equal(readFileSync(conflistPath, "utf8"), PODS);
      assert.deepEqual(readdirSync(cniBinDir), []);
      const { text } = await agent.get(15014, "/metrics");
      assert.match(text, /^istio_cni_installs_total\{result="COPY_BINARIES_FAILURE"\} [1-9]/m);
      await mustRun(["mount", "-o", "remount,size=1m", cniBinDir]);
      await untilReadiness(agent, undefined);
      assert.match(readFileSync(conflistPath, "utf8"), /"istio-cni"/);
      assert.deepEqual(readdirSync(cniBinDir), ["istio-cni"]);
    });
  });

  test("a full disk for configuration leaves the primary file as it is, and is chained once there is room", async () => {
    const { cniConfDir, conflistPath } = mesh.node;
    await onTmpfs(cniConfDir, "size=8k", async (launch) => {
      writeFileSync(conflistPath, PODS);
      const filler = join(cniConfDir, "filler");
      writeFileSync(filler, "x");
      const agent = await launch();
      await untilReadiness(agent, /cannot change .*the file system is full/);
      assert.equal(readFileSync(conflistPath, "utf8"), PODS);
      assert.deepEqual(readdirSync(cniConfDir).toSorted(), [basename(conflistPath), "filler"]);
      rmSync(filler);
      await untilReadiness(agent, undefined);
      assert.match(readFileSync(conflistPath, "utf8"), /"istio-cni"/);
    });
  });

  test("a read-only disk for configuration keeps the entry of the agent before it, and the next one that may brings it up to date", async () => {
    const { cniConfDir, conflistPath } = mesh.node;
    await onTmpfs(cniConfDir, "size=1m", async (launch) => {
      writeFileSync(conflistPath, PODS);
      const first = await launch();
      await untilReadiness(first, undefined);
      await first.stop();
      const entry = readFileSync(conflistPath, "utf8");
      await mustRun(["mount", "-o", "remount,ro", cniConfDir]);
      const env = { EXCLUDE_NAMESPACES: "kube-system,other" };
      const next = await launch({ env });
      await untilReadiness(next, /cannot change .*read-only/i);
      assert.equal(readFileSync(conflistPath, "utf8"), entry);
      await mustRun(["mount", "-o", "remount,rw", cniConfDir]);
      // A container keeps the mount as it got it.
      await next.stop();
      await untilReadiness(await launch({ env }), undefined);
      assert.match(readFileSync(conflistPath, "utf8"), /"other"/);
    });
  });

  test("a run directory that is full and whose socket somebody removed: an agent that cannot be asked is not ready", async () => {
    const folder = "/run/istio-cni";
    await onTmpfs(folder, "nr_inodes=100", async (launch) => {
      const agent = await launch();
      await untilReadiness(agent, undefined);
      const fillers = fill(folder);
      const socket = join(folder, "plugin.sock");
      rmSync(socket);
      fillers.push(...fill(folder));
      await untilReadiness(agent, /plugin-socket: .*ENOSPC/);
      const said = () => agent.log.filter((line) => /Cannot listen on the plugin socket/.test(line)).length;
      await eventually(
        () => said() === 1,
        () => agent.log.join("\n"),
      );
      for (const filler of fillers) rmSync(filler);
      await untilReadiness(agent, undefined);
      assert.ok(existsSync(socket));
    });
  });
});

/** Files until there is room for none. */
function fill(folder: string): string[] {
  const made: string[] = [];
  try {
    for (;;) {
      const path = join(folder, `filler-${randomUUID()}`);
      writeFileSync(path, "");
      made.push(path);
    }
  } catch (error) {
    assert.match(String(error), /ENOSPC/);
    return made;
  }
}
