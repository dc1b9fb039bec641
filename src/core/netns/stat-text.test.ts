import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseProcessStat } from "./stat-text.ts";

const captured = readFileSync(join(import.meta.dirname, "testdata/captured-stat.txt"), "utf8");

test("parseProcessStat() reads what a kernel wrote", () => {
  assert.deepEqual(parseProcessStat(captured), { comm: "nettool", startTime: 345253 });
});

test("parseProcessStat() reads names with blanks, parentheses and newlines", () => {
  for (const comm of ["a b", "(a) (b)", ") S 1 1", "((", "))", "", "x\ny"]) {
    assert.deepEqual(parseProcessStat(captured.replace("nettool", comm)), { comm, startTime: 345253 });
  }
});

test("parseProcessStat() refuses text that is cut short or none", () => {
  for (const text of ["", "120", "120 (x", "120 x)", "120 (x) S 1 2 3", captured.replace("345253", "-1"), ")("]) {
    assert.equal(parseProcessStat(text), undefined, text);
  }
});
