// Where the agent's time and memory go under load: its CPU profile over a number of ADDs and DELs, and a snapshot of its heap
// after them, for Chrome's developer tools; prints the busiest functions. Root; usage:
// tools/node bench/profile-agent.ts [--mode sidecar|ambient] [--backend iptables-nft|nftables|iptables-legacy] [--resident 500]
//   [--adds 200] [--into out/profile]
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { enterNodeNamespaces } from "../testbed/node/enter.ts";
import { REPOSITORY } from "../testbed/node/repository.ts";
import { type AddContest, type AddKind, endPods, prepareAdd, prepareSides } from "./add-contest.ts";
import { ambientKind } from "./ambient-add-section.ts";
import { startAmbientAgent } from "./ambient-agent.ts";
import { BACKENDS, type BenchBackend } from "./backends.ts";
import { createBench } from "./bench-node.ts";
import { busiestFunctions, type CpuProfile } from "./cpu-profile.ts";
import { attachInspector, type Inspector } from "./inspector.ts";
import { type MeasuredAgent, startMeasuredAgent } from "./measured-agent.ts";
import { QUICK_PLAN } from "./plan.ts";
import { readCpuMs, readMemory } from "./process-figures.ts";
import { startResidentPods } from "./resident-pods.ts";
import { sidecarKind } from "./sidecar-add-section.ts";

/** Between two looks at whether the agent has come to rest, which it has below so much CPU time. */
const REST_LOOK_MS = 1000;
const REST_CPU_MS = 60;
const REST_LOOKS = 120;
const AFTERWARDS_MS = 60;
const SAMPLING_US = 100;
const TOLD = 30;

const { values } = parseArgs({
  options: {
    mode: { type: "string", default: "ambient" },
    backend: { type: "string", default: "nftables" },
    resident: { type: "string", default: "0" },
    adds: { type: "string", default: "200" },
    into: { type: "string", default: join(REPOSITORY, "out/profile") },
  },
});
const mode = oneOf("--mode", values.mode, ["sidecar", "ambient"]);
const backendName = oneOf(
  "--backend",
  values.backend,
  BACKENDS.map(({ name }) => name),
);
const resident = count("--resident", values.resident);
const adds = count("--adds", values.adds);
mkdirSync(values.into, { recursive: true });
enterNodeNamespaces();

await using bench = await createBench(QUICK_PLAN, (text) => console.error(text));
for (const backend of BACKENDS) if (backend.name === backendName) await profile(backend);

async function profile(backend: BenchBackend): Promise<void> {
  await using owned = new AsyncDisposableStack();
  const api = owned.use(await bench.startStandIn({ resident, [mode]: 1 }, { starting: true }));
  owned.use(await startResidentPods(api.pods.filter(({ name }) => name.startsWith("resident-"))));
  const agent =
    mode === "ambient"
      ? owned.use(await startAmbientAgent(bench, api, backend.env)).measured
      : owned.use(await startMeasuredAgent(bench, "ours", api, { env: backend.env }));
  await untilAtRest(agent);
  const [side] = prepareSides(bench, backend, api, undefined);
  if (side === undefined) throw new Error("Cannot profile: our plugin is not there");
  const kind: AddKind = mode === "ambient" ? ambientKind(backend) : sidecarKind(backend);
  const netnses = owned.use(new DisposableStack());
  const contest: AddContest = { bench, title: "", agent, sides: [side], kinds: [kind], netnses };
  using inspector = await attachInspector(agent.pid);
  await inspector.call("Profiler.enable");
  await inspector.call("Profiler.setSamplingInterval", { interval: SAMPLING_US });
  await inspector.call("Profiler.start");
  const cpuBefore = readCpuMs(agent.pid);
  for (let index = 0; index < adds; index++) {
    const { add, undo } = prepareAdd(contest, side, kind, 0);
    await bench.meter.measure(add);
    await sleep(AFTERWARDS_MS);
    if (undo !== undefined) await bench.meter.measure(undo);
    await endPods(side, kind, [0]);
    await sleep(AFTERWARDS_MS);
  }
  const cpuMs = readCpuMs(agent.pid) - cpuBefore;
  const { profile: cpu } = (await inspector.call("Profiler.stop")) as { profile: CpuProfile };
  writeFileSync(join(values.into, "agent.cpuprofile"), JSON.stringify(cpu));
  console.log(
    `${adds} ADDs and DELs, ${mode} mode, ${backend.name}, ${resident} pods: ${cpuMs.toFixed(0)} ms CPU time`,
  );
  console.log("   self ms  total ms");
  for (const { name, selfMs, totalMs } of busiestFunctions(cpu, TOLD))
    console.log(`${selfMs.toFixed(1).padStart(10)}${totalMs.toFixed(1).padStart(10)}  ${name}`);
  const { rssMib, anonMib } = readMemory(agent.pid);
  console.log(`resident ${rssMib.toFixed(1)} MiB, anonymous ${anonMib.toFixed(1)} MiB, with the inspector's own`);
  await takeHeapSnapshot(inspector, join(values.into, "agent.heapsnapshot"));
  console.log(`written: ${values.into}/agent.cpuprofile, agent.heapsnapshot`);
}

/** Chunk by chunk: it may be larger than what one string holds. */
async function takeHeapSnapshot(inspector: Inspector, path: string): Promise<void> {
  const file = openSync(path, "w");
  inspector.on("HeapProfiler.addHeapSnapshotChunk", ({ chunk }) => writeSync(file, String(chunk)));
  await inspector.call("HeapProfiler.takeHeapSnapshot");
  closeSync(file);
}

async function untilAtRest({ pid }: MeasuredAgent): Promise<void> {
  for (let look = 0; look < REST_LOOKS; look++) {
    const before = readCpuMs(pid);
    await sleep(REST_LOOK_MS);
    if (readCpuMs(pid) - before < REST_CPU_MS) return;
  }
  throw new Error(`Cannot profile ADDs: the agent has not come to rest within ${(REST_LOOKS * REST_LOOK_MS) / 1000} s`);
}

function oneOf<const T extends string>(name: string, value: string, accepted: readonly T[]): T {
  const found = accepted.find((each) => each === value);
  if (found === undefined) throw new Error(`Cannot profile: ${name} is ${value}, accepted are ${accepted.join(", ")}`);
  return found;
}

function count(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 10_000)
    throw new Error(`Cannot profile: ${name} is ${text}, accepted are 0 to 10000`);
  return value;
}
