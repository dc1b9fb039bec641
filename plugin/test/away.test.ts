// What the plugin does when no agent answers: whose pods pass by the agent's state file, and whose do not. A file that is
// not exactly what the agent writes must never let a pod pass.
import assert from "node:assert/strict";
import { chmodSync, chownSync, copyFileSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeFrame, FRAME_VERSION_REFUSED } from "../../src/core/plugin-protocol/frame.ts";
import { encodeAnswer } from "../../src/core/plugin-protocol/request.ts";
import {
  MAX_STATE_BYTES,
  type PluginState,
  renderPluginState,
  STATE_FILE_NAME,
} from "../../src/core/plugin-protocol/state-file.ts";
import { mustRun } from "../../testbed/node/command.ts";
import { startFakeAgent } from "./fake-agent.ts";
import { ADD_ENVIRONMENT, BUILDS, cniErrorOf, netconf, pluginPath, runPlugin, temporaryFolder } from "./run-plugin.ts";

for (const build of BUILDS) pluginPath(build);

/** An exit code that only an agent gives. */
const REFUSAL = encodeAnswer({ exitCode: 3, stdout: "{}" });
const VERSION_0 = encodeFrame(FRAME_VERSION_REFUSED, new Map([[1, new TextEncoder().encode("0")]]));
const ANNOTATIONS = "io.kubernetes.cri.pod-annotations";
const annotated = (annotations: unknown): object => ({ runtimeConfig: { [ANNOTATIONS]: annotations } });
const AMBIENT = { ambient_enabled: true, ...annotated({ a: "b" }) };
const SIDECAR = annotated({ "sidecar.istio.io/status": "{}" });

const EXCLUDING: PluginState = {
  mode: "sidecar",
  whenAway: "enroll-later",
  excludedNamespaces: ["kube-system", "shop"],
  enrollment: undefined,
};
/** An ambient node on which nothing of namespace shop was ever enrolled. */
const NEVER_ENROLLED: PluginState = {
  mode: "ambient",
  whenAway: "enroll-later",
  excludedNamespaces: [],
  enrollment: { byNamespace: ["bank"], byPod: ["lab"] },
};
const enrolling = (byNamespace: string[], byPod: string[]): PluginState => ({
  ...NEVER_ENROLLED,
  enrollment: { byNamespace, byPod },
});

interface Case {
  readonly name: string;
  readonly state: PluginState | undefined;
  readonly netconf: object;
  readonly passes: boolean;
}

/** All are pods of namespace shop about which the plugin has to ask. */
const cases: readonly Case[] = [
  { name: "no state file, sidecar pod", state: undefined, netconf: SIDECAR, passes: false },
  { name: "no state file, ambient", state: undefined, netconf: AMBIENT, passes: false },
  { name: "no state file, annotations not told", state: undefined, netconf: {}, passes: false },
  { name: "a sidecar pod of an excluded namespace", state: EXCLUDING, netconf: SIDECAR, passes: true },
  { name: "annotations not told, excluded namespace", state: EXCLUDING, netconf: {}, passes: true },
  { name: "an ambient pod of an excluded namespace", state: EXCLUDING, netconf: AMBIENT, passes: true },
  {
    name: "a namespace that an excluded one begins with",
    state: { ...EXCLUDING, excludedNamespaces: ["shop-2", "sho"] },
    netconf: SIDECAR,
    passes: false,
  },
  { name: "a sidecar pod of a namespace not excluded", state: NEVER_ENROLLED, netconf: SIDECAR, passes: false },
  { name: "an ambient pod where nothing was ever enrolled", state: NEVER_ENROLLED, netconf: AMBIENT, passes: true },
  { name: "the same in a mesh that nobody uses", state: enrolling([], []), netconf: AMBIENT, passes: true },
  { name: "the same, strict", state: { ...NEVER_ENROLLED, whenAway: "strict" }, netconf: AMBIENT, passes: false },
  {
    name: "the same, enrolment not known",
    state: { ...NEVER_ENROLLED, enrollment: undefined },
    netconf: AMBIENT,
    passes: false,
  },
  { name: "a namespace whose labels enrol", state: enrolling(["shop"], []), netconf: AMBIENT, passes: false },
  { name: "a namespace where a pod enrolled itself", state: enrolling([], ["shop"]), netconf: AMBIENT, passes: false },
  {
    name: "a pod with a sidecar on an ambient node",
    state: NEVER_ENROLLED,
    netconf: { ...SIDECAR, ambient_enabled: true },
    passes: false,
  },
  {
    name: "annotations not told on an ambient node",
    state: NEVER_ENROLLED,
    netconf: { ambient_enabled: true },
    passes: false,
  },
  {
    name: "a state file of a sidecar agent, conflist already ambient",
    state: { ...NEVER_ENROLLED, mode: "sidecar" },
    netconf: AMBIENT,
    passes: false,
  },
];

