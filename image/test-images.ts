// Runs the tests of the images and leaves what they found as an in-toto test result beside the images, for signing.
import { writeFileSync } from "node:fs";
import { glob } from "node:fs/promises";
import { join, resolve } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { IMAGE_TESTS } from "../tools/test-tiers.ts";
import { TEST_RESULT } from "./describe/predicates.ts";

const REPOSITORY = resolve(import.meta.dirname, "..");
const IMAGES = process.env["IMAGES"] ?? join(REPOSITORY, "out/images");

if (process.getuid?.() !== 0) throw new Error("Cannot test the images: running them in containerd needs root");
const files = await Array.fromAsync(glob([...IMAGE_TESTS], { cwd: REPOSITORY }));
const passed: string[] = [];
const failed: string[] = [];
const stream = run({ files: files.map((file) => join(REPOSITORY, file)).toSorted(), concurrency: 2 });
stream.on("test:pass", (event) => void passed.push(event.name));
stream.on("test:fail", (event) => {
  failed.push(event.name);
  process.exitCode = 1;
});
stream.compose(spec).pipe(process.stdout);
stream.on("end", () => {
  // https://github.com/in-toto/attestation, spec/predicates/test-result.md, v0.1.
  const result = {
    result: failed.length === 0 && passed.length > 0 ? "PASSED" : "FAILED",
    configuration: files.toSorted().map((name) => ({ name })),
    passedTests: passed,
    failedTests: failed,
  };
  writeFileSync(join(IMAGES, TEST_RESULT.file), `${JSON.stringify(result, null, 1)}\n`);
});
