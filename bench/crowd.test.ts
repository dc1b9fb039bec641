import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseCrowdMember, runCrowd } from "./crowd.ts";

test("parseCrowdMember() converts the crowd's units", () => {
  assert.deepEqual(parseCrowdMember("0 500000 1500000 200 300 2048"), {
    ...{ status: 0, startedMs: 0.5, endedMs: 1.5 },
    ...{ cpuMs: 0.5, rssMib: 2 },
  });
});

test("parseCrowdMember() refuses what is not six numbers", () => {
  for (const line of ["", "0 1 2 3 4", "0 1 2 3 4 5 6", "0 -1 2 3 4 5", "crowd: Cannot"])
    assert.throws(() => parseCrowdMember(line), TypeError, line);
});

test("each of a crowd runs with its own environment and output, and one that fails is told", async () => {
  const folder = mkdtempSync(join(tmpdir(), "crowd-"));
  try {
    const outputPath = (index: number): string => join(folder, String(index));
    const requests = Array.from({ length: 5 }, (_, index) => ({
      program: "/usr/bin/env",
      stdinPath: "/dev/null",
      outputPath: outputPath(index),
      env: { NUMBER: String(index) },
    }));
    const { members, processors } = await runCrowd(requests);
    assert.ok(processors.after.total >= processors.before.total && processors.before.total > 0);
    for (const [index, { startedMs, endedMs }] of members.entries()) {
      assert.equal(readFileSync(outputPath(index), "utf8"), `NUMBER=${index}\n`);
      assert.ok(startedMs >= 0 && endedMs > startedMs);
    }
    const failing = { program: "/usr/bin/false", stdinPath: "/dev/null", outputPath: outputPath(9) };
    await assert.rejects(runCrowd([...requests, failing]), /ended with 1/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
