import assert from "node:assert/strict";
import { test } from "node:test";
import { createDifferenceFigure, createFigure } from "./figure.ts";
import { renderReport, renderTable } from "./table.ts";

test("renderTable() aligns numbers to the right, texts to the left, and drops columns nobody fills", () => {
  const text = renderTable(
    ["what", "n", "gone", "note"],
    [
      ["long name", "5", "", "x"],
      ["b", "200", "", ""],
    ],
  );
  assert.equal(
    text,
    ["what         n  note", "---------  ---  ----", "long name    5  x", "b          200"].join("\n"),
  );
});

test("renderReport() shows one table for each section, with verdicts where there are budgets", () => {
  const before = [10, 11, 12, 13];
  const after = [12, 13, 14, 15];
  const figures = [
    createFigure("1. Plugin", "empty", "ms", [0.5, 0.5, 0.5], { floor: 0.5 }),
    createFigure("1. Plugin", "DEL", "ms", [2, 2, 2], {
      floor: 0.5,
      cpuMs: 1,
      budget: { limit: 1.5, because: "floor" },
    }),
    createDifferenceFigure("2. Start", "with us", "ms", before, after, {
      budget: { limit: 3, because: "DESIGN" },
    }),
  ];
  assert.equal(
    renderReport(figures),
    [
      "1. Plugin",
      "what   n    median    p10    p90    p99  to floor  CPU ms  at most  verdict                budget",
      "-----  -  --------  -----  -----  -----  --------  ------  -------  ---------------------  ------",
      "empty  3  0.500 ms  0.500  0.500  0.500     ×1.00",
      "DEL    3   2.00 ms   2.00   2.00   2.00     ×4.00    1.00  1.50 ms  MISSED, 0.500 ms over  floor",
      "",
      "2. Start",
      "what     n    median  95 % interval   p10   p90   p99  at most  verdict               budget",
      "-------  -  --------  -------------  ----  ----  ----  -------  --------------------  ------",
      "with us  4  +2.00 ms  2.00 to 2.00   2.00  2.00  2.00  3.00 ms  ok, 1.00 ms to spare  DESIGN",
    ].join("\n"),
  );
});

test("renderReport() shows the baseline only where upstream is not in the run", () => {
  const upstream = createFigure("", "", "ms", [60]).summary;
  const text = renderReport([
    createFigure("1. Plugin", "both", "ms", [30], { upstream, baseline: 90 }),
    createFigure("1. Plugin", "then", "ms", [30], { baseline: 90 }),
    createFigure("1. Plugin", "none", "count", [0], { baseline: 20 }),
  ]);
  const [both, then, none] = text.split("\n").slice(3);
  assert.match(both ?? "", /^both +1 +30\.0 ms +60\.0 ms +×2\.0$/);
  assert.match(then ?? "", /^then +1 +30\.0 ms +90\.0 ms +×3\.0$/);
  assert.match(none ?? "", /^none +1 +0 +20$/);
});

test("renderReport() puts upstream beside ours and leaves spread out where there is none", () => {
  const upstream = createFigure("", "", "MiB", [60]).summary;
  const text = renderReport([createFigure("3. Agent", "RSS", "MiB", [30], { upstream })]);
  assert.match(text, /upstream\/ours/);
  assert.match(text, /RSS\s+1\s+30\.0 MiB\s+60\.0 MiB\s+×2\.0/);
  assert.doesNotMatch(text, /p99/);
});
