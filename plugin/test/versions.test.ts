// The two halves of an upgrade: a plugin of the contract's next version, made from this one's source, against the agent's
// server as it is; and a plugin that knows less than the server does.
import assert from "node:assert/strict";
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeFrame, FRAME_REQUEST } from "../../src/core/plugin-protocol/frame.ts";
import { renderPluginState, STATE_FILE_NAME } from "../../src/core/plugin-protocol/state-file.ts";
import { mustRun } from "../../testbed/node/command.ts";
import { ADD_ENVIRONMENT, cniErrorOf, netconf, ROOT, runPlugin, temporaryFolder } from "./run-plugin.ts";
import { readAnswer, serve } from "./server-rig.ts";

/** The plugin's source with the next version number, built into the folder. */
async function buildNextPlugin(folder: string): Promise<string> {
  const source = join(ROOT, "plugin/src");
  for (const name of readdirSync(source)) copyFileSync(join(source, name), join(folder, name));
  const header = readFileSync(join(folder, "frame.h"), "utf8");
  assert.match(header, /#define FRAME_VERSION 1\n/);
  writeFileSync(join(folder, "frame.h"), header.replace("#define FRAME_VERSION 1\n", "#define FRAME_VERSION 2\n"));
  const sources = readdirSync(folder).filter((name) => name.endsWith(".c"));
  const plugin = join(folder, "istio-cni");
  const flags = ["-std=c11", "-D_GNU_SOURCE", "-O1", '-DPLUGIN_VERSION="9.9.9"'];
  await mustRun(["gcc", ...flags, "-o", plugin, ...sources.map((name) => join(folder, name))], { timeoutMs: 60_000 });
  return plugin;
}

test("a new plugin is told the old agent's version, says both, and falls back on the state file", async () => {
  using folder = temporaryFolder();
  const plugin = await buildNextPlugin(folder.path);
  await using rig = await serve(() => assert.fail("not to be handled"));
  const stdin = netconf({ cni_agent_run_dir: rig.runDir });
  const refused = cniErrorOf(await runPlugin("shipped", ADD_ENVIRONMENT, stdin, 30_000, plugin));
  assert.equal(refused.code, 11);
  assert.match(refused.msg, /the plugin speaks version 2 of the socket contract and the agent at most version 1$/);
  const state = { mode: "sidecar", whenAway: "strict", excludedNamespaces: ["shop"], enrollment: undefined } as const;
  writeFileSync(join(rig.runDir, STATE_FILE_NAME), renderPluginState(state), { mode: 0o600 });
  assert.equal((await runPlugin("shipped", ADD_ENVIRONMENT, stdin, 30_000, plugin)).exitCode, 0);
  for (const command of ["DEL", "CHECK"]) {
    const run = await runPlugin("shipped", { ...ADD_ENVIRONMENT, CNI_COMMAND: command }, stdin, 30_000, plugin);
    assert.deepEqual([run.exitCode, run.stdout.toString()], [0, ""], command);
  }
});

test("an old plugin that sends fewer keys, and a newer one of the same version that sends more, are served", async () => {
  await using rig = await serve(async ({ containerId, args, remainingMs }) => ({
    exitCode: 0,
    stdout: JSON.stringify({ containerId, args, remainingMs: remainingMs ?? null }),
  }));
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  const few: [number, Uint8Array][] = [
    [1, bytes("ADD")],
    [2, bytes("c1")],
  ];
  const more: [number, Uint8Array][] = [
    ...few,
    [9, bytes("30000")],
    [10, bytes("later")],
    [60_000, new Uint8Array(500)],
  ];
  for (const [fields, remainingMs] of [
    [few, null],
    [more, 30_000],
  ] as const) {
    using client = rig.connect();
    client.send(encodeFrame(FRAME_REQUEST, new Map(fields)));
    const stdout = (await readAnswer(client))?.fields.get(2) ?? "";
    assert.deepEqual(JSON.parse(stdout), { containerId: "c1", args: "", remainingMs });
  }
});
