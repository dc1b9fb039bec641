import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseExecStamp, parseMeasurement, renderMeterRequest, startMeter } from "./meter.ts";

test("parseMeasurement() converts the meter's units", () => {
  assert.deepEqual(parseMeasurement("0 1500000 200 300 2048"), { status: 0, wallMs: 1.5, cpuMs: 0.5, rssMib: 2 });
});

test("parseMeasurement() refuses what is not five numbers", () => {
  for (const line of ["", "0 1 2 3", "0 1 2 3 4 5", "0 1 -2 3 4", "0 1 2 3 4 ", "meter: Cannot"])
    assert.throws(() => parseMeasurement(line), TypeError, line);
});

test("parseExecStamp() reads the stamp and nothing else", () => {
  assert.deepEqual(parseExecStamp("meter: exec 123456789012345 2500000"), { atNs: 123456789012345n, cpuMs: 2.5 });
  assert.equal(parseExecStamp("meter: Cannot execute /x: No such file"), undefined);
});

test("renderMeterRequest() refuses a field that would become two", () => {
  const request = { program: "/p", stdinPath: "/i", outputPath: "/o" };
  assert.equal(renderMeterRequest({ ...request, env: { A: "1;B=2" } }), "/p\t/i\t/o\tA=1;B=2\n");
  for (const value of ["a\tb", "a\nb", "a\0b"])
    assert.throws(() => renderMeterRequest({ ...request, env: { A: value } }));
});

test("the meter passes stdin and environment on, and reports the output of a program that fails", async () => {
  const folder = mkdtempSync(join(tmpdir(), "meter-"));
  try {
    await using meter = startMeter();
    const outputPath = join(folder, "output");
    const empty = await meter.measure({ program: "/usr/bin/true", stdinPath: "/dev/null", outputPath });
    assert.equal(empty.status, 0);
    assert.ok(empty.wallMs > 0 && empty.rssMib > 0);
    await meter.measure({ program: "/usr/bin/env", stdinPath: "/dev/null", outputPath, env: { A: "x y", B: "" } });
    assert.equal(readFileSync(outputPath, "utf8"), "A=x y\nB=\n");
    await assert.rejects(
      meter.measure({ program: "/usr/bin/false", stdinPath: "/dev/null", outputPath }),
      /ended with 1/,
    );
    await assert.rejects(meter.measure({ program: "/no/such", stdinPath: "/dev/null", outputPath }), /ended with 127/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