const GOOD = new TextDecoder().decode(renderPluginState(EXCLUDING));

/** Each would exclude the pod's namespace if it were believed. */
const damaged: readonly (readonly [name: string, put: (path: string) => void])[] = [
  ["cut in the middle", (path) => writeFileSync(path, GOOD.slice(0, GOOD.indexOf("]") + 1))],
  ["empty", (path) => writeFileSync(path, "")],
  ["zeros, as after a power loss", (path) => writeFileSync(path, Buffer.alloc(GOOD.length))],
  ["of a newer version", (path) => writeFileSync(path, GOOD.replace('"version":1', '"version":2'))],
  ["of an older version", (path) => writeFileSync(path, GOOD.replace('"version":1', '"version":0'))],
  ["of a version that is nearly ours", (path) => writeFileSync(path, GOOD.replace('"version":1', '"version":1.0'))],
  ["of no version", (path) => writeFileSync(path, GOOD.replace('"version":1,', ""))],
  ["an array", (path) => writeFileSync(path, `[${GOOD}]`)],
  ["two objects", (path) => writeFileSync(path, GOOD + GOOD)],
  ["with text after it", (path) => writeFileSync(path, `${GOOD}x`)],
  ["without mode", (path) => writeFileSync(path, GOOD.replace('"mode"', '"mod"'))],
  ["with a mode that nobody knows", (path) => writeFileSync(path, GOOD.replace('"sidecar"', '"both"'))],
  ["without when_away", (path) => writeFileSync(path, GOOD.replace('"when_away"', '"when"'))],
  ["with a number among the names", (path) => writeFileSync(path, GOOD.replace('"kube-system"', "7"))],
  ["with enrolment that is no array", (path) => writeFileSync(path, GOOD.replace("{", '{"enrolling_namespaces":{},'))],
  ["with null enrolment", (path) => writeFileSync(path, GOOD.replace("{", '{"pod_enrolling_namespaces":null,'))],
  ["not UTF-8", (path) => writeFileSync(path, Buffer.from(GOOD.replace("kube", "\xff\xfe"), "latin1"))],
  ["nested too deep", (path) => writeFileSync(path, GOOD.replace("{", `{"x":${"[".repeat(70)}${"]".repeat(70)},`))],
  ["huge", (path) => writeFileSync(path, GOOD + " ".repeat(MAX_STATE_BYTES + 1 - GOOD.length))],
  ["a folder", (path) => mkdirSync(path)],
  ["not readable", (path) => symlinkSync("/proc/self/mem", path)],
  [
    "a symlink to a good one",
    (path) => {
      writeFileSync(`${path}.target`, GOOD);
      symlinkSync(`${path}.target`, path);
    },
  ],
  ["a dangling symlink", (path) => symlinkSync("nowhere", path)],
  ["a symlink to a device", (path) => symlinkSync("/dev/zero", path)],
  [
    "writable for a group",
    (path) => {
      writeFileSync(path, GOOD);
      chmodSync(path, 0o660);
    },
  ],
  [
    "writable for everybody",
    (path) => {
      writeFileSync(path, GOOD);
      chmodSync(path, 0o602);
    },
  ],
];

