// Pods of the mesh start at a steady rate while something is done to the agent: no sandbox is refused, none starts uncaptured.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { isJsonObject, type JsonObject, readPath, readText } from "../../testbed/api-server/kube-object.ts";
import type { Cluster } from "../../testbed/cluster/create-cluster.ts";
import { renderMeshPod } from "../../testbed/cluster/mesh-pod.ts";
import { containerStatus, isReady, listComplaints } from "../../testbed/cluster/observe-pods.ts";

export interface PodStarts {
  /** Pods that are made in each second, unless too many are under way. */
  readonly perSecond: number;
  readonly namespace: string;
}

/** What became of the pods. */
export interface StartedPods {
  readonly made: number;
  readonly seconds: number;
  /** Seconds in which no pods were made, because enough were under way. */
  readonly skipped: number;
}

/** What the names of these pods begin with. */
export const STARTED = "rolling-";
/** Two cores start no more beside an agent that is to be back within PLUGIN_AGENT_WAIT. */
const UNDER_WAY_MAX = 12;
const TICK_MS = 1000;
/** What the last pods have to become Ready, on a busy machine. */
const LAST_MS = 120_000;

/** Does `work`, and waits until all pods have started that were made meanwhile.
 * @throws {AssertionError} when one was refused, or was not captured when it was to start. */
export async function whilePodsStart(
  cluster: Cluster,
  starts: PodStarts,
  work: () => Promise<void>,
): Promise<StartedPods> {
  const ending = new AbortController();
  const begunMs = performance.now();
  const [done, progress] = await Promise.allSettled([
    work().finally(() => ending.abort()),
    startPods(cluster, starts, ending.signal),
  ]);
  if (done.status === "rejected") throw done.reason;
  if (progress.status === "rejected") throw progress.reason;
  const { made, started, outside, skipped } = progress.value;
  const seconds = (performance.now() - begunMs) / 1000;
  const complaints = await listComplaints(cluster, starts.namespace);
  assert.deepEqual(
    complaints.filter((line) => line.startsWith(STARTED)),
    [],
  );
  assert.deepEqual(outside, [], "uncaptured");
  assert.equal(started, made);
  return { made, seconds, skipped };
}

interface Progress {
  made: number;
  started: number;
  skipped: number;
  /** Pods whose istio-validation did not pass at its first try. */
  readonly outside: string[];
}

/** Makes that many pods in each second until `signal`; takes away those that are Ready. Resolves once all of them were.
 * @throws {Error} when some are not long after the last was made. */
async function startPods(
  cluster: Cluster,
  { perSecond, namespace }: PodStarts,
  signal: AbortSignal,
): Promise<Progress> {
  const progress: Progress = { made: 0, started: 0, skipped: 0, outside: [] };
  const underWay = new Set<string>();
  const firstMs = performance.now();
  let endedMs = Number.POSITIVE_INFINITY;
  signal.addEventListener("abort", () => {
    endedMs = performance.now();
  });
  for (let tick = 1; !signal.aborted || underWay.size > 0; tick++) {
    if (performance.now() > endedMs + LAST_MS) {
      const complaints = await listComplaints(cluster, namespace);
      throw new Error(`Cannot see these Ready: ${[...underWay].join(", ")}\n${complaints.join("\n")}`);
    }
    if (signal.aborted) await sleep(TICK_MS / 2);
    else if (underWay.size + perSecond > UNDER_WAY_MAX) progress.skipped += 1;
    else {
      const names = Array.from({ length: perSecond }, () => `${STARTED}${progress.made++}`);
      await cluster.apply(names.map((name) => renderMeshPod({ name, namespace })));
      for (const name of names) underWay.add(name);
    }
    const ready = (await listPods(cluster, namespace)).filter((each) => underWay.has(nameOf(each)) && isReady(each));
    for (const each of ready) {
      underWay.delete(nameOf(each));
      progress.started += 1;
      const validation = containerStatus(each, "istio-validation");
      const hasPassed = readPath(validation, "state", "terminated", "exitCode") === 0;
      if (!hasPassed || readPath(validation, "restartCount") !== 0) progress.outside.push(nameOf(each));
    }
    if (ready.length > 0)
      await cluster.kubectl(["-n", namespace, "delete", "pod", "--wait=false", ...ready.map(nameOf)]);
    await sleep(Math.max(0, firstMs + tick * TICK_MS - performance.now()));
  }
  return progress;
}

async function listPods(cluster: Cluster, namespace: string): Promise<readonly JsonObject[]> {
  const { items } = await cluster.get("-n", namespace, "pods");
  return Array.isArray(items) ? items.filter(isJsonObject) : [];
}

function nameOf(each: JsonObject): string {
  return readText(each, "metadata", "name");
}
