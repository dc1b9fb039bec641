// What the agent's tests assert of pods: who receives their connections, and which rules their namespace holds.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { askOverUnix } from "../../src/platform/http/unix-client.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { type CaptureObservation, observeCapture } from "../../testbed/node/connections.ts";
import type { TestNode } from "../../testbed/node/create-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { startApplication, startSidecar } from "../../testbed/sidecar/sidecar.ts";

const FAMILY_NAMES = { 4: "IPv4", 6: "IPv6" } as const;

/** Rules as the tools print them, without comments and counters; the empty text where there is no table. */
export interface SavedRules {
  readonly v4: string;
  readonly v6: string;
}

export async function readRules(pod: TestPod): Promise<SavedRules> {
  const [v4, v6] = await Promise.all(["iptables-save", "ip6tables-save"].map((tool) => save(pod, tool)));
  return { v4: v4 ?? "", v6: v6 ?? "" };
}

/** The rules of contract 5.4 for a pod as istiod injects it with default values. */
export function readGolden(family: "v4" | "v6"): string {
  return readFileSync(join(import.meta.dirname, `testdata/sidecar-${family}.iptables-save`), "utf8");
}

async function save(pod: TestPod, tool: string): Promise<string> {
  const done = await pod.exec([tool]);
  assert.equal(done.status, 0, done.stderr);
  const lines = done.stdout.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line) => `${line.replace(/ \[\d+:\d+\]$/, "")}\n`).join("");
}

/** Real connections in and out of `pod`, with a sidecar and an application in it, in every family that both pods have. */
export async function connect(node: TestNode, pod: TestPod, peer: TestPod): Promise<readonly CaptureObservation[]> {
  await using _application = await startApplication(node.nettool, pod, [8080]);
  await using _peerApplication = await startApplication(node.nettool, peer, [8080]);
  await using _sidecar = await startSidecar(node.nettool, pod);
  // Awaited here: what is returned unawaited outlives the listeners.
  return await observeCapture(node.nettool, pod, peer);
}

/** The families, in and out alike, whose connections the sidecar gets must be exactly these, and it must know their
 * original destination; the application gets all others. */
export async function assertCaptured(
  node: TestNode,
  pod: TestPod,
  peer: TestPod,
  families: readonly (4 | 6)[],
): Promise<void> {
  const observations = await connect(node, pod, peer);
  assert.ok(observations.length > 0, `${pod.name} and ${peer.name} have no family in common`);
  for (const { family, direction, target, result } of observations) {
    const what = `${direction} ${FAMILY_NAMES[family]} of ${pod.name}`;
    if (families.includes(family)) {
      const port = direction === "inbound" ? 15006 : 15001;
      assert.deepEqual(result, { outcome: "captured", port, original: target }, what);
    } else assert.deepEqual(result, { outcome: "direct", port: 8080 }, what);
  }
}

/** Resolves once the agent of the node has been shown the pod (namespace/name) by its watch. */
export async function untilKnown(pod: string): Promise<void> {
  let said = "";
  await eventually(
    async () => {
      const limits = { timeoutMs: 30_000, maxBytes: 1 << 20 };
      const { status, body } = await askOverUnix("/run/istio-cni/admin.sock", `/pods/${pod}`, limits);
      said = body;
      return status === 200;
    },
    () => `the agent does not know ${pod}: ${said}`,
  );
}

/** The agent still runs, as the process that was started. */
export function assertAlive(agent: TestAgent): void {
  assert.doesNotThrow(() => process.kill(agent.pid, 0), `the agent ended\n${agent.log.slice(-20).join("\n")}`);
}

/** Looks until the condition holds. @throws {Error} with `describe()` when it does not within 60 s. */
export async function eventually(condition: () => boolean | Promise<boolean>, describe: () => string): Promise<void> {
  for (const deadline = performance.now() + 60_000; !(await condition()); await sleep(10))
    if (performance.now() > deadline) throw new Error(`Cannot wait longer: ${describe()}`);
}