for (const build of BUILDS) {
  test(`the ${build} plugin whom no agent answers passes what the state file proves, and refuses the rest`, async (context) => {
    for (const one of cases) {
      await context.test(`${one.passes ? "passes" : "refuses"}: ${one.name}`, async () => {
        using folder = temporaryFolder();
        if (one.state !== undefined)
          writeFileSync(join(folder.path, STATE_FILE_NAME), renderPluginState(one.state), { mode: 0o600 });
        const prevResult = { ips: [] };
        const stdin = netconf({ cni_agent_run_dir: folder.path, prevResult, ...one.netconf });
        const run = await runPlugin(build, ADD_ENVIRONMENT, stdin);
        if (one.passes) {
          assert.deepEqual([run.exitCode, run.stdout.toString()], [0, '{"ips":[]}']);
          assert.match(run.stderr, /"msg":"Passed without the agent/);
          return;
        }
        const error = cniErrorOf(run);
        assert.equal(error.code, 11);
        assert.match(error.msg, /^Cannot set up the pod's redirection: the agent does not answer on /);
        assert.match(error.details ?? "", /kubectl get pods .*istio-cni-node.*shop\/cart/);
      });
    }
  });

  test(`the ${build} plugin takes a state file that is not the agent's for absent`, async (context) => {
    const stdin = (runDir: string): string => netconf({ cni_agent_run_dir: runDir, ...SIDECAR });
    for (const [name, put] of damaged) {
      await context.test(name, async () => {
        using folder = temporaryFolder();
        put(join(folder.path, STATE_FILE_NAME));
        const run = await runPlugin(build, ADD_ENVIRONMENT, stdin(folder.path));
        assert.equal(cniErrorOf(run).code, 11);
      });
    }
    await context.test("a pipe, at which nothing waits", async () => {
      using folder = temporaryFolder();
      await mustRun(["mkfifo", join(folder.path, STATE_FILE_NAME)]);
      assert.equal(cniErrorOf(await runPlugin(build, ADD_ENVIRONMENT, stdin(folder.path))).code, 11);
    });
    await context.test(
      "of another owner",
      { skip: process.getuid?.() !== 0 && "needs root to give a file away" },
      async () => {
        using folder = temporaryFolder();
        const path = join(folder.path, STATE_FILE_NAME);
        writeFileSync(path, GOOD);
        chownSync(path, 1337, 0);
        assert.equal(cniErrorOf(await runPlugin(build, ADD_ENVIRONMENT, stdin(folder.path))).code, 11);
      },
    );
    await context.test("and believes the largest one that is", async () => {
      using folder = temporaryFolder();
      writeFileSync(join(folder.path, STATE_FILE_NAME), GOOD + " ".repeat(MAX_STATE_BYTES - GOOD.length));
      assert.equal((await runPlugin(build, ADD_ENVIRONMENT, stdin(folder.path))).exitCode, 0);
    });
  });

  test(`the ${build} plugin reads whole state files while they are replaced`, async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, STATE_FILE_NAME);
    const next = join(folder.path, "next");
    writeFileSync(path, GOOD);
    let isOver = false;
    const replacing = (async () => {
      for (let round = 0; !isOver; round++) {
        writeFileSync(next, round % 2 === 0 ? GOOD : GOOD.replace("{", `{"x":"${"y".repeat(500_000)}",`));
        renameSync(next, path);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const stdin = netconf({ cni_agent_run_dir: folder.path, ...SIDECAR });
    for (let round = 0; round < 30; round++) assert.equal((await runPlugin(build, ADD_ENVIRONMENT, stdin)).exitCode, 0);
    isOver = true;
    await replacing;
  });

  test(`the ${build} plugin does not wait for the agent to pass an excluded namespace`, async () => {
    using folder = temporaryFolder();
    writeFileSync(join(folder.path, STATE_FILE_NAME), GOOD);
    const stdin = netconf({ cni_agent_run_dir: folder.path, agent_wait_ms: 60_000, ...SIDECAR });
    // Were it to wait, the run would be cut after 30 s.
    assert.equal((await runPlugin(build, ADD_ENVIRONMENT, stdin)).exitCode, 0);
  });

  test(`the ${build} plugin waits for the agent before it passes an ambient pod, and does what the agent says`, async () => {
    await using agent = await startFakeAgent((socket) => socket.end(REFUSAL), { listening: false });
    writeFileSync(join(agent.runDir, STATE_FILE_NAME), renderPluginState(NEVER_ENROLLED));
    const stdin = netconf({ cni_agent_run_dir: agent.runDir, agent_wait_ms: 20_000, ...AMBIENT });
    const running = runPlugin(build, ADD_ENVIRONMENT, stdin);
    await agent.listen();
    assert.deepEqual([(await running).exitCode, agent.received.length], [3, 1]);
  });

  test(`the ${build} plugin asks an agent that is there, whatever the state file says`, async () => {
    await using agent = await startFakeAgent((socket) => socket.end(REFUSAL));
    for (const [state, more] of [
      [EXCLUDING, SIDECAR],
      [NEVER_ENROLLED, AMBIENT],
    ] as const) {
      writeFileSync(join(agent.runDir, STATE_FILE_NAME), renderPluginState(state));
      const run = await runPlugin(build, ADD_ENVIRONMENT, netconf({ cni_agent_run_dir: agent.runDir, ...more }));
      assert.equal(run.exitCode, 3);
    }
    assert.equal(agent.received.length, 2);
  });

  test(`the ${build} plugin uses the state file when the agent is of a version that it does not speak`, async () => {
    await using agent = await startFakeAgent((socket) => socket.end(VERSION_0));
    const stdin = netconf({ cni_agent_run_dir: agent.runDir, ...SIDECAR });
    const refused = cniErrorOf(await runPlugin(build, ADD_ENVIRONMENT, stdin));
    assert.equal(refused.code, 11);
    assert.match(refused.msg, /the plugin speaks version 1 of the socket contract and the agent at most version 0$/);
    writeFileSync(join(agent.runDir, STATE_FILE_NAME), GOOD);
    assert.equal((await runPlugin(build, ADD_ENVIRONMENT, stdin)).exitCode, 0);
  });

  test(`the ${build} plugin passes CHECK and DEL without agent and with any state file`, async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, STATE_FILE_NAME);
    for (const content of [undefined, GOOD, "{"]) {
      rmSync(path, { force: true });
      if (content !== undefined) writeFileSync(path, content);
      for (const command of ["CHECK", "DEL"]) {
        const stdin = netconf({ cni_agent_run_dir: folder.path, ...SIDECAR });
        const run = await runPlugin(build, { ...ADD_ENVIRONMENT, CNI_COMMAND: command }, stdin);
        assert.deepEqual([run.exitCode, run.stdout.toString()], [0, ""], command);
      }
    }
  });

  test(`the ${build} plugin that waits for an agent goes on when its file is replaced and removed`, async () => {
    await using agent = await startFakeAgent((socket) => socket.end(REFUSAL), { listening: false });
    using folder = temporaryFolder();
    const copy = join(folder.path, "istio-cni");
    copyFileSync(pluginPath(build), copy);
    const stdin = netconf({ cni_agent_run_dir: agent.runDir, agent_wait_ms: 20_000, ...SIDECAR });
    const running = runPlugin(build, ADD_ENVIRONMENT, stdin, 30_000, copy);
    writeFileSync(`${copy}.new`, "another version", { mode: 0o755 });
    renameSync(`${copy}.new`, copy);
    rmSync(copy);
    await agent.listen();
    assert.equal((await running).exitCode, 3);
  });
}
