// One pod of a soak from its birth to its end, by the hands of a kubelet: tried again until it starts, reported, watched by a witness
// from its first moment, deleted. What the witness saw is judged at the end (verdict.ts).
import { globSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { KubeObject } from "../api-server/kube-object.ts";
import { hostNetworkPod, plainPod, sidecarPod } from "../api-server/pod-fixtures.ts";
import { CriError } from "../node/cri-error.ts";
import { type MeshNode, NEW_POD, podSpecOf, withProxyEnv } from "../node/mesh-node.ts";
import type { TestPod } from "../node/pod.ts";
import { startApplication, startSidecar } from "../sidecar/sidecar.ts";
import type { AgentKeeper } from "./agent-keeper.ts";
import type { Ledger } from "./ledger.ts";
import type { PodPlan } from "./plan.ts";
import { type Excuse, judgePod } from "./verdict.ts";
import { APPLICATION_PORT, startWitness, type Witness, witnessNowMs } from "./witness.ts";

/** A pod that runs, for faults to choose from. */
export interface LivePod {
  readonly plan: PodPlan;
  readonly pod: TestPod;
  readonly witness: Witness;
  readonly excuses: Excuse[];
}

/** What all pods of a soak share. */
export interface SoakWorld {
  readonly mesh: MeshNode;
  readonly agent: AgentKeeper;
  readonly ledger: Ledger;
  /** Outside the mesh, with an application; it talks with every pod. */
  readonly peer: TestPod;
  readonly live: Set<LivePod>;
  /** UIDs of pods that went so far. */
  readonly gone: Set<string>;
  /** Files of namespaces that were there when the runtime was ended, and of which it knew no sandbox afterwards. */
  readonly forgotten: Set<string>;
}

/** A fault lasts 20 s at most; two lanes of them. What takes longer than this is stuck. */
const PATIENCE_MS = 180_000;
const KUBELET_MS = 30_000;
const BACKOFF_MS = 400;

/** Neither rejects: whatever is wrong goes to the ledger. */
export interface PodLife {
  /** Its sandbox is there, or will never be. */
  readonly started: Promise<void>;
  /** Nothing is left of it. */
  readonly ended: Promise<void>;
}

/** `end` cuts its life short, once all its connections go where they should. */
export function beginPodLife(world: SoakWorld, plan: PodPlan, end: AbortSignal): PodLife {
  const { promise, resolve } = Promise.withResolvers<void>();
  const ended = runPodLife(world, plan, end, resolve);
  return { started: Promise.race([promise, ended]), ended };
}

async function runPodLife(world: SoakWorld, plan: PodPlan, end: AbortSignal, onStarted: () => void): Promise<void> {
  const { mesh, ledger } = world;
  const object = mesh.api.put(describePod(plan));
  const key = `${plan.namespace}/${plan.name}`;
  try {
    const pod = await startSandbox(world, plan, object);
    if (pod === undefined) return;
    ledger.count(`${plan.kind} pods started`);
    onStarted();
    try {
      if (plan.expectation === "none") await sleepUntil(plan.livesMs, end);
      else await observeLife(world, plan, pod, end);
    } finally {
      await removeSandboxes(world, pod.uid);
    }
  } catch (error) {
    ledger.breach(`${key}: ${error instanceof Error ? error.stack : String(error)}`);
  } finally {
    world.gone.add(object.metadata.uid ?? "");
    mesh.api.remove("pods", key);
  }
}

function describePod(plan: PodPlan): KubeObject {
  const { name, namespace, kind, labels, annotations, interceptionMode, isNative } = plan;
  const options = { ...NEW_POD, name, namespace, labels, annotations };
  if (kind === "sidecar") {
    const pod = sidecarPod({ ...options, interceptionMode, native: isNative });
    return plan.isDualStack ? withProxyEnv(pod, { ISTIO_DUAL_STACK: "true" }) : pod;
  }
  return kind === "host-network" ? hostNetworkPod(options) : plainPod(options);
}

/** Undefined, and a breach: it did not start within our patience. */
async function startSandbox(world: SoakWorld, plan: PodPlan, object: KubeObject): Promise<TestPod | undefined> {
  const { mesh, ledger } = world;
  const spec = { ...podSpecOf(object), hostNetwork: plan.expectation === "none" };
  const beganMs = witnessNowMs();
  let last = "";
  for (let attempt = 0; witnessNowMs() - beganMs < PATIENCE_MS; attempt++) {
    const timeoutMs = attempt === 0 ? (plan.givenUpAfterMs ?? KUBELET_MS) : KUBELET_MS;
    try {
      const pod = await mesh.node.runPod({ ...spec, attempt, timeoutMs });
      ledger.sample("sandbox start", pod.addMs);
      return pod;
    } catch (error) {
      if (!(error instanceof CriError)) throw error;
      ledger.count("starts refused or given up");
      ledger.count(`refused: ${nameRefusal(error)}`);
      last = error.message;
    }
    // As a kubelet does before it tries again: the runtime may have finished what was given up.
    await removeSandboxes(world, object.metadata.uid ?? "");
    await sleep(BACKOFF_MS);
  }
  ledger.breach(`${plan.namespace}/${plan.name} did not start within ${PATIENCE_MS} ms: ${last}`);
  return undefined;
}

/** A class of refusals, few of them, for the table. */
function nameRefusal({ status, details }: CriError): string {
  if (status === 4) return "given up by the kubelet";
  if (status === 14) return "the runtime was away";
  const known = [
    "Cannot decide on pod",
    "istio-cni-node",
    "no ztunnel is connected",
    "ztunnel",
    "failed to find plugin",
  ];
  return known.find((text) => details.includes(text)) ?? details.replaceAll(/[0-9a-f-]{20,}|\d+/g, "N").slice(0, 100);
}

async function observeLife(world: SoakWorld, plan: PodPlan, pod: TestPod, end: AbortSignal): Promise<void> {
  const { mesh, ledger, peer, live } = world;
  const key = `${plan.namespace}/${plan.name}`;
  const isCaptured = plan.expectation === "captured";
  await using programs = new AsyncDisposableStack();
  const startPrograms = async (): Promise<void> =>
    void programs.use(await startApplication(mesh.node.nettool, pod, [APPLICATION_PORT]));
  // A pod outside is to be reached from the first moment on, so there has to be somebody.
  if (!isCaptured) await startPrograms();
  const excuses: Excuse[] = [];
  if (isCaptured && !wasAsked(pod)) {
    ledger.count("captured pods that the runtime started without asking");
    excuses.push({ why: "runtime did not ask", fromMs: 0, doneMs: 0 });
  }
  const witness = startWitness(plan, pod, peer);
  const alive: LivePod = { plan, pod, witness, excuses };
  live.add(alive);
  let isStopped = false;
  try {
    if (isCaptured) await startPrograms();
    report(mesh, pod);
    if (plan.kind === "sidecar" && isCaptured) {
      await sleep(plan.proxyAfterMs);
      programs.use(await startSidecar(mesh.node.nettool, pod, { transparent: plan.interceptionMode === "TPROXY" }));
    }
    const beganMs = witnessNowMs();
    while (!witness.isAsPlanned() && witnessNowMs() - beganMs < PATIENCE_MS) await sleep(50);
    if (witness.isAsPlanned()) {
      await sleepUntil(plan.livesMs, end);
      if (plan.terminatesForMs > 0) {
        const metadata = { deletionTimestamp: new Date().toISOString(), deletionGracePeriodSeconds: 30 };
        mesh.api.patch("pods", key, { metadata });
        await sleep(plan.terminatesForMs);
      }
    } else
      ledger.breach(`${key}: its connections do not go where they should after ${PATIENCE_MS} ms: ${tell(witness)}`);
    isStopped = true;
    ledger.count("connections tried", await witness.stop());
  } finally {
    live.delete(alive);
    if (!isStopped) await witness.stop();
  }
  const { breaches, exposures } = judgePod(plan, witness.observations, excuses);
  for (const breach of breaches) ledger.breach(`${key} (${pod.uid}): ${breach}; of ${JSON.stringify(plan)}`);
  for (const { why, ms } of exposures) ledger.expose(why, plan.kind, ms);
}

const tell = ({ observations }: Witness): string =>
  observations
    .slice(-8)
    .map(({ way, outcome }) => `${way} ${outcome}`)
    .join(", ");

/** The kubelet's status of a pod that runs. */
function report(mesh: MeshNode, pod: TestPod): void {
  const status = { phase: "Running", podIP: pod.ips[0] ?? null, podIPs: pod.ips.map((ip) => ({ ip })) };
  mesh.api.patch("pods", `${pod.namespace}/${pod.name}`, { status });
}

/** Whether our plugin was in the chain that the runtime went by for this very sandbox: libcni keeps the conflist that it used (libcni/api.go,
 * cniCacheV1). Somebody who takes our entry out makes the runtime start pods of which we are never told. */
function wasAsked(pod: TestPod): boolean {
  const [path] = globSync(`/var/lib/cni/results/*-${pod.id}-eth0`);
  if (path === undefined) throw new Error(`Cannot tell which plugins ${pod.name} was started with: no cached result`);
  const cached: unknown = JSON.parse(readFileSync(path, "utf8"));
  const config = typeof cached === "object" && cached !== null && "config" in cached ? cached.config : undefined;
  if (typeof config !== "string") throw new Error(`Cannot read ${path}: there is no config`);
  return Buffer.from(config, "base64").toString("utf8").includes('"istio-cni"');
}

/** All sandboxes of a pod, tried until they are gone: the runtime itself may be away for a while. */
async function removeSandboxes({ mesh, ledger }: SoakWorld, uid: string): Promise<void> {
  const { cri } = mesh.node.runtime;
  let last = "";
  for (const beganMs = witnessNowMs(); witnessNowMs() - beganMs < PATIENCE_MS; await sleep(BACKOFF_MS)) {
    try {
      const ids = await cri.listPodSandboxes(KUBELET_MS, uid);
      for (const id of ids) {
        const stopMs = witnessNowMs();
        await cri.stopPodSandbox(id, KUBELET_MS);
        ledger.sample("sandbox stop", witnessNowMs() - stopMs);
        await cri.removePodSandbox(id, KUBELET_MS);
      }
      return;
    } catch (error) {
      if (!(error instanceof CriError)) throw error;
      ledger.count("deletions to be tried again");
      last = error.message;
    }
  }
  ledger.breach(`the sandbox of pod ${uid} could not be removed within ${PATIENCE_MS} ms: ${last}`);
}

async function sleepUntil(ms: number, end: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal: end }).catch(() => undefined);
}
