// The agent's DaemonSet is restarted again and again while pods of the mesh start at a steady rate: no sandbox fails, none
// starts uncaptured. ROLLS (3 unless told) chooses how often: `ROLLS=200 PODS_PER_SECOND=5` is the long variant.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isJsonObject, type JsonObject, readPath, readText } from "../../testbed/api-server/kube-object.ts";
import { parseSandboxStarts } from "../../testbed/cluster/containerd-log.ts";
import type { Cluster } from "../../testbed/cluster/create-cluster.ts";
import { renderMeshPod } from "../../testbed/cluster/mesh-pod.ts";
import {
  AGENT_NAMESPACE,
  containerStatus,
  isReady,
  listComplaints,
  waitAgentReady,
} from "../../testbed/cluster/observe-pods.ts";
import { NAMESPACE, pod, type SidecarScene } from "./sidecar-scene.ts";

const ROLLS = readCount("ROLLS", 3, 1000);
const PODS_PER_SECOND = readCount("PODS_PER_SECOND", 2, 50);
/** Two cores start no more beside an agent that is to be back within PLUGIN_AGENT_WAIT. */
const UNDER_WAY_MAX = 12;
const TICK_MS = 1000;

/** What became of the pods. */
interface Rolled {
  made: number;
  started: number;
  /** Pods whose istio-validation did not pass at its first try. */
  readonly outside: string[];
  /** Seconds of the clock in which no pods were made, because enough were under way. */
  skipped: number;
}

export function testRollouts(scene: SidecarScene): void {
  test(`fails no pod and lets none start uncaptured over ${ROLLS} rollout restarts, while pods start all the time`, async (t) => {
    const { cluster } = scene;
    const ending = new AbortController();
    const starting = startPods(scene, ending.signal);
    const begunMs = performance.now();
    try {
      for (let roll = 0; roll < ROLLS; roll++) {
        await cluster.kubectl(["-n", AGENT_NAMESPACE, "rollout", "restart", "daemonset/istio-cni-node"]);
        await waitAgentReady(cluster, 120_000);
      }
    } finally {
      ending.abort();
    }
    const { made, started, outside, skipped } = await starting;
    const seconds = (performance.now() - begunMs) / 1000;
    const complaints = (await listComplaints(cluster, NAMESPACE)).filter((line) => line.startsWith("roll-"));
    t.diagnostic(
      `${ROLLS} restarts in ${seconds.toFixed(0)} s; ${made} pods made (${(made / seconds).toFixed(1)} a second), ${started} started, ` +
        `${complaints.length} refused, ${outside.length} uncaptured; ${skipped} seconds left out`,
    );
    assert.deepEqual(complaints, []);
    assert.deepEqual(outside, []);
    assert.equal(started, made);
    assert.ok(made > ROLLS * PODS_PER_SECOND, "too few pods: the test has tested nothing");
    if (scene.lab === undefined) return;
    const starts = parseSandboxStarts(scene.readContainerdLog()).filter(({ name }) => name.startsWith("roll-"));
    assert.equal(starts.length, made, "attempts");
    const took = starts.map(({ startMs, endMs }) => endMs - startMs).sort((a, b) => a - b);
    t.diagnostic(
      `sandboxes: median ${took[took.length >> 1]?.toFixed(0)} ms, slowest ${took.at(-1)?.toFixed(0)} ms; of containerd's log`,
    );
  });
}

/** Makes that many pods in each second; takes away those that are Ready. Resolves once all of them were. */
async function startPods({ cluster }: SidecarScene, signal: AbortSignal): Promise<Rolled> {
  const rolled: Rolled = { made: 0, started: 0, outside: [], skipped: 0 };
  const underWay = new Set<string>();
  const firstMs = performance.now();
  for (let tick = 1; !signal.aborted || underWay.size > 0; tick++) {
    if (signal.aborted) await sleep(TICK_MS / 2);
    else if (underWay.size + PODS_PER_SECOND > UNDER_WAY_MAX) rolled.skipped += 1;
    else {
      const names = Array.from({ length: PODS_PER_SECOND }, () => `roll-${rolled.made++}`);
      await cluster.apply(names.map((name) => renderMeshPod(pod(name))));
      for (const name of names) underWay.add(name);
    }
    const ready = (await listRolling(cluster)).filter((each) => underWay.has(nameOf(each)) && isReady(each));
    for (const each of ready) {
      underWay.delete(nameOf(each));
      rolled.started += 1;
      const validation = containerStatus(each, "istio-validation");
      const hasPassed = readPath(validation, "state", "terminated", "exitCode") === 0;
      if (!hasPassed || readPath(validation, "restartCount") !== 0) rolled.outside.push(nameOf(each));
    }
    if (ready.length > 0)
      await cluster.kubectl(["-n", NAMESPACE, "delete", "pod", "--wait=false", ...ready.map(nameOf)]);
    await sleep(Math.max(0, firstMs + tick * TICK_MS - performance.now()));
  }
  return rolled;
}

async function listRolling(cluster: Cluster): Promise<readonly JsonObject[]> {
  const { items } = await cluster.get("-n", NAMESPACE, "pods");
  return Array.isArray(items) ? items.filter(isJsonObject).filter((each) => nameOf(each).startsWith("roll-")) : [];
}

function nameOf(each: JsonObject): string {
  return readText(each, "metadata", "name");
}

/** A whole number from the environment, 1 to `max`. */
function readCount(name: string, fallback: number, max: number): number {
  const text = process.env[name] ?? "";
  if (text === "") return fallback;
  const count = Number(text);
  assert.ok(Number.isInteger(count) && count >= 1 && count <= max, `${name}=${text}: accepted are 1 to ${max}`);
  return count;
}
