// differences.md: every row that must have a test has one, which documents.test.ts looks up.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findCitations } from "../tools/cited-tests.ts";

const DOCUMENT = readFileSync(join(import.meta.dirname, "differences.md"), "utf8");

/** `image` with a slash drops `tag`: of the chart, which is not ours. */
const CHART_TRAP = "D36";
/** Rows of the measurements (contract and baseline, which lie beside the project) that must be answered. */
const REQUIRED = [
  ...numbered("A", 24),
  ...numbered("B", 22),
  ...numbered("H", 8),
  ...numbered("E", 5),
  ...numbered("F", 3),
  ...numbered("R", 4),
  ...numbered("P", 7),
  ...numbered("D", 37).filter((id) => id !== CHART_TRAP),
  ...numbered("S", 19),
  ...numbered("Q", 16),
];

function numbered(letter: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${letter}${index + 1}`);
}

function rowsOf(text: string): { readonly id: string; readonly row: string }[] {
  return text.split("\n").flatMap((row) => {
    const [, id] = /^\| ([A-Z]\d+) \|/.exec(row) ?? [];
    return id === undefined ? [] : [{ id, row }];
  });
}

test("every row of the measurements stands in differences.md once, with a test", () => {
  const rows = rowsOf(DOCUMENT);
  const ids = rows.map(({ id }) => id);
  assert.deepEqual(
    REQUIRED.filter((id) => !ids.includes(id)),
    [],
  );
  assert.equal(new Set(ids).size, ids.length, "a number stands twice");
  assert.ok(findCitations(DOCUMENT).length > REQUIRED.length);
  assert.deepEqual(
    rows.filter(({ row }) => findCitations(row).length === 0).map(({ id }) => id),
    [],
  );
});
