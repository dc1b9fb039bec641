// 100 plugins at once against the agent: pods it knows, pods it does not know yet and pods that never come, pods outside the
// mesh, and deletions, all waiting at its socket when it begins. Whoever can be answered is, whoever has to wait delays
// nobody, and afterwards the agent holds what it held before. Prints how long the plugins took; asserts no time.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { JsonObject } from "../../testbed/api-server/kube-object.ts";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import { listDescriptors } from "../../testbed/node/open-descriptors.ts";
import { type PluginInput, readPluginInput } from "../../testbed/node/plugin-run.ts";
import { assertAlive, eventually } from "./captured-pods.ts";

enterNodeNamespaces();

const AT_ONCE = { known: 45, unknown: 10, never: 5, plain: 20, deleted: 20 } as const;
type Kind = keyof typeof AT_ONCE;
const ROUNDS = 3;
/** How much the agent may grow for a hundred requests of some 10 KB; a defect holds far more. */
const MEMORY_BOUND_KB = 48 * 1024;

interface Sandbox {
  readonly kind: Kind;
  readonly name: string;
  readonly uid: string;
  readonly object: JsonObject;
  readonly netns: TestNetns;
}

interface Run {
  readonly sandbox: Sandbox;
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly endedAtMs: number;
}

describe("100 plugins at once", () => {
  let mesh: MeshNode;
  let agent: TestAgent;
  /** What the agent has open when no pod but the templates is there. */
  let descriptors: number;
  let template: { readonly sidecar: PluginInput; readonly plain: PluginInput };
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
    agent = await mesh.startAgent({ env: { PLUGIN_AGENT_WAIT: "15s" } });
    const sidecar = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "template" }));
    const plain = await mesh.startPod(plainPod({ ...NEW_POD, name: "plain-template" }));
    template = { sidecar: readPluginInput(mesh.node, sidecar), plain: readPluginInput(mesh.node, plain) };
    await round(0);
    descriptors = await countSettledDescriptors();
  });
  after(() => mesh.destroy());

  test("all are answered as they should, none waits for another, and nothing is left in the agent", async () => {
    // From here on the peak counts (proc_pid_clear_refs).
    writeFileSync(`/proc/${agent.pid}/clear_refs`, "5");
    const memory = readMemory();
    for (let index = 1; index <= ROUNDS; index++) {
      await round(index);
      await eventually(
        () => listDescriptors(agent.pid).length <= descriptors,
        () => `for ${listDescriptors(agent.pid).length} descriptors to become ${descriptors}`,
      );
    }
    const after = readMemory();
    console.log(
      `agent's memory, KB: ${JSON.stringify(memory)} before, ${JSON.stringify(after)} after ${ROUNDS} rounds`,
    );
    assert.ok(after.peak - memory.resident < MEMORY_BOUND_KB, `from ${memory.resident} to ${after.peak} KB`);
    assertAlive(agent);
  });

  /** The template's own monitor and what the first pods open once come and stay; equal twice with all pods gone is the end. */
  async function countSettledDescriptors(): Promise<number> {
    let last = -1;
    await eventually(
      () => {
        const count = listDescriptors(agent.pid).length;
        const isSettled = count === last && countConnections() === 0;
        last = count;
        return isSettled;
      },
      () => `for ${last} descriptors to stay`,
    );
    return last;
  }

  async function round(index: number): Promise<void> {
    const sandboxes = makeSandboxes(index);
    const of = (...kinds: Kind[]): readonly Sandbox[] => sandboxes.filter(({ kind }) => kinds.includes(kind));
    for (const { object } of of("known", "plain", "deleted")) mesh.api.put(object);
    // The watch shows pods in order, so the agent knows all when it has answered for the last.
    for (const sandbox of of("deleted")) assert.equal((await runPlugin(sandbox, "ADD")).exitCode, 0);

    // Stopped, so that all are there when it goes on. The last DELs of the round before may still be on their way.
    await eventually(
      () => countConnections() === 0,
      () => `for ${countConnections()} connections to end`,
    );
    process.kill(agent.pid, "SIGSTOP");
    const running = new Map(
      sandboxes.map((sandbox) => [sandbox, runPlugin(sandbox, sandbox.kind === "deleted" ? "DEL" : "ADD")]),
    );
    await eventually(
      () => countConnections() === sandboxes.length,
      () => `for ${sandboxes.length} plugins at the socket, there are ${countConnections()}`,
    );
    const begunAtMs = performance.now();
    process.kill(agent.pid, "SIGCONT");

    const runs = (kinds: readonly Sandbox[]): Promise<readonly Run[]> =>
      Promise.all(kinds.map((sandbox) => running.get(sandbox) ?? assert.fail()));
    // The unknown are not in the API yet, so whatever ends now has not waited for them.
    const prompt = await runs(of("known", "plain", "deleted"));
    for (const { sandbox, exitCode, stdout } of prompt) assert.equal(exitCode, 0, `${sandbox.name}: ${stdout}`);
    for (const { object } of of("unknown")) mesh.api.put(object);
    const late = await runs(of("unknown"));
    for (const { sandbox, exitCode, stdout } of late) assert.equal(exitCode, 0, `${sandbox.name}: ${stdout}`);
    for (const { sandbox, exitCode, stdout } of await runs(of("never"))) {
      assert.equal(exitCode, 1, sandbox.name);
      const error: unknown = JSON.parse(stdout);
      assert.ok(typeof error === "object" && error !== null && "code" in error && error.code === 11, stdout);
    }
    for (const { kind, name, netns } of sandboxes) {
      const rules = netns.mustExec(["iptables-save", "-t", "nat"]);
      // DEL leaves the rules: the namespace goes with the sandbox.
      assert.equal(/ISTIO_INBOUND/.test(rules), kind === "known" || kind === "unknown" || kind === "deleted", name);
    }
    if (index > 0) {
      console.log(
        `round ${index}, ms from the agent's start on ${sandboxes.length} waiting plugins to a plugin's end:`,
      );
      for (const kind of ["known", "plain"] as const)
        console.log(
          `  ${kind.padEnd(6)} ${describeTimes(
            prompt.filter((run) => run.sandbox.kind === kind),
            begunAtMs,
          )}`,
        );
    }

    await Promise.all(of("known", "unknown", "plain").map((sandbox) => runPlugin(sandbox, "DEL")));
    for (const { name, kind } of sandboxes) if (kind !== "never") mesh.api.remove("pods", `shop/${name}`);
    for (const { netns } of sandboxes) netns[Symbol.dispose]();
  }

  /** Mixed, as a node that is drained and filled sees them. */
  function makeSandboxes(index: number): readonly Sandbox[] {
    const sandboxes: Sandbox[] = [];
    const total = Object.values(AT_ONCE).reduce((sum, count) => sum + count, 0);
    const left: Record<Kind, number> = { ...AT_ONCE };
    const kinds: readonly Kind[] = ["unknown", "never", "known", "plain", "deleted"];
    for (let turn = 0; sandboxes.length < total; turn++) {
      const kind = kinds[turn % kinds.length] ?? "known";
      if (left[kind]-- <= 0) continue;
      const name = `${kind}-${index}-${sandboxes.length}`;
      const object = kind === "plain" ? plainPod({ ...NEW_POD, name }) : sidecarPod({ ...NEW_POD, name });
      sandboxes.push({ kind, name, uid: object.metadata.uid ?? "", object, netns: createNetns() });
    }
    return sandboxes;
  }

  /** The installed plugin with what the runtime gave it for the template, but for another pod. */
  async function runPlugin(sandbox: Sandbox, command: "ADD" | "DEL"): Promise<Run> {
    const { netconf } = sandbox.kind === "plain" ? template.plain : template.sidecar;
    // A runtime that passes no annotations: the plugin cannot pass plain pods by itself.
    const { runtimeConfig: _, ...untold } = netconf;
    const child = spawn(join(mesh.node.cniBinDir, "istio-cni"), [], {
      env: {
        CNI_COMMAND: command,
        CNI_CONTAINERID: `container-${sandbox.name}`,
        CNI_NETNS: sandbox.netns.path,
        CNI_IFNAME: "eth0",
        CNI_PATH: mesh.node.cniBinDir,
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=${sandbox.name};K8S_POD_UID=${sandbox.uid}`,
      },
      stdio: ["pipe", "pipe", "ignore"],
    });
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stdin.on("error", () => {});
    child.stdin.end(JSON.stringify(sandbox.kind === "plain" ? untold : netconf));
    const { promise, resolve, reject } = Promise.withResolvers<Run>();
    child.once("error", reject);
    child.once("close", (exitCode) => resolve({ sandbox, exitCode, stdout, endedAtMs: performance.now() }));
    return promise;
  }

  function readMemory(): { readonly resident: number; readonly anonymous: number; readonly peak: number } {
    const status = readFileSync(`/proc/${agent.pid}/status`, "utf8");
    const read = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]);
    return { resident: read("VmRSS"), anonymous: read("RssAnon"), peak: read("VmHWM") };
  }

  /** Connections at the agent's sockets, accepted or not: in /proc/net/unix they have the listener's name, which is the one it was
   * bound to before it was renamed. The fourth column has the listeners' flag (__SO_ACCEPTCON). */
  function countConnections(): number {
    const lines = readFileSync("/proc/net/unix", "utf8").split("\n");
    return lines.filter((line) => line.includes("/run/istio-cni/.plug") && line.split(" ")[3] !== "00010000").length;
  }
});

function describeTimes(runs: readonly Run[], begunAtMs: number): string {
  const ms = runs.map(({ endedAtMs }) => endedAtMs - begunAtMs).sort((a, b) => a - b);
  const at = (share: number): string => (ms[Math.floor((ms.length - 1) * share)] ?? 0).toFixed(1);
  return `p50 ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, max ${at(1)} (n ${ms.length})`;
}
