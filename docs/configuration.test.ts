// configuration.md: it is what the tables of options and commands say now.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ALL_OPTIONS } from "../src/core/config/options.ts";
import { renderConfigurationDocument } from "../tools/configuration-document.ts";

const DOCUMENT = readFileSync(join(import.meta.dirname, "configuration.md"), "utf8");

test("configuration.md is up to date; tools/node tools/render-configuration.ts writes it", () => {
  assert.equal(DOCUMENT, renderConfigurationDocument());
});

test("configuration.md has one row for each option, with six columns", () => {
  const [options = ""] = DOCUMENT.split("\n## Commands\n");
  const rows = options.split("\n").filter((line) => /^\| (?!variable |---)/.test(line));
  assert.equal(rows.length, ALL_OPTIONS.length);
  for (const row of rows) assert.equal(row.replaceAll("\\|", "").split("|").length, 8, row);
});
