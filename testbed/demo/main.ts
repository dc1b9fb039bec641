// The demo: real pods on a real container runtime, the agent of this checkout beside them, real connections in and out
// of each, and a table of what happened; first sidecar mode, then ambient mode (ambient-act.ts). Everything it makes lives in
// namespaces of its own and is gone at its end.
// Usage: tools/node testbed/demo/main.ts [--keep]; --keep stays in sidecar mode's node. Exit status 1 when anything is not as
// expected.
import { appendFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { summarize } from "../../bench/statistics.ts";
import type { TestAgent } from "../node/agent.ts";
import { createNode } from "../node/create-node.ts";
import { enterNodeNamespaces } from "../node/enter.ts";
import { joinMesh, type MeshNode } from "../node/mesh-node.ts";
import { renderPodNetwork } from "../node/node-network.ts";
import type { TestPod } from "../node/pod.ts";
import { type Listener, startApplication, startSidecar } from "../sidecar/sidecar.ts";
import { runAmbientAct } from "./ambient-act.ts";
import { AGENT_LOG, renderExplanation, waitForEnd } from "./keep.ts";
import { observePod, timePlugin } from "./observe-pod.ts";
import { CLIENT, type DemoPod, describeDemoPods } from "./pods.ts";
import { createPaint, createSteps } from "./steps.ts";
import { type DemoRow, findSurprises, renderTable } from "./table.ts";

const PLUGIN_RUNS = 15;

interface StartedPod {
  readonly pod: DemoPod;
  readonly sandbox: TestPod;
}

const { values: flags } = parseArgs({ options: { keep: { type: "boolean", default: false } } });
const { initPid } = enterNodeNamespaces();
const paint = createPaint(process.stdout, process.env);
const steps = createSteps(process.stdout, paint, () => performance.now());
const { step, say } = steps;

say(`\n${paint.strong("istio-install-cni: pods go into the mesh as their sandbox is made")}\n`);
const startedMs = performance.now();
let surprises = await runSidecarAct();
if (!flags.keep) {
  say(`\n${paint.strong("Ambient mode: no proxy in the pod, one ztunnel for the node")}\n`);
  surprises += await runAmbientAct(steps, paint);
}
say(paint.faint(`  in all ${((performance.now() - startedMs) / 1000).toFixed(1)} s\n`));
process.exitCode = surprises === 0 ? 0 : 1;

async function runSidecarAct(): Promise<number> {
  const node = await step("A node of its own with containerd, runc, bridge, host-local, portmap", () =>
    createNode({ families: "dual" }),
  );
  await using mesh = await step("A Kubernetes API, as a stand-in", () => joinMesh(node));
  const agent = await step("The agent starts and becomes ready", () => startAgent(mesh));
  await step(
    "The runtime has read the plugin in its chain",
    () => node.waitForChained().then(() => node.runtime.cri.networkPlugins()),
    (types) => types.join(", "),
  );
  const started: StartedPod[] = [];
  for (const pod of describeDemoPods()) {
    if (pod.v6Only)
      await step("The pod network becomes IPv6 only, in a new conflist; the agent joins it", () =>
        changePodNetwork(mesh),
      );
    const sandbox = await step(
      `Pod ${pod.namespace}/${pod.name}`,
      () => mesh.startPod(pod.object),
      () => pod.what,
    );
    started.push({ pod, sandbox });
  }
  await using listeners = new AsyncDisposableStack();
  for (const listener of await step("A proxy and an application listen in them", () => startPrograms(mesh, started)))
    listeners.use(listener);
  const observed = await step("Connections in and out of each, and a look at its rules", () =>
    observe(mesh, agent, started),
  );
  const rows = await step(`The plugin, run ${PLUGIN_RUNS} times for each pod`, () => timeAll(mesh, observed));

  say(`\n${renderTable(rows, paint)}\n`);
  const found = findSurprises(rows);
  for (const line of [...explain(rows), "", ...verdict(rows, found)]) say(line);
  if (flags.keep) {
    say(`\n${renderExplanation({ mesh, agent, pods: started.map(({ sandbox }) => sandbox) }, paint)}`);
    say(`  End it with Ctrl-C here, or from elsewhere:\n    ${paint.strong(`kill ${initPid}`)}\n`);
    await waitForEnd();
    say("");
  }
  await step("Everything is gone again: processes, namespaces, mounts, files", async () => {
    await listeners.disposeAsync();
    await agent.stop();
    await mesh.destroy();
  });
  return found.length;
}

async function startAgent(mesh: MeshNode): Promise<TestAgent> {
  const agent = await mesh.launchAgent({
    args: ["--log_output_level=default:debug", "--log_as_json"],
    onLine: (line) => appendFileSync(AGENT_LOG, `${line}\n`),
  });
  await agent.waitReady();
  return agent;
}

async function changePodNetwork({ node }: MeshNode): Promise<void> {
  writeFileSync(node.conflistPath, renderPodNetwork("v6", "1.0.0"));
  await node.waitForChained();
}

async function startPrograms({ node }: MeshNode, started: readonly StartedPod[]): Promise<readonly Listener[]> {
  const starts = started.flatMap(({ pod, sandbox }) => [
    startApplication(node.nettool, sandbox, [8080]),
    ...(pod.proxy === "none" ? [] : [startSidecar(node.nettool, sandbox, { transparent: pod.proxy === "tproxy" })]),
  ]);
  return Promise.all(starts);
}

async function observe(
  { node }: MeshNode,
  agent: TestAgent,
  started: readonly StartedPod[],
): Promise<readonly (Omit<DemoRow, "pluginMs"> & StartedPod)[]> {
  const rows: (Omit<DemoRow, "pluginMs"> & StartedPod)[] = [];
  for (const { pod, sandbox } of started) {
    // The client's own partner is any pod without a proxy of its own.
    const peer = started.find(({ pod: other }) => other.name === (pod.name === CLIENT ? "gateway" : CLIENT));
    if (peer === undefined) throw new Error(`Cannot connect to ${pod.name}: no pod ${CLIENT}`);
    rows.push({ pod, sandbox, observation: await observePod(node, agent, sandbox, peer.sandbox) });
  }
  return rows;
}

async function timeAll(
  { node }: MeshNode,
  rows: readonly (Omit<DemoRow, "pluginMs"> & StartedPod)[],
): Promise<readonly DemoRow[]> {
  const timed: DemoRow[] = [];
  for (const row of rows) {
    const { median } = summarize(await timePlugin(node, row.sandbox, PLUGIN_RUNS));
    timed.push({ ...row, pluginMs: median });
  }
  return timed;
}

function explain(rows: readonly DemoRow[]): readonly string[] {
  const passing = rows.filter(({ observation }) => observation.product.bypassed.length > 0).map(({ pod }) => pod.name);
  return [
    "  Reason         the product's own word, from the agent's log; about a pod that the plugin passed",
    "                 by itself, the agent was asked afterwards.",
    "  In-, outbound  yes: the proxy received the connection, and knows where it was going;",
    "                 no: the application did.",
    `  Plugin added   median of ${PLUGIN_RUNS} runs of the installed plugin with this pod's own input in fresh`,
    "                 network namespaces, from before vfork to after its end.",
    ...(passing.length === 0
      ? []
      : [
          `  IPv6           passes by the proxies of ${passing.join(", ")}, as upstream has it for pods`,
          "                 whose first address is IPv4, and the agent warns of each. ISTIO_DUAL_STACK on the",
          "                 proxy, or STRICT_FAMILIES on the agent, captures it.",
        ]),
  ];
}

function verdict(rows: readonly DemoRow[], found: readonly string[]): readonly string[] {
  if (found.length > 0) return [paint.bad(`  Not as expected:`), ...found.map((line) => paint.bad(`    ${line}`))];
  const inside = rows.filter(({ observation }) => observation.product.decision === "in").length;
  return [
    paint.good(
      `  As expected: ${inside} pods are in the mesh and captured, ${rows.length - inside} are outside and untouched.`,
    ),
  ];
}
