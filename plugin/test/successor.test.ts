// The plugin's file is replaced while the plugin waits for an agent: it becomes what lies there now, once, and what that is
// given is what the runtime gave. Without a replacement, or with an agent, nothing of this happens.
import assert from "node:assert/strict";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  globSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeAnswer } from "../../src/core/plugin-protocol/request.ts";
import { until } from "../../testbed/until.ts";
import { startFakeAgent } from "./fake-agent.ts";
import {
  ADD_ENVIRONMENT,
  BUILDS,
  cniErrorOf,
  netconf,
  type PluginRun,
  pluginPath,
  runPlugin,
  temporaryFolder,
} from "./run-plugin.ts";

for (const build of BUILDS) pluginPath(build);

/** A plugin of somebody else's: keeps what it was given and answers with a result of its own. */
const OTHER = `#!/bin/sh
cat > "$0.stdin"
env > "$0.env"
grep -E '^(SigIgn|SigBlk):' /proc/self/status > "$0.signals"
ls -l /proc/$$/fd > "$0.descriptors"
echo '{"cniVersion":"1.0.0","by":"other"}'
`;

const BEYOND_STANDARD = ~0x7fff_ffffn;
const [[, OWN_IGNORED = 0n] = []] = signalsOf(readFileSync("/proc/self/status", "utf8")).slice(1);

/** The lines of blocked and ignored signals in the text of a /proc/PID/status. */
function signalsOf(text: string): readonly (readonly [name: string, mask: bigint])[] {
  return [...text.matchAll(/^(SigBlk|SigIgn):\s*([0-9a-f]+)$/gm)].map(([, name = "", mask]) => [
    name,
    BigInt(`0x${mask}`),
  ]);
}

function install(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  chmodSync(`${path}.new`, 0o755);
  renameSync(`${path}.new`, path);
}

for (const build of BUILDS) {
  const start = (path: string, stdin: string): Promise<PluginRun> =>
    runPlugin(build, { ...ADD_ENVIRONMENT, CUSTOM: "kept", PATH: "/usr/bin:/bin" }, stdin, 60_000, path);

  test(`the ${build} plugin becomes the one that has replaced it, with its environment and all of its stdin`, async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "istio-cni");
    copyFileSync(pluginPath(build), path);
    const stdin = netconf({ agent_wait_ms: 30_000, cni_agent_run_dir: folder.path, filler: "x".repeat(500_000) });
    const running = start(path, stdin);
    await untilWaiting(path);
    install(path, OTHER);
    const { exitCode, stdout, stderr } = await running;
    assert.equal(exitCode, 0, stderr);
    assert.deepEqual(JSON.parse(stdout.toString()), { cniVersion: "1.0.0", by: "other" });
    assert.equal(readFileSync(`${path}.stdin`, "utf8"), stdin);
    const env = readFileSync(`${path}.env`, "utf8");
    for (const [key, value] of Object.entries(ADD_ENVIRONMENT)) assert.ok(env.includes(`${key}=${value}\n`), env);
    assert.match(env, /^CUSTOM=kept$/m);
    // Node starts programs with every standard signal as it was at first, and leaves the others as it has inherited them.
    assert.deepEqual(signalsOf(readFileSync(`${path}.signals`, "utf8")), [
      ["SigBlk", 0n],
      ["SigIgn", BEYOND_STANDARD & OWN_IGNORED],
    ]);
    // The request is its stdin; the pod's namespace, that request and the agent's socket are not open besides.
    const descriptors = readFileSync(`${path}.descriptors`, "utf8").match(/\d+ -> \S*(net:\[|istio-cni-request)/g);
    assert.deepEqual(descriptors, ["0 -> /memfd:istio-cni-request"]);
    assert.match(stderr, /was replaced while no agent answers/);
  });

  test(`the ${build} plugin goes on waiting when its file is gone, or what lies there cannot be executed`, async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "istio-cni");
    for (const change of [() => rmSync(path), () => install(path, "no program\0")]) {
      copyFileSync(pluginPath(build), path);
      const running = start(path, netconf({ agent_wait_ms: 2000, cni_agent_run_dir: folder.path }));
      await untilWaiting(path);
      change();
      const run = await running;
      assert.equal(cniErrorOf(run).code, 11);
      assert.match(cniErrorOf(run).msg, /the agent does not answer/);
      rmSync(path, { force: true });
    }
  });

  test(`the ${build} plugin asks an agent that is there, whatever lies in its place`, async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "istio-cni");
    copyFileSync(pluginPath(build), path);
    const answer = encodeAnswer({ exitCode: 3, stdout: "{}" });
    await using agent = await startFakeAgent((socket) => socket.end(answer), { listening: false });
    const running = start(path, netconf({ agent_wait_ms: 30_000, cni_agent_run_dir: agent.runDir }));
    await untilWaiting(path);
    install(path, OTHER);
    await agent.listen();
    const { exitCode } = await running;
    assert.equal(exitCode, 3);
    assert.ok(!existsSync(`${path}.stdin`));
  });

  test(`the ${build} plugin that has become another of its kind becomes nothing more`, async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "istio-cni");
    copyFileSync(pluginPath(build), path);
    const running = start(path, netconf({ agent_wait_ms: 4000, cni_agent_run_dir: folder.path }));
    const pid = await untilWaiting(path);
    const first = readFileSync(`/proc/${pid}/environ`, "utf8");
    copyFileSync(pluginPath(build), `${path}.next`);
    renameSync(`${path}.next`, path);
    await until("the second plugin", () => readFileSync(`/proc/${pid}/environ`, "utf8") !== first);
    install(path, OTHER);
    assert.equal(cniErrorOf(await running).code, 11);
    assert.ok(!existsSync(`${path}.stdin`));
  });
}

test("CHECK and DEL are never left to another plugin", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "istio-cni");
  for (const command of ["CHECK", "DEL"]) {
    copyFileSync(pluginPath("shipped"), path);
    const stdin = netconf({ agent_wait_ms: 30_000, cni_agent_run_dir: folder.path, prevResult: {} });
    const running = runPlugin("shipped", { ...ADD_ENVIRONMENT, CNI_COMMAND: command }, stdin, 60_000, path);
    install(path, OTHER);
    assert.equal((await running).exitCode, 0);
    assert.ok(!existsSync(`${path}.stdin`));
  }
});

/** The process that runs this file, once it has read its stdin and waits. */
async function untilWaiting(path: string): Promise<string> {
  let waiting: string | undefined;
  await until(`a process of ${path} that waits for an agent`, () => {
    const pid = pidOf(path);
    if (pid !== undefined && /nanosleep/.test(readOrEmpty(`/proc/${pid}/wchan`))) waiting = pid;
    return waiting !== undefined;
  });
  return waiting ?? assert.fail();
}

function pidOf(path: string): string | undefined {
  return globSync("/proc/[0-9]*/cmdline")
    .find((file) => readOrEmpty(file) === `${path}\0`)
    ?.split("/")[2];
}

function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    // It has ended meanwhile.
    return "";
  }
}
