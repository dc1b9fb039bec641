// `make bench`: measures us beside the bare runtime (and upstream, where it is given) in one run, prints tables, and writes
// them as JSON; a whole run writes docs/performance.md too. Usage: tools/node bench/main.ts [--quick] [--only SECTION,...].
// How and why: README.md.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { enterNodeNamespaces } from "../testbed/node/enter.ts";
import { REPOSITORY } from "../testbed/node/repository.ts";
import { measureAgent } from "./agent-section.ts";
import { measureAmbientAdd } from "./ambient-add-section.ts";
import { measureAmbientScale } from "./ambient-scale-section.ts";
import { type Bench, createBench, OURS } from "./bench-node.ts";
import type { Figure } from "./figure.ts";
import { describeMachine, readLoad, renderMachineName } from "./machine.ts";
import { measureNetfilter } from "./netfilter-section.ts";
import { FULL_PLAN, QUICK_PLAN } from "./plan.ts";
import { measurePlugin } from "./plugin-section.ts";
import { PERFORMANCE_PAGE, recordRun } from "./record-run.ts";
import { isWhole, type RunRecord, renderRunRecord } from "./run-record.ts";
import { measureSandbox } from "./sandbox-section.ts";
import { measureSidecarAdd } from "./sidecar-add-section.ts";
import { renderReport } from "./table.ts";
import { measureUpgrade } from "./upgrade-section.ts";

const SECTIONS: Readonly<Record<string, (bench: Bench) => Promise<Figure[]>>> = {
  plugin: measurePlugin,
  sandbox: measureSandbox,
  agent: measureAgent,
  netfilter: measureNetfilter,
  "sidecar-add": measureSidecarAdd,
  "ambient-add": measureAmbientAdd,
  "ambient-scale": measureAmbientScale,
  upgrade: measureUpgrade,
};

const { values } = parseArgs({ options: { quick: { type: "boolean" }, only: { type: "string" } } });
const isQuick = values.quick === true;
const only = values.only?.split(",");
const unknown = only?.find((name) => SECTIONS[name] === undefined);
if (unknown !== undefined) {
  throw new Error(`Cannot measure only ${unknown}: known are ${Object.keys(SECTIONS).join(", ")}`);
}
if (!existsSync(OURS.installCni)) throw new Error(`Cannot measure: ${OURS.installCni} is not there; run make build`);
enterNodeNamespaces();

const startedAt = new Date();
const machine = describeMachine();
const loadBefore = readLoad();
const figures: Figure[] = [];
const sectionSeconds: Record<string, number> = {};
{
  await using bench = await createBench(isQuick ? QUICK_PLAN : FULL_PLAN, say);
  for (const [name, measure] of Object.entries(SECTIONS)) {
    if (only !== undefined && !only.includes(name)) continue;
    const sectionStart = performance.now();
    say(`measuring: ${name}`);
    figures.push(...(await measure(bench)));
    const seconds = Math.round((performance.now() - sectionStart) / 1000);
    sectionSeconds[name] = seconds;
    say(`  ${seconds} s`);
  }
  // Before the node is taken down: whatever that meets, what was measured is not lost.
  const run: RunRecord = {
    startedAt: startedAt.toISOString(),
    tookSeconds: Math.round((Date.now() - startedAt.getTime()) / 1000),
    isQuick,
    ...(values.only === undefined ? {} : { only: values.only }),
    machine,
    load: { before: loadBefore, after: readLoad() },
    hasUpstream: bench.upstream !== undefined,
    sectionSeconds,
    figures,
  };
  console.log(`${renderReport(figures)}\n\n${renderMachine(run)}`);
  say(`written: ${writeResults(run)}`);
  if (isWhole(run)) {
    recordRun(run);
    say(`written: ${PERFORMANCE_PAGE}`);
  }
}

function say(text: string): void {
  console.error(text);
}

function renderMachine({ load, machine: { cpu, cores, kernel, memoryGib, versions, revision } }: RunRecord): string {
  const programs = Object.entries(versions).map(([name, version]) => `${name}: ${version}`);
  return [
    `${cpu}, ${cores} cores, ${memoryGib} GiB, Linux ${kernel}; load ${load.before} before, ${load.after} after`,
    `revision ${revision}; ${programs.join("; ")}${isQuick ? "\nA quick run: the numbers show an order of magnitude." : ""}`,
  ].join("\n");
}

function writeResults(run: RunRecord): string {
  const folder = join(REPOSITORY, "bench/results");
  mkdirSync(folder, { recursive: true });
  const time = run.startedAt.slice(0, 19).replaceAll(":", "");
  const path = join(folder, `${time}-${renderMachineName(run.machine)}${isQuick ? "-quick" : ""}.json`);
  writeFileSync(path, renderRunRecord(run));
  return path;
}
