// The compiled plugin against the agent's own server: both halves of the contract in one room.
import assert from "node:assert/strict";
import { closeSync, fstatSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  PLUGIN_SERVER_DEFAULTS,
  type PluginServerDeps,
  servePlugins,
} from "../../src/agent/plugin-api/plugin-server.ts";
import type { Logger } from "../../src/core/log.ts";
import type { PluginRequest } from "../../src/core/plugin-protocol/request.ts";
import { createPoller } from "../../src/platform/linux/poller.ts";
import { SOCK_STREAM } from "../../src/platform/linux/socket-numbers.ts";
import { listenUnix } from "../../src/platform/linux/unix-socket.ts";
import { ADD_ENVIRONMENT, BUILDS, cniErrorOf, netconf, pluginPath, runPlugin, temporaryFolder } from "./run-plugin.ts";

for (const build of BUILDS) pluginPath(build);

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, scope: () => silent };

interface Agent extends AsyncDisposable {
  readonly runDir: string;
}

function startAgent(handle: PluginServerDeps["handle"], runDir: string): Agent {
  const poller = createPoller((error) => assert.fail(String(error)));
  const stopping = new AbortController();
  const running = servePlugins(
    {
      poller,
      log: silent,
      listen: () => listenUnix(join(runDir, "plugin.sock"), SOCK_STREAM, { mode: 0o600, backlog: 1024 }),
      closeDescriptor: closeSync,
      handle,
    },
    { ...PLUGIN_SERVER_DEFAULTS, allowedUids: [process.getuid?.() ?? 0] },
    stopping.signal,
  );
  return {
    runDir,
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await running;
      await poller.close();
    },
  };
}

for (const build of BUILDS) {
  test(`the ${build} plugin and the agent's server understand each other, 50 at once`, async () => {
    using folder = temporaryFolder();
    const own = statSync("/proc/self/ns/net");
    const containers = new Set<string>();
    await using agent = startAgent(async (request, netnsFd) => {
      containers.add(request.containerId);
      assert.deepEqual([fstatSync(netnsFd ?? -1).ino, request.command], [own.ino, "ADD"]);
      return { exitCode: 0 };
    }, folder.path);
    const prevResult = { cniVersion: "1.0.0", ips: [{ address: "10.0.0.1/24" }] };
    const stdin = netconf({ cni_agent_run_dir: agent.runDir, prevResult, agent_wait_ms: 10_000 });
    const runs = await Promise.all(
      Array.from({ length: 50 }, (_, i) => runPlugin(build, { ...ADD_ENVIRONMENT, CNI_CONTAINERID: `c${i}` }, stdin)),
    );
    for (const run of runs) assert.deepEqual([run.exitCode, run.stdout.toString()], [0, JSON.stringify(prevResult)]);
    assert.equal(containers.size, 50);
  });

  test(`the ${build} plugin prints what the agent's server refuses with, and its DEL arrives`, async () => {
    using folder = temporaryFolder();
    const gone = Promise.withResolvers<PluginRequest>();
    await using agent = startAgent(async (request, netnsFd) => {
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
    }, folder.path);
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
    const first = startAgent(async (_request, _netnsFd, signal) => {
      asked.resolve();
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      return { exitCode: 1, stdout: "{}" };
    }, folder.path);
    const running = runPlugin(
      build,
      ADD_ENVIRONMENT,
      netconf({ cni_agent_run_dir: folder.path, agent_wait_ms: 20_000 }),
    );
    await asked.promise;
    await first[Symbol.asyncDispose]();
    await using _second = startAgent(async () => ({ exitCode: 0 }), folder.path);
    assert.equal((await running).exitCode, 0);
  });
}
