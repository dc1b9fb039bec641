import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { exec } from "./exec.ts";
import { ExecError, type ExecErrorCode } from "./exec-error.ts";
import { findProgram } from "./find-program.ts";

const sh = (script: string): [string, ...string[]] => ["/bin/sh", "-c", script];

test("exec() gives both outputs, feeds the input, and shows the child nothing of our environment", async () => {
  process.env["EXEC_TEST_SECRET"] = "ours";
  const done = await exec({
    argv: sh("cat; echo warning >&2; env"),
    input: "in\n",
    env: { EXTRA: "1" },
    timeoutMs: 60_000,
  });
  delete process.env["EXEC_TEST_SECRET"];
  assert.match(done.stdout, /^in\n/);
  assert.equal(done.stderr, "warning\n");
  assert.match(done.stdout, /^LC_ALL=C$/m);
  assert.match(done.stdout, /^EXTRA=1$/m);
  assert.doesNotMatch(done.stdout, /EXEC_TEST_SECRET|HOME=/);
});

test("exec() rejects with the status and what the program said", async () => {
  const error = await failure(exec({ argv: sh("echo no such table >&2; exit 3"), timeoutMs: 60_000 }));
  assert.equal(error.code, "exit");
  assert.equal(error.exitCode, 3);
  assert.equal(error.message, "Cannot run /bin/sh: it ended with 3: no such table");
});

const failures: [string, ExecErrorCode, () => Promise<unknown>][] = [
  ["a program that is not there", "not-started", () => exec({ argv: ["/nonexistent"], timeoutMs: 60_000 })],
  ["a program that is too slow", "timeout", () => exec({ argv: ["/bin/sleep", "60"], timeoutMs: 20 })],
  ["a program that never stops talking", "output", () => exec({ argv: ["/usr/bin/yes"], timeoutMs: 60_000 })],
  ["a program that kills itself", "signal", () => exec({ argv: sh("kill -9 $$"), timeoutMs: 60_000 })],
  [
    "a caller who changed his mind",
    "aborted",
    () => {
      const controller = new AbortController();
      const running = exec({ argv: ["/bin/sleep", "60"], timeoutMs: 60_000, signal: controller.signal });
      controller.abort();
      return running;
    },
  ],
  [
    "a caller who changed his mind before",
    "aborted",
    () => exec({ argv: ["/bin/true"], timeoutMs: 60_000, signal: AbortSignal.abort() }),
  ],
];

for (const [name, code, run] of failures) {
  test(`exec() rejects with ${code} for ${name}`, async () => {
    assert.equal((await failure(run())).code, code);
  });
}

test("exec() waits for nobody whom a program that it kills has started", { timeout: 60_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "istio-cni-exec-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const controller = new AbortController();
  // The grandchild has both outputs open.
  const script = `sleep 300 & echo $! > ${folder}/new; mv ${folder}/new ${folder}/pid; wait`;
  const running = failure(exec({ argv: sh(script), timeoutMs: 60_000, signal: controller.signal }));
  while (!existsSync(join(folder, "pid"))) await setTimeout(5);
  const grandchild = Number(readFileSync(join(folder, "pid"), "utf8"));
  t.after(() => process.kill(grandchild, "SIGKILL"));
  controller.abort();
  assert.equal((await running).code, "aborted");
});

test("exec() does not mind a program that ends without reading its input", async () => {
  await exec({ argv: ["/bin/true"], input: "x".repeat(1024 * 1024), timeoutMs: 60_000 });
});

test("findProgram() knows the places of programs and nothing else", () => {
  assert.match(findProgram("sh") ?? "", /^\/(usr\/)?bin\/sh$/);
  assert.equal(findProgram("no-such-program"), undefined);
});

async function failure(running: Promise<unknown>): Promise<ExecError> {
  try {
    await running;
  } catch (error) {
    assert.ok(error instanceof ExecError);
    return error;
  }
  throw new Error("exec() resolved");
}
