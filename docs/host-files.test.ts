// host-files.md: every row of the reference has a test, which documents.test.ts looks up.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findCitations } from "../tools/cited-tests.ts";

const DOCUMENT = readFileSync(join(import.meta.dirname, "host-files.md"), "utf8");
/** How many rows each part of the reference has, some of them taken together. */
const ROWS: Readonly<Record<string, number>> = {
  "3.1": 3,
  "3.2": 6,
  "3.3": 5,
  "3.4": 1,
  "3.5": 9,
  "3.6": 5,
  "3.7": 1,
  "3.8": 1,
  "3.9": 3,
  "3.10": 1,
};

test("every row of the reference stands in host-files.md with a test", () => {
  const rows = DOCUMENT.split("\n").filter((line) => /^\| 3\.\d/.test(line));
  for (const [part, count] of Object.entries(ROWS)) {
    assert.equal(rows.filter((row) => row.startsWith(`| ${part} `)).length, count, part);
  }
  assert.deepEqual(
    rows.filter((row) => findCitations(row).length === 0),
    [],
  );
});
