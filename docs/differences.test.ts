// differences.md: every row that must have a test has one, and every test it links is there.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findCitations, findMissingTests } from "../tools/cited-tests.ts";

const DOCUMENT = readFileSync(join(import.meta.dirname, "differences.md"), "utf8");
const AMBIENT_HEADING = "\n## With ambient mode\n";

/** Rows of the measurements (contract and baseline, which lie beside the project) that must be answered for sidecar mode. */
const REQUIRED = [
  ...numbered("A", 24),
  ...numbered("H", 8),
  ...numbered("E", 3),
  ...numbered("R", 1),
  ...numbered("P", 5),
  ...[1, 2, 3, 4, 5, 6, 7, 8, 14, 15, 16, 17, 18, 22, 24, 25, 29, 30, 31, 32, 35, 37].map((number) => `D${number}`),
  ...[2, 3, 4, 5, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19].map((number) => `S${number}`),
  ...numbered("Q", 11),
];
/** Surprises that wait for ambient mode. */
const WAITING = [1, 6, 7, 8, 10, 16].map((number) => `S${number}`);

function numbered(letter: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${letter}${index + 1}`);
}

function rowsOf(text: string): { readonly id: string; readonly row: string }[] {
  return text.split("\n").flatMap((row) => {
    const [, id] = /^\| ([A-Z]\d+) \|/.exec(row) ?? [];
    return id === undefined ? [] : [{ id, row }];
  });
}

test("every test that differences.md links is there", () => {
  const read = (path: string): string | undefined => {
    const absolute = join(import.meta.dirname, path);
    return existsSync(absolute) ? readFileSync(absolute, "utf8") : undefined;
  };
  assert.ok(findCitations(DOCUMENT).length > REQUIRED.length);
  assert.deepEqual(findMissingTests(DOCUMENT, read), []);
});

test("every row of the measurements stands in differences.md once, with a test, or waits for ambient mode", () => {
  const [sidecar = "", ambient = ""] = DOCUMENT.split(AMBIENT_HEADING);
  const rows = rowsOf(sidecar);
  const ids = rows.map(({ id }) => id);
  assert.deepEqual(
    REQUIRED.filter((id) => !ids.includes(id)),
    [],
  );
  assert.equal(new Set(ids).size, ids.length, "a number stands twice");
  assert.deepEqual(
    rows.filter(({ row }) => findCitations(row).length === 0).map(({ id }) => id),
    [],
  );
  assert.deepEqual(
    rowsOf(ambient).map(({ id }) => id),
    WAITING,
  );
});
