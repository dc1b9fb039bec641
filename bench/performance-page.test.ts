import assert from "node:assert/strict";
import { test } from "node:test";
import { pluginBudget, requestsBudget } from "./budget.ts";
import { BUDGET_ROWS } from "./budget-rows.ts";
import { createFigure, type Figure } from "./figure.ts";
import { renderPerformancePage, UNEXPLAINED } from "./performance-page.ts";
import { isWhole, parseRunRecord, type RunRecord, renderRunRecord } from "./run-record.ts";

const figure = (name: string, value: number, section = "1. Plugin"): Figure =>
  createFigure(section, name, "ms", [value], { budget: pluginBudget(0.5) });

function runOf(figures: readonly Figure[], about: Partial<RunRecord> = {}): RunRecord {
  return {
    startedAt: "2026-11-22T16:03:13.568Z",
    tookSeconds: 2280,
    isQuick: false,
    machine: {
      ...{ cpu: "AMD EPYC", cores: 2, kernel: "6.18.44", memoryGib: 23.5, revision: "9517b2043d40" },
      versions: { node: "v26.10.0" },
    },
    load: { before: 0.1, after: 1.8 },
    hasUpstream: false,
    sectionSeconds: { plugin: 20 },
    figures,
    ...about,
  };
}

test("the page says of which revision, day and machine it is", () => {
  const page = renderPerformancePage(runOf([]));
  for (const line of [
    "- Revision: 9517b2043d40",
    "- Date: 2026-11-22 16:03 UTC, 38 minutes",
    "- Machine: AMD EPYC, 2 cores, 23.5 GiB, Linux 6.18.44; load 0.1 before, 1.8 after",
  ])
    assert.ok(page.split("\n").includes(line), line);
  assert.match(
    renderPerformancePage(runOf([], { machine: { ...runOf([]).machine, revision: "9517b2043d40+" } })),
    /^- Revision: 9517b2043d40, with changes that are not committed$/m,
  );
});

test("the page has every row of the design, also one that was not measured", () => {
  const page = renderPerformancePage(runOf([figure("DEL", 1)]));
  for (const [name, { path }] of Object.entries(BUDGET_ROWS)) {
    const row = page.split("\n").find((line) => line.startsWith(`| ${path} |`));
    assert.ok(row?.endsWith(name === "plugin" ? "| ok (1) |" : "| not measured in this run |"), `${path}: ${row}`);
  }
});

test("the tightest figure of a row is told with its limit, a missed one before all others", () => {
  const row = (figures: readonly Figure[]) =>
    renderPerformancePage(runOf(figures))
      .split("\n")
      .find((line) => line.startsWith("| Plugin process"));
  assert.match(row([figure("DEL", 1), figure("ADD", 1.4)]) ?? "", /\| 1\.40 ms: ADD \| 1\.50 ms \| ok \(2\) \|$/);
  assert.match(
    row([figure("DEL", 1.5), figure("ADD", 1.6)]) ?? "",
    /\| 1\.60 ms: ADD \| 1\.50 ms \| \*\*MISSED\*\* \(1 of 2\) \|$/,
  );
  const none = createFigure("1. Plugin", "API requests", "count", [0], { budget: requestsBudget() });
  assert.match(renderPerformancePage(runOf([none])), /\| 0: API requests \| 0 \| ok \(1\) \|/);
});

test("why a figure misses its budget is told while it does, and that nobody has said so otherwise", () => {
  const section = "5. ADD one by one: nftables, ambient mode";
  const name = "ADD, pod outside the mesh";
  const why = /^\*ADD, pod outside the mesh\*: labels decide in ambient mode, .+\.$/m;
  assert.doesNotMatch(renderPerformancePage(runOf([figure(name, 1, section)])), why);
  const page = renderPerformancePage(runOf([figure(name, 2, section), figure(name, 3, section)]));
  assert.equal(page.match(new RegExp(why, "gm"))?.length, 1);
  assert.ok(!page.includes(UNEXPLAINED));
  const other = renderPerformancePage(runOf([figure(name, 2, "5. ADD one by one: nftables")]));
  assert.match(other, new RegExp(`^\\*${name}\\*: ${UNEXPLAINED}$`, "m"));
});

test("figures outside of the design's rows stand at the end, by their sections", () => {
  const page = renderPerformancePage(runOf([figure("DEL", 1), createFigure("4. Parts", "encode", "ms", [0.1])]));
  assert.match(page.split("## Everything else")[1] ?? "", /### 4\. Parts\n\n\| what \|.*\n.*\n\| encode \|/);
  assert.doesNotMatch(page.split("## Everything else")[1] ?? "", /DEL/);
});

test("only a whole run stands for the project, and another one's page says what it is", () => {
  assert.ok(isWhole({ isQuick: false }));
  assert.ok(!isWhole({ isQuick: true }));
  assert.ok(!isWhole({ isQuick: false, only: "plugin" }));
  assert.doesNotMatch(renderPerformancePage(runOf([])), /Not a whole run/);
  const quick = renderPerformancePage(runOf([figure("DEL", 2)], { isQuick: true }));
  assert.match(quick, /Not a whole run/);
  assert.ok(!quick.includes(UNEXPLAINED));
});

test("a run's record gives the page again, whatever was rounded in it", () => {
  const run = runOf([figure("DEL", 1.23456789), figure("ADD", 2)]);
  const once = parseRunRecord(renderRunRecord(run));
  assert.equal(once.figures[0]?.summary.median, 1.2346);
  assert.equal(renderRunRecord(once), renderRunRecord(run));
  assert.equal(renderPerformancePage(parseRunRecord(renderRunRecord(once))), renderPerformancePage(once));
});
