// The installer is killed at each system call with which it changes the host: whatever it leaves parses, names only plugins
// that are there, and with the real runtime a pod starts on it. The next run puts everything right.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { isConfFileName } from "../../src/core/cni/conflist.ts";
import { runCommand } from "../../testbed/node/command.ts";
import { compileStatic } from "../../testbed/node/compile.ts";
import { createNode, type TestNode } from "../../testbed/node/create-node.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { renderPodNetwork } from "../../testbed/node/node-network.ts";
import { REPOSITORY } from "../../testbed/node/repository.ts";
import { eventually } from "./captured-pods.ts";

const killer = compileStatic(join(import.meta.dirname, "kill-at-syscall.c"));
enterNodeNamespaces();

const LIST = renderPodNetwork("v4", "1.0.0");
const SINGLE = JSON.stringify({ cniVersion: "0.4.0", name: "testbed", ...JSON.parse(LIST).plugins[0] });
const PLUGINS = join(REPOSITORY, "out/bin");
const KILLED = 137;
/** An install makes about twenty. */
const MAX_CALLS = 100;

describe("an installer that is killed at each system call that changes the host", () => {
  let node: TestNode;
  let pods = 0;
  before(async () => {
    node = await createNode({ families: "v4" });
  });
  after(() => node.destroy());

  /** The node without us; the conflist goes last, so that the runtime never finds a plugin missing. */
  function reset(name: string, text: string): void {
    for (const other of readdirSync(node.cniConfDir)) if (other !== name) rmSync(join(node.cniConfDir, other));
    writeFileSync(join(node.cniConfDir, name), text);
    for (const file of readdirSync(node.cniBinDir))
      if (file.startsWith("istio-cni")) rmSync(join(node.cniBinDir, file));
  }

  async function run(last: number, mode: string): Promise<number> {
    const program = [process.execPath, join(import.meta.dirname, "install-once.ts")];
    const folders = [node.cniConfDir, node.cniBinDir];
    const command = [killer, ...folders, String(last), ...program, ...folders, PLUGINS, mode];
    const { status, stderr } = await runCommand(command, { timeoutMs: 60_000 });
    assert.ok(status === 0 || status === KILLED, `call ${last}: ended with ${status}: ${stderr}`);
    return status;
  }

  function confs(): Map<string, string> {
    const names = readdirSync(node.cniConfDir).filter(isConfFileName).toSorted();
    return new Map(names.map((name) => [name, readFileSync(join(node.cniConfDir, name), "utf8")]));
  }

  function assertSound(call: number): void {
    const found = confs();
    assert.ok(found.size > 0, `call ${call}: no configuration is left`);
    const there = readdirSync(node.cniBinDir);
    for (const [name, text] of found) {
      const conf: { plugins?: { type: string }[]; type?: string } = JSON.parse(text);
      const types = (conf.plugins ?? [conf]).map(({ type = "" }) => type);
      assert.deepEqual(
        types.filter((type) => !there.includes(type)),
        [],
        `call ${call}: ${name} names plugins that are not there`,
      );
    }
  }

  /** With what lies there now, not with what the runtime had read before. */
  async function assertPodStarts(call: number): Promise<void> {
    const [, first = ""] = [...confs()][0] ?? [];
    // What is no list becomes one in the runtime (libcni, ConfListFromConf).
    const isRead = (source: string): boolean =>
      source === first || (source !== "" && isDeepStrictEqual(JSON.parse(source).plugins, [JSON.parse(first)]));
    let source = "";
    await eventually(
      async () => {
        source = await node.runtime.cri.networkSource();
        return isRead(source);
      },
      () => `call ${call}: the runtime has read ${source} and not ${first}`,
    );
    pods += 1;
    const pod = await node.runPod({ name: `after-${pods}`, namespace: "shop" });
    await pod.remove();
  }

  for (const [name, text, mode] of [
    ["10-testbed.conflist", LIST, "chained"],
    ["10-testbed.conf", SINGLE, "chained"],
    ["10-testbed.conflist", LIST, "owned"],
  ] as const) {
    test(`${mode}, from ${name}: a pod starts on what it leaves, the next run mends it, and an uninstall too`, async () => {
      let calls = 0;
      for (let isKilled = true; isKilled; ) {
        calls += 1;
        assert.ok(calls < MAX_CALLS, "the installer never comes to its end");
        reset(name, text);
        isKilled = (await run(calls, mode)) === KILLED;
        assertSound(calls);
        await assertPodStarts(calls);
        if (calls % 2 === 0) await run(0, mode);
        await run(0, "uninstall");
        assert.deepEqual([...confs()], [[name, text]], `call ${calls}`);
        assert.deepEqual(
          [...readdirSync(node.cniConfDir), ...readdirSync(node.cniBinDir)].filter((file) => file.includes("istio")),
          [],
          `call ${calls}: something is left`,
        );
      }
      assert.ok(calls > 10, `only ${calls} calls were seen: the supervisor sees too little`);
    });
  }

  test("so is an uninstall: whatever it leaves is sound, a pod starts on it, and the next run ends it", async () => {
    let calls = 0;
    for (let isKilled = true; isKilled; ) {
      calls += 1;
      assert.ok(calls < MAX_CALLS, "the uninstall never comes to its end");
      reset("10-testbed.conf", SINGLE);
      await run(0, "chained");
      isKilled = (await run(calls, "uninstall")) === KILLED;
      assertSound(calls);
      await assertPodStarts(calls);
      await run(0, "uninstall");
      assert.deepEqual([...confs()], [["10-testbed.conf", SINGLE]], `call ${calls}`);
    }
    assert.ok(calls > 4, `only ${calls} calls were seen`);
  });
});
