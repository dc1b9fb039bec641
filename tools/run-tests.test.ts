import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { hasPassed, type TestRun } from "./run-tests.ts";

const RUN_PATTERN = join(import.meta.dirname, "testdata/run-pattern.ts");

/** In a process of its own: within a test, Node's runner runs nothing. */
function runPattern(pattern: string): { readonly run: TestRun; readonly stdout: string; readonly stderr: string } {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const options = { env, cwd: "/", encoding: "utf8", timeout: 120_000 } as const;
  const { stdout, stderr } = spawnSync(process.execPath, [RUN_PATTERN, pattern], options);
  return { run: JSON.parse(stdout.split("\n").at(-1) ?? ""), stdout, stderr };
}

test("runTests() says what passed, failed and was skipped, and tells a failure at once", () => {
  const { run, stdout, stderr } = runPattern("tools/testdata/three-outcomes.ts");
  const files = ["tools/testdata/three-outcomes.ts"];
  assert.deepEqual(run, { files, passed: ["passes"], failed: ["fails"], skipped: ["is skipped"] });
  assert.match(stdout, /on purpose/);
  assert.equal(stderr, "test: FAILED tools/testdata/three-outcomes.ts: fails\n");
  assert.equal(hasPassed(run), false);
});

test("hasPassed() wants something to have passed: a pattern that finds nothing is no success", () => {
  const { run } = runPattern("tools/testdata/*.none");
  assert.deepEqual(run, { files: [], passed: [], failed: [], skipped: [] });
  assert.equal(hasPassed(run), false);
  assert.equal(hasPassed({ ...run, passed: ["x"] }), true);
});
