// promises.md: every promise that is kept has a row with a test, which documents.test.ts looks up. A promise is added by its
// number here and its row there.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findCitations } from "../tools/cited-tests.ts";

const DOCUMENT = readFileSync(join(import.meta.dirname, "promises.md"), "utf8");
/** Numbers of contract 11, which lies beside the project. */
const KEPT = numbers(1, 37).map((number) => `P${number}`);

function numbers(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

const ROWS = DOCUMENT.split("\n").flatMap((row) => {
  const [, id] = /^\| (P\d+) \|/.exec(row) ?? [];
  return id === undefined ? [] : [{ id, row }];
});

test("every promise that is kept has one row, with a test, in the order of the numbers", () => {
  assert.deepEqual(
    ROWS.map(({ id }) => id),
    KEPT,
  );
  assert.deepEqual(
    ROWS.filter(({ row }) => findCitations(row).length === 0).map(({ id }) => id),
    [],
  );
});
