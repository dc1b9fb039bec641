// The compiled plugin against the agent's own server: both halves of the contract in one room.
import assert from "node:assert/strict";
import { fstatSync, statSync } from "node:fs";
import { test } from "node:test";
import type { PluginRequest } from "../../src/core/plugin-protocol/request.ts";
import { ADD_ENVIRONMENT, BUILDS, cniErrorOf, netconf, pluginPath, runPlugin, temporaryFolder } from "./run-plugin.ts";
import { serve } from "./server-rig.ts";

for (const build of BUILDS) pluginPath(build);

for (const build of BUILDS) {
  test(`the ${build} plugin and the agent's server understand each other, 50 at once`, async () => {
    const own = statSync("/proc/self/ns/net");
    const containers = new Set<string>();
    await using agent = await serve(async (request, netnsFd) => {
      containers.add(request.containerId);
      assert.deepEqual([fstatSync(netnsFd ?? -1).ino, request.command], [own.ino, "ADD"]);
      return { exitCode: 0 };
    });
    const prevResult = { cniVersion: "1.0.0", ips: [{ address: "10.0.0.1/24" }] };
    const stdin = netconf({ cni_agent_run_dir: agent.runDir, prevResult, agent_wait_ms: 10_000 });
    const runs = await Promise.all(
      Array.from({ length: 50 }, (_, i) => runPlugin(build, { ...ADD_ENVIRONMENT, CNI_CONTAINERID: `c${i}` }, stdin)),
    );
    for (const run of runs) assert.deepEqual([run.exitCode, run.stdout.toString()], [0, JSON.stringify(prevResult)]);
    assert.equal(containers.size, 50);
  });

  test(`the ${build} plugin prints what the agent's server refuses with, and its DEL arrives`, async () => {
    const gone = Promise.withResolvers<PluginRequest>();
    await using agent = await serve(async (request, netnsFd) => {
      if (request.command === "DEL") {
        assert.equal(netnsFd, undefined);
        gone.resolve(request);
        return { exitCode: 0 };
      }
      return {
        exitCode: 1,
        stdout: '{"cniVersion":"1.0.0","code":11,"msg":"not yet"}',
        logLine: "waiting for the pod",
      };
    });
    const stdin = netconf({ cni_agent_run_dir: agent.runDir, agent_wait_ms: 10_000 });
    const refused = await runPlugin(build, ADD_ENVIRONMENT, stdin);
    assert.deepEqual(cniErrorOf(refused), { cniVersion: "1.0.0", code: 11, msg: "not yet" });
    assert.match(refused.stderr, /"msg":"waiting for the pod","namespace":"shop","pod":"cart"/);
    const del = await runPlugin(build, { ...ADD_ENVIRONMENT, CNI_COMMAND: "DEL" }, stdin);
    assert.deepEqual([del.exitCode, del.stdout.toString()], [0, ""]);
    assert.equal((await gone.promise).containerId, ADD_ENVIRONMENT.CNI_CONTAINERID);
  });

  test(`the ${build} plugin that waits for an agent which is stopped is answered by its successor`, async () => {
    using folder = temporaryFolder();
    const asked = Promise.withResolvers<void>();
    const first = await serve(
      async (_request, _netnsFd, signal) => {
        asked.resolve();
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
        return { exitCode: 1, stdout: "{}" };
      },
      { runDir: folder.path },
    );
    const running = runPlugin(
      build,
      ADD_ENVIRONMENT,
      netconf({ cni_agent_run_dir: folder.path, agent_wait_ms: 20_000 }),
    );
    await asked.promise;
    await first[Symbol.asyncDispose]();
    await using _second = await serve(async () => ({ exitCode: 0 }), { runDir: folder.path });
    assert.equal((await running).exitCode, 0);
  });
}
