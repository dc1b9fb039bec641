// A soak: pods of all kinds come and go while faults are injected, first with agents that end and are exchanged, then under one agent
// whose memory and descriptors are watched. At the end nothing may be left of any pod.
// The caller is in the node's namespaces (enterNodeNamespaces).
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readMemory } from "../../bench/process-figures.ts";
import { namespace, plainPod } from "../api-server/pod-fixtures.ts";
import { createMeshNode, NEW_POD } from "../node/mesh-node.ts";
import { listDescriptors } from "../node/open-descriptors.ts";
import { startApplication } from "../sidecar/sidecar.ts";
import { createAgentKeeper } from "./agent-keeper.ts";
import { createChurn } from "./churn.ts";
import { createFaultInjector } from "./inject-fault.ts";
import { createLedger, type Ledger } from "./ledger.ts";
import { beginPodLife, type SoakWorld } from "./live-pod.ts";
import { findMore, readInventory, withoutForgotten } from "./node-inventory.ts";
import { AMBIENT_LABEL, ENDS_AGENT, type PodPlan } from "./plan.ts";
import { APPLICATION_PORT, compileWitness, witnessNowMs } from "./witness.ts";
import { createZtunnelKeeper } from "./ztunnel-keeper.ts";

export interface SoakOptions {
  readonly seconds: number;
  readonly seed: number;
  /** Told what happens, line by line. */
  readonly say: (line: string) => void;
  /** Gets what the agents write. */
  readonly logPath?: string | undefined;
}

export interface SoakResult {
  readonly ledger: Ledger;
  /** What is there at the end and was not at the beginning. */
  readonly leftovers: readonly string[];
  /** What the one agent of the second part has open more than before, at the same pods. */
  readonly descriptors: readonly string[];
  /** Its anonymous memory, at the same pods. */
  readonly memory: { readonly beforeMib: number; readonly afterMib: number; readonly pods: number };
  readonly seconds: number;
}

/** Share of the time in which agents end. */
const FIRST_PART = 0.6;
/** Share of the rest that only warms its agent up. */
const WARM_UP = 0.25;
const PATIENCE_MS = 120_000;
/** Records of pods that nobody saw go stay for five minutes and until a list (ADR 10.6). */
const RECORD_STAYS_MS = 420_000;

/** They live all the time, one for each way to be captured. */
const RESIDENTS: readonly PodPlan[] = [
  makeResident("sidecar", { namespace: "shop" }),
  makeResident("sidecar", { namespace: "shop", interceptionMode: "TPROXY", isNative: true }),
  makeResident("ambient", { namespace: "mesh" }),
  makeResident("ambient", { namespace: "labelled", labels: AMBIENT_LABEL }),
].map((plan, index) => ({ ...plan, name: `resident-${index}` }));

