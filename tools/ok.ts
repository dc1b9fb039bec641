// The one gate before a commit: the checks, then unit and golden tests. Anywhere, in seconds, without root.
import { runGate, runStep, runTests } from "./gate.ts";
import { UNIT_TESTS } from "./test-tiers.ts";

const passed = [runGate(), runStep("unit tests", () => runTests(UNIT_TESTS))];
process.exitCode = passed.every((ok) => ok) ? 0 : 1;
