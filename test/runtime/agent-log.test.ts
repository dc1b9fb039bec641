// What the log of a real agent says, and changing that while it runs: `install-cni log-level` and `config --running` beside it,
// as `kubectl exec` would run them; one line per pod at info.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogLevelsDocument } from "../../src/core/status/log-levels-document.ts";
import type { StatusDocument } from "../../src/core/status/status-document.ts";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { runCommand } from "../../testbed/node/command.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, INSTALL_CNI, NEW_POD } from "../../testbed/node/mesh-node.ts";
import { createAmbientNode } from "./ambient-node.ts";
import { askAgent } from "./ask-agent.ts";
import { eventually } from "./captured-pods.ts";

enterNodeNamespaces();

const ADMIN_SOCKET = "/run/istio-cni/admin.sock";

async function readLevels(agent: TestAgent, ...args: readonly string[]): Promise<LogLevelsDocument> {
  const { status, stdout, stderr } = await askAgent(agent, ["log-level", "-ojson", ...args]);
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as LogLevelsDocument;
}

const levelOf = ({ levels }: LogLevelsDocument, scope: string) => levels.find((entry) => entry.scope === scope)?.level;

/** Lines at info or above that name this pod. */
function linesOf(agent: TestAgent, name: string): readonly string[] {
  return agent.log.filter((line) => /\t(?:info|warn|error)\t/.test(line) && line.includes(`name=${name}`));
}

/** The log is written in turns; what came before this line is there. */
async function mark(agent: TestAgent): Promise<void> {
  const seen = agent.log.length;
  await askAgent(agent, ["log-level", "cni-plugin=info"]);
  await eventually(
    () => agent.log.slice(seen).some((line) => line.includes("Log levels were changed")),
    () => agent.log.slice(seen).join("\n"),
  );
}

test("levels change while the agent runs, for good and for a time, and the log says who did what", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const agent = await mesh.startAgent();
  assert.deepEqual((await readLevels(agent)).temporary, null);
  const isSaid = (name: string) => linesOf(agent, name).length > 0;
  const startPod = (name: string) => mesh.startPod(sidecarPod({ ...NEW_POD, name }));

  assert.equal(levelOf(await readLevels(agent, "cni-agent=warn"), "cni-agent"), "warn");
  await startPod("quiet");
  assert.equal(levelOf(await readLevels(agent, "cni-agent=info"), "cni-agent"), "info");
  await startPod("loud");
  await eventually(
    () => isSaid("loud"),
    () => agent.log.slice(-20).join("\n"),
  );
  assert.ok(!isSaid("quiet"));

  // Nobody sees the lines of the agent any more, and yet who did it stands there.
  await readLevels(agent, "all=none");
  await startPod("mute");
  await readLevels(agent, "all=error");
  await eventually(
    () => agent.log.some((line) => line.includes("levels=all:error")),
    () => agent.log.slice(-5).join("\n"),
  );
  assert.match(
    agent.log.join("\n"),
    /\tinfo\tcni-agent\tLog levels were changed over the admin socket\tlevels=all:none /,
  );
  assert.ok(!isSaid("mute"));

  const passing = await readLevels(agent, "cni-agent=debug", "--for=2s");
  assert.equal(levelOf(passing, "cni-agent"), "debug");
  assert.ok(passing.temporary !== null && passing.temporary.secondsLeft <= 2);
  await eventually(
    async () => (await readLevels(agent)).temporary === null,
    () => agent.log.slice(-5).join("\n"),
  );
  assert.equal(levelOf(await readLevels(agent), "cni-agent"), undefined, "what was before holds");
  await eventually(
    () => agent.log.some((line) => line.includes("Log levels are back to what they were")),
    () => agent.log.slice(-5).join("\n"),
  );
  const reset = await readLevels(agent, "--reset");
  assert.deepEqual(reset.levels, reset.configured);

  const table = await askAgent(agent, ["log-level"]);
  assert.match(table.stdout, /^SCOPE +LEVEL +CONFIGURED\ndefault +info +info\n/);
  const refused = await askAgent(agent, ["log-level", "nobody=debug"]);
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /Cannot set log level "nobody=debug"; accepted: SCOPE=LEVEL/);
  const byHand = await runCommand([
    "curl",
    "-sS",
    "-X",
    "PUT",
    "--unix-socket",
    ADMIN_SOCKET,
    "http://agent/log-levels?level=x",
  ]);
  assert.match(byHand.stdout, /"error":"Cannot set log level \\"x\\"; accepted: /);
});

