// Runs the tests of the images and leaves what they found as an in-toto test result beside the images, for signing.
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { hasPassed, runTests } from "../tools/run-tests.ts";
import { IMAGE_TESTS } from "../tools/test-tiers.ts";
import { TEST_RESULT } from "./describe/predicates.ts";

const IMAGES = process.env["IMAGES"] ?? resolve(import.meta.dirname, "../out/images");

if (process.getuid?.() !== 0) throw new Error("Cannot test the images: running them in containerd needs root");
const run = await runTests(IMAGE_TESTS, 2);
// What was not tried has not passed.
const isPassed = hasPassed(run) && run.skipped.length === 0;
// https://github.com/in-toto/attestation, spec/predicates/test-result.md, v0.1.
const result = {
  result: isPassed ? "PASSED" : "FAILED",
  configuration: run.files.map((name) => ({ name })),
  passedTests: run.passed,
  failedTests: [...run.failed, ...run.skipped],
};
writeFileSync(join(IMAGES, TEST_RESULT.file), `${JSON.stringify(result, null, 1)}\n`);
process.exitCode = isPassed ? 0 : 1;
