// A soak of any length: `make soak` is one of an hour. Usage: tools/node testbed/soak/main.ts [--seconds N] [--seed N]
// [--log FILE]; FILE gets what the agents write. Exit status 1 when anything was not as it should be.
import { parseArgs } from "node:util";
import { enterNodeNamespaces } from "../node/enter.ts";
import { findFaults, renderFigures } from "./report.ts";
import { runSoak } from "./run-soak.ts";

const { values: flags } = parseArgs({
  options: { seconds: { type: "string", default: "3600" }, seed: { type: "string" }, log: { type: "string" } },
});
const seconds = readWhole("--seconds", flags.seconds, 86_400);
const seed = flags.seed === undefined ? Date.now() % 1_000_000 : readWhole("--seed", flags.seed, 2 ** 31);
enterNodeNamespaces();
console.log(`soak of ${seconds} s with seed ${seed}`);
const result = await runSoak({ seconds, seed, say: (line) => console.log(line), logPath: flags.log });
console.log(`\n${renderFigures(result)}\n`);
const faults = findFaults(result);
for (const fault of faults) console.log(`NOT AS IT SHOULD BE: ${fault}`);
if (faults.length > 0) console.log(`Again: tools/node testbed/soak/main.ts --seconds ${seconds} --seed ${seed}`);
process.exitCode = faults.length === 0 ? 0 : 1;

function readWhole(name: string, text: string, max: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  console.error(`soak: Cannot use ${name} ${text}: a whole number from 1 to ${max} is accepted`);
  process.exit(2);
}