test("the effective configuration of the running agent, with its sources, is told by config --running and by status", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const agent = await mesh.startAgent({ env: { PLUGIN_AGENT_WAIT: "20s", AMBIENT_IPV6: "" }, args: ["--log_as_json"] });
  const { status, stdout } = await askAgent(agent, ["config", "--running"]);
  assert.equal(status, 0);
  assert.match(stdout, /^PLUGIN_AGENT_WAIT +environment +20s$/m);
  assert.match(stdout, /^--log_as_json +flag +true$/m);
  assert.match(stdout, /^AMBIENT_IPV6 +default +false$/m);
  assert.match(stdout, /^ALLOW_SWITCH_TO_HOST_NS +environment, no effect +true$/m);
  const document = JSON.parse((await askAgent(agent, ["status", "-ojson"])).stdout) as StatusDocument;
  const told = JSON.parse((await askAgent(agent, ["config", "--running", "-ojson"])).stdout) as { options: unknown[] };
  assert.equal(document.options.length, told.options.length);
  assert.deepEqual(
    document.options.find(({ env }) => env === "PLUGIN_AGENT_WAIT"),
    {
      name: "PLUGIN_AGENT_WAIT",
      flag: null,
      env: "PLUGIN_AGENT_WAIT",
      value: "20s",
      standsFor: null,
      source: "environment",
      hasEffect: true,
    },
  );
});

test("a sidecar pod is one line at info, and a pod outside the mesh is none", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const agent = await mesh.startAgent();
  for (const object of [sidecarPod({ ...NEW_POD, name: "web" }), plainPod({ ...NEW_POD, name: "plain" })]) {
    await mesh.startPod(object);
  }
  await mark(agent);
  const [line, ...others] = linesOf(agent, "web");
  assert.deepEqual(others, []);
  assert.match(line ?? "", /\tCaptured pod\tns=shop name=web .*reason=sidecar mode=REDIRECT dialect=\S+ .*tookMs=/);
  assert.deepEqual(linesOf(agent, "plain"), []);
});

test("an ambient pod is one line at info, and who searches the log for `ambient` finds the start and the pod (P28)", async () => {
  await using node = await createAmbientNode("v4");
  await node.startZtunnel();
  const agent = await node.startAgent();
  await node.startPod({ name: "web" });
  await eventually(
    async () => JSON.parse((await askAgent(agent, ["status", "-ojson"])).stdout).pods[0]?.ambient?.state === "enrolled",
    () => agent.log.slice(-10).join("\n"),
  );
  await mark(agent);
  const [line, ...others] = linesOf(agent, "web");
  assert.deepEqual(others, []);
  assert.match(line ?? "", /\tCaptured pod\tns=mesh name=web .*mode=ambient /);
  const found = agent.log.filter((text) => text.includes("ambient"));
  assert.ok(
    found.some((text) => text.includes("ambient mode is on")),
    found.join("\n"),
  );

  // The last twenty lines tell how it stands (P35).
  assert.ok(agent.log.slice(-20).some((text) => /Ready: |Captured pod/.test(text)));
});

test("a debug container beside the agent reads health, metrics and status: the image needs no shell for that (P36)", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const agent = await mesh.startAgent();
  // As `kubectl debug --target=install-cni`: the network and the processes are the agent's, the files are another image's.
  const enter = ["nsenter", `--target=${agent.pid}`, "--net"];
  const root = `/proc/${agent.pid}/root`;
  for (const [port, path, expected] of [
    [8000, "/readyz", /^200$/],
    [15_014, "/metrics", /^200$/],
  ] as const) {
    const url = `http://127.0.0.1:${port}${path}`;
    const { stdout } = await runCommand([...enter, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", url]);
    assert.match(stdout, expected, url);
  }
  const socket = `${root}/var/run/istio-cni/admin.sock`;
  const byHand = await runCommand([...enter, "curl", "-sS", "--unix-socket", socket, "http://agent/status"]);
  assert.equal((JSON.parse(byHand.stdout) as StatusDocument).isReady, true, byHand.stderr);
  const status = await runCommand([...enter, INSTALL_CNI, "status", `--cni-agent-run-dir=${root}/var/run/istio-cni`]);
  assert.equal(status.status, 0, status.stderr);
  assert.match(status.stdout, /^Agent +ready$/m);
});
