// The table of docs/fuzzing.md is the table of targets, and no reader of src/ or plugin/src/ is in neither it nor the list of
// those that need none.
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { NOT_FUZZED } from "../testbed/fuzz/not-fuzzed.ts";
import { ALL_TARGETS } from "../testbed/fuzz/targets.ts";

const ROOT = join(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const pathOf = (parser: string): string =>
  parser.startsWith("plugin:") ? `plugin/src/${parser.slice("plugin:".length)}` : `src/${parser}`;
const FUZZED = new Set(ALL_TARGETS.flatMap(({ parsers }) => parsers.map(pathOf)));
const READER = /^(?:export )?(?:async )?function (?:parse|decode|scan)\w*[(<]/m;

test("every target reads with files that are there, and docs/fuzzing.md names each with its files", () => {
  const document = read("docs/fuzzing.md");
  for (const { name, parsers } of ALL_TARGETS) {
    assert.deepEqual(
      parsers.filter((parser) => !existsSync(join(ROOT, pathOf(parser)))),
      [],
      name,
    );
    const row = `| \`${name}\` | ${parsers.map((parser) => `\`${pathOf(parser)}\``).join(", ")} |`;
    assert.ok(document.includes(row), `docs/fuzzing.md has no row ${row}`);
  }
});

test("every file with a reader has a target, or a reason not to have one", () => {
  const readers = globSync("src/**/*.ts", { cwd: ROOT })
    .filter((path) => !/(?:test|testing[\w-]*)\.ts$/.test(path) && READER.test(read(path)))
    .filter((path) => !FUZZED.has(path));
  assert.deepEqual(
    readers.filter((path) => !Object.hasOwn(NOT_FUZZED, path.slice("src/".length))),
    [],
  );
});

test("what has a reason not to be fuzzed is there, and is not fuzzed", () => {
  for (const [path, reason] of Object.entries(NOT_FUZZED)) {
    assert.ok(existsSync(join(ROOT, `src/${path}`)) && reason !== "", path);
    assert.ok(!FUZZED.has(`src/${path}`), path);
  }
});