/** @throws {Error} when the node cannot be made, does not settle after the faults, or cannot be left clean. */
export async function runSoak({ seconds, seed, say, logPath }: SoakOptions): Promise<SoakResult> {
  const startMs = witnessNowMs();
  const elapsed = (): number => (witnessNowMs() - startMs) / 1000;
  compileWitness();
  const ledger = createLedger((line) => say(`${elapsed().toFixed(1).padStart(7)} ${line}`));
  await using mesh = await createMeshNode({ families: "dual" });
  const { node, api } = mesh;
  api.put(namespace("mesh", AMBIENT_LABEL));
  api.put(namespace("labelled"));
  await using ztunnel = createZtunnelKeeper();
  await ztunnel.start();
  const agent = createAgentKeeper(mesh, ledger, logPath);
  await agent.start("iptables");
  await agent.becomesReady(PATIENCE_MS);
  await node.waitForChained(PATIENCE_MS);
  const peer = await mesh.startPod(plainPod({ ...NEW_POD, name: "peer" }));
  await using _application = await startApplication(node.nettool, peer, [APPLICATION_PORT]);
  const world: SoakWorld = { mesh, agent, ledger, peer, live: new Set(), gone: new Set(), forgotten: new Set() };
  const churn = createChurn(world, seed, createFaultInjector(world, ztunnel));
  const inventory = await readInventory(node);

  const end = new AbortController();
  const residents = RESIDENTS.map((plan) => beginPodLife(world, plan, end.signal).ended);
  await settle();

  await churn.run(seconds * FIRST_PART, []);
  await agent.end("SIGTERM");
  await settle();
  // From here on no agent misses an end.
  const unseen = new Set(world.gone);
  const rest = seconds * (1 - FIRST_PART);
  await churn.run(rest * WARM_UP, ENDS_AGENT);
  await settle();
  const { pid } = agent.current();
  const before = { ...readMemory(pid), descriptors: await settleDescriptors(pid), pods: churn.podCount() };
  await churn.run(rest * (1 - WARM_UP), ENDS_AGENT);
  await settle();
  const memory = {
    beforeMib: before.anonMib,
    afterMib: readMemory(pid).anonMib,
    pods: churn.podCount() - before.pods,
  };
  let descriptors: readonly string[] = [];
  // While the runtime's chain lacked our plugin nobody told of an end but the API.
  await until("the agent has closed what it had open for pods that are gone", async () => {
    descriptors = findMore(before.descriptors, await settleDescriptors(pid));
    return descriptors.length === 0;
  });

  end.abort();
  await Promise.all(residents);
  await until("ztunnel has no pod", () => ztunnel.podCount() === 0);
  let leftovers: readonly string[] = [];
  let forgotten = 0;
  await until("nothing is left", async () => {
    const more = findMore(inventory, await readInventory(node)).filter(
      (line) => !isAwaited({ agent, gone: unseen }, line),
    );
    leftovers = withoutForgotten(more, world.forgotten);
    forgotten = more.length - leftovers.length;
    return leftovers.length === 0;
  });
  if (forgotten > 0) ledger.count("files and mounts of namespaces that the runtime forgot", forgotten);
  await agent.end("SIGTERM");
  return { ledger, leftovers, descriptors, memory, seconds: elapsed() };

  /** All faults are over: the agent is ready and watches, the runtime has our plugin in its chain, and the residents are captured. */
  async function settle(): Promise<void> {
    if (!agent.isThere()) await agent.start("iptables");
    if (!(await agent.becomesReady(PATIENCE_MS)))
      ledger.breach(`the agent is not ready ${PATIENCE_MS} ms after the faults`);
    // After a long outage it stays away for up to half a minute, as clients of the API do.
    await until("the agent watches pods and namespaces", () =>
      ["pods", "namespaces"].every((plural) => api.watches(plural) > 0),
    );
    await until("the runtime has our plugin in its chain", () =>
      node.waitForChained().then(
        () => true,
        () => false,
      ),
    );
    await until(
      "the residents are captured",
      () => world.live.size === RESIDENTS.length && [...world.live].every(({ witness }) => witness.isAsPlanned()),
    );
  }

  /** What has not come about is a breach. */
  async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    for (const beganMs = witnessNowMs(); !(await condition()); await sleep(200)) {
      if (witnessNowMs() - beganMs < PATIENCE_MS) continue;
      ledger.breach(`after ${PATIENCE_MS} ms it is not so that ${what}`);
      return;
    }
  }
}

/** Descriptors that come and go are gone: twice the same number, a second apart. */
async function settleDescriptors(pid: number): Promise<readonly string[]> {
  let last = listDescriptors(pid);
  for (const beganMs = witnessNowMs(); witnessNowMs() - beganMs < PATIENCE_MS; ) {
    await sleep(1000);
    const now = listDescriptors(pid);
    if (now.length === last.length) return now;
    last = now;
  }
  return last;
}

/** The record of a pod whose end this agent has not seen, and not been there for long. */
function isAwaited({ agent, gone }: Pick<SoakWorld, "agent" | "gone">, line: string): boolean {
  return line.startsWith("record ") && gone.has(basename(line, ".json")) && agent.ageMs() < RECORD_STAYS_MS;
}

function makeResident(kind: "sidecar" | "ambient", plan: Partial<PodPlan>): PodPlan {
  return {
    name: "",
    namespace: "",
    kind,
    expectation: "captured",
    interceptionMode: "REDIRECT",
    isNative: false,
    isDualStack: true,
    labels: {},
    annotations: {},
    proxyAfterMs: 0,
    givenUpAfterMs: undefined,
    livesMs: 0x7fff_ffff,
    terminatesForMs: 0,
    ...plan,
  };
}
