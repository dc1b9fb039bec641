// The one gate before a commit: the checks, then unit and golden tests. Anywhere, in seconds, without root.
import { runGate } from "./gate.ts";
import { hasPassed, runTests } from "./run-tests.ts";
import { UNIT_TESTS } from "./test-tiers.ts";

const passed = [runGate(), hasPassed(await runTests(UNIT_TESTS))];
process.exitCode = passed.every((ok) => ok) ? 0 : 1;
