// Everything `make test` promises: the gate's checks, then all tiers in one run, so that the summary at the end counts
// all of them. A tier that cannot run here fails and says why.
// Usage: tools/node tools/test.ts [unit|programs|system …]; without arguments all.
import { runGate, runTests } from "./gate.ts";
import { PROGRAM_TESTS, SYSTEM_TESTS, UNIT_TESTS } from "./test-tiers.ts";

const TIERS: Readonly<Record<string, readonly string[]>> = {
  unit: UNIT_TESTS,
  programs: PROGRAM_TESTS,
  system: SYSTEM_TESTS,
};

const asked = process.argv.slice(2);
const unknown = asked.filter((tier) => !Object.hasOwn(TIERS, tier));
if (unknown.length > 0) {
  console.error(`test: no tier ${unknown.join(", ")}; there are ${Object.keys(TIERS).join(", ")}`);
  process.exit(2);
}
if (process.getuid?.() !== 0 && (asked.length === 0 || asked.includes("system"))) {
  console.error("test: the system tier makes namespaces and runs containerd, which needs root");
  process.exit(1);
}
const patterns = (asked.length === 0 ? Object.keys(TIERS) : asked).flatMap((tier) => TIERS[tier] ?? []);
const gatePassed = runGate();
const testsPassed = runTests(patterns, ["--test-concurrency=2"]);
process.exitCode = gatePassed && testsPassed ? 0 : 1;
