// `make bench`: measures us beside the bare runtime (and upstream, where it is given) in one run, prints a table, and
// writes it as JSON. Usage: tools/node bench/main.ts [--quick] [--only SECTION,...]. How and why: README.md.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { enterNodeNamespaces } from "../testbed/node/enter.ts";
import { REPOSITORY } from "../testbed/node/repository.ts";
import { measureAgent } from "./agent-section.ts";
import { measureAmbientAdd } from "./ambient-add-section.ts";
import { measureAmbientScale } from "./ambient-scale-section.ts";
import { type Bench, createBench, OURS } from "./bench-node.ts";
import { judge } from "./budget.ts";
import type { Figure } from "./figure.ts";
import { describeMachine, type Machine, readLoad, renderMachineName } from "./machine.ts";
import { measureNetfilter } from "./netfilter-section.ts";
import { FULL_PLAN, QUICK_PLAN } from "./plan.ts";
import { measurePlugin } from "./plugin-section.ts";
import { measureSandbox } from "./sandbox-section.ts";
import { measureSidecarAdd } from "./sidecar-add-section.ts";
import { renderReport } from "./table.ts";

const SECTIONS: Readonly<Record<string, (bench: Bench) => Promise<Figure[]>>> = {
  plugin: measurePlugin,
  sandbox: measureSandbox,
  agent: measureAgent,
  netfilter: measureNetfilter,
  "sidecar-add": measureSidecarAdd,
  "ambient-add": measureAmbientAdd,
  "ambient-scale": measureAmbientScale,
};

interface Load {
  readonly before: number;
  readonly after: number;
}

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
{
  await using bench = await createBench(isQuick ? QUICK_PLAN : FULL_PLAN, say);
  for (const [name, measure] of Object.entries(SECTIONS)) {
    if (only !== undefined && !only.includes(name)) continue;
    const sectionStart = performance.now();
    say(`measuring: ${name}`);
    figures.push(...(await measure(bench)));
    say(`  ${Math.round((performance.now() - sectionStart) / 1000)} s`);
  }
  // Before the node is taken down: whatever that meets, what was measured is not lost.
  const load = { before: loadBefore, after: readLoad() };
  console.log(`${renderReport(figures)}\n\n${renderMachine(machine, load)}`);
  say(`written: ${writeResults(figures, { machine, load })}`);
}

function say(text: string): void {
  console.error(text);
}

function renderMachine({ cpu, cores, kernel, memoryGib, versions, revision }: Machine, load: Load): string {
  const programs = Object.entries(versions).map(([name, version]) => `${name}: ${version}`);
  return [
    `${cpu}, ${cores} cores, ${memoryGib} GiB, Linux ${kernel}; load ${load.before} before, ${load.after} after`,
    `revision ${revision}; ${programs.join("; ")}${isQuick ? "\nA quick run: the numbers show an order of magnitude." : ""}`,
  ].join("\n");
}

function writeResults(measured: readonly Figure[], about: { machine: Machine; load: Load }): string {
  const folder = join(REPOSITORY, "bench/results");
  mkdirSync(folder, { recursive: true });
  const time = startedAt.toISOString().slice(0, 19).replaceAll(":", "");
  const path = join(folder, `${time}-${renderMachineName(about.machine)}${isQuick ? "-quick" : ""}.json`);
  const judged = measured.map((figure) => ({ ...figure, ...judge(figure) }));
  const content = { startedAt: startedAt.toISOString(), isQuick, only: values.only, ...about, figures: judged };
  writeFileSync(path, `${JSON.stringify(content, null, 2)}\n`);
  return path;
}
