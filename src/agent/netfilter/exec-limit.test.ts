import assert from "node:assert/strict";
import { test } from "node:test";
import type { ExecRequest, ExecResult } from "../../platform/exec/exec.ts";
import { limitExec } from "./exec-limit.ts";

const request = (name: string): ExecRequest => ({ argv: [name], timeoutMs: 1000 });

test("limitExec() runs so many at once, in the order they came, and goes on after a failure", async () => {
  const started: string[] = [];
  const open = new Map<string, PromiseWithResolvers<ExecResult>>();
  const limited = limitExec(({ argv }) => {
    const pending = Promise.withResolvers<ExecResult>();
    started.push(argv[0]);
    open.set(argv[0], pending);
    return pending.promise;
  }, 2);
  const results = ["a", "b", "c", "d"].map((name) => limited(request(name)));
  assert.deepEqual(started, ["a", "b"]);
  open.get("b")?.reject(new Error("failed"));
  await assert.rejects(results[1] ?? assert.fail(), /failed/);
  assert.deepEqual(started, ["a", "b", "c"]);
  for (const name of ["a", "c"]) open.get(name)?.resolve({ stdout: name, stderr: "" });
  assert.equal((await results[2])?.stdout, "c");
  assert.deepEqual(started, ["a", "b", "c", "d"]);
  open.get("d")?.resolve({ stdout: "", stderr: "" });
  await results[3];
});
