// performance.md: it is what the kept run gives, says of which run it is, has every row of the design, and does not keep quiet
// about one that is missed. README's figure agrees with it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { renderPerformancePage, UNEXPLAINED } from "../bench/performance-page.ts";
import { PERFORMANCE_PAGE, RUN_RECORD } from "../bench/record-run.ts";
import { isWhole, parseRunRecord } from "../bench/run-record.ts";

const PAGE = readFileSync(PERFORMANCE_PAGE, "utf8");
const RUN = parseRunRecord(readFileSync(RUN_RECORD, "utf8"));

/** Of DESIGN 3.5, which lies beside the project. */
const DESIGN_ROWS = [
  "Plugin process: `DEL`, `CHECK`, `VERSION`, `ADD` of a pod outside the mesh",
  "`ADD` of a sidecar pod",
  "`ADD` of an ambient pod, ztunnel acknowledging at once",
  "Presence in the chain, whole sandbox start",
  "API requests per pod start",
  "Agent: resident and anonymous memory, 0 and 250 pods",
  "Agent: start to ready",
  "Files on the host",
  "Agent away during an upgrade",
];

test("performance.md is what bench/last-run.json gives: make it anew with tools/node bench/render-performance.ts", () => {
  assert.equal(PAGE, renderPerformancePage(RUN));
});

test("performance.md says of which revision, day and machine it is", () => {
  assert.match(PAGE, /^- Revision: [0-9a-f]{12}(?:, with changes that are not committed)?$/m);
  assert.match(PAGE, /^- Date: \d{4}-\d\d-\d\d \d\d:\d\d UTC, \d+ minutes$/m);
  assert.match(PAGE, /^- Machine: \S.*, \d+ cores, [\d.]+ GiB, Linux \S+; load [\d.]+ before, [\d.]+ after$/m);
});

test("performance.md has every row of the design, and each was measured", () => {
  const lines = PAGE.split("\n");
  for (const path of DESIGN_ROWS) {
    const row = lines.find((line) => line.startsWith(`| ${path} |`));
    assert.match(row ?? "no row", /\| (?:ok|unsure|\*\*MISSED\*\*) \(\d+(?: of \d+)?\)[^|]* \|$/, path);
    assert.ok(lines.includes(`### ${path}`), path);
  }
});

test("performance.md says why a budget is missed where a whole run missed it, and of any other run that it is none", () => {
  assert.equal(PAGE.includes("Not a whole run"), !isWhole(RUN));
  if (isWhole(RUN)) assert.ok(!PAGE.includes(UNEXPLAINED), "bench/budget-rows.ts has no sentence for a miss");
});

test("README tells the plugin's size as it was measured", () => {
  const size = RUN.figures.find(({ name }) => name === "size of the plugin on the host")?.summary.median ?? Number.NaN;
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const told = Number(/plugin: (\d+) KB/.exec(readme)?.[1]);
  // Either of 1000 or of 1024 bytes.
  assert.ok(told >= Math.floor(size) && told <= Math.ceil(size * 1.024), `README: ${told} KB, measured: ${size} KiB`);
});
