/**
 * Fuzzes the readers of hostile input, all or some, for as long as asked; every finding is kept in the corpus and printed.
 * Usage: tools/node testbed/fuzz/main.ts [--seconds N (all together)] [--inputs N (each)] [--seed N] [--keep DIRECTORY] [TARGET…]
 */
import { mkdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { CORPUS, keepInput, readCorpus } from "./corpus.ts";
import { type FuzzResult, fuzz } from "./fuzz-run.ts";
import { findTarget, TARGET_NAMES } from "./targets.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "3600" },
    inputs: { type: "string", default: "Infinity" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    keep: { type: "string" },
  },
});
const names = positionals.length === 0 ? TARGET_NAMES : positionals.map((name) => findTarget(name).name);
const [seconds, seed] = [Number(values.seconds) / names.length, Number(values.seed)];
const maxExecutions = Number(values.inputs);
if (!(seconds > 0) || !(maxExecutions > 0) || !Number.isSafeInteger(seed)) {
  const given = `--seconds ${values.seconds} --inputs ${values.inputs} --seed ${values.seed}`;
  console.error(`fuzz: Cannot use ${given}: accepted are two positive numbers and a whole one`);
  process.exit(2);
}
console.log(`seed ${seed}, ${names.length} targets, ${seconds.toFixed(1)} s each`);
console.log(
  `${"target".padEnd(24)}${"executions".padStart(12)}${"per second".padStart(12)}${"features".padStart(10)}${"findings".padStart(10)}`,
);
let found = 0;
for (const name of names) {
  const startedMs = performance.now();
  const corpus = readCorpus(name).map(({ input }) => input);
  const result = await fuzz(name, { seed, seconds, maxExecutions, corpus });
  print(result, (performance.now() - startedMs) / 1000);
  found += result.findings.length;
  if (values.keep !== undefined) keepAll(name, result, values.keep);
}
process.exitCode = found === 0 ? 0 : 1;

function print({ target, executions, features, findings }: FuzzResult, tookSeconds: number): void {
  const perSecond = Math.round(executions / tookSeconds);
  const numbers = [executions, perSecond].map((number) => String(number).padStart(12)).join("");
  console.log(`${target.padEnd(24)}${numbers}${String(features).padStart(10)}${String(findings.length).padStart(10)}`);
  for (const { input, message, stack } of findings) {
    console.log(`  FINDING ${target}, seed ${seed}, ${input.length} bytes in ${keepInput(target, input, CORPUS)}`);
    console.log(`    ${message.slice(0, 2000).replaceAll("\n", "\n    ")}`);
    console.log(`    ${stack.split("\n").slice(1, 6).join("\n    ")}`);
  }
}

/** Everything that showed something new, for whoever wants to look at it or to choose of it for the corpus. */
function keepAll(target: string, { kept }: FuzzResult, folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const input of kept) keepInput(target, input, folder);
}
