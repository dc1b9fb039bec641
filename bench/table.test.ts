import assert from "node:assert/strict";
import { test } from "node:test";
import { createDifferenceFigure, createFigure } from "./figure.ts";
import { renderMarkdownFigures, renderMarkdownTable, renderReport, renderTable } from "./table.ts";

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
  const before = [10, 11, 12, 13, 14, 15];
  const after = [12, 13, 14, 15, 16, 17];
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
      "what   n    median    p10    p90    max  to floor  CPU ms  at most  verdict                budget",
      "-----  -  --------  -----  -----  -----  --------  ------  -------  ---------------------  ------",
      "empty  3  0.500 ms  0.500  0.500  0.500     ×1.00",
      "DEL    3   2.00 ms   2.00   2.00   2.00     ×4.00    1.00  1.50 ms  MISSED, 0.500 ms over  floor",
      "",
      "2. Start",
      "what     n    median  95 % interval   p10   p90   max  at most  verdict               budget",
      "-------  -  --------  -------------  ----  ----  ----  -------  --------------------  ------",
      "with us  6  +2.00 ms  2.00 to 2.00   2.00  2.00  2.00  3.00 ms  ok, 1.00 ms to spare  DESIGN",
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

test("renderReport() tells p99 of a hundred values or more, and the largest of any few", () => {
  const values = Array.from({ length: 100 }, (_, index) => index + 1);
  const headers = (n: number): string =>
    renderReport([createFigure("s", "n", "count", values.slice(0, n))]).split("\n")[1] ?? "";
  assert.match(headers(100), /p90 +p99 +max/);
  assert.match(headers(99), /p90 +max/);
  assert.doesNotMatch(headers(99), /p99/);
  assert.doesNotMatch(headers(2), /max/);
});

test("renderMarkdownTable() aligns numbers to the right, escapes bars, and marks what stands below another name", () => {
  const rows = [
    ["a|b", "5", ""],
    ["  of it", "12 ms", ""],
  ];
  assert.equal(
    renderMarkdownTable(["what", "n", "gone"], rows),
    ["| what | n |", "| --- | ---: |", "| a\\|b | 5 |", "| · of it | 12 ms |"].join("\n"),
  );
});

test("renderMarkdownFigures() tells the section of each figure where they are of several", () => {
  const figures = [createFigure("1. Plugin", "DEL", "ms", [1]), createFigure("2. Start", "bare", "ms", [2])];
  assert.match(renderMarkdownFigures(figures, true), /^\| 2\. Start \| bare \| 1 \| 2\.00 ms \|$/m);
  assert.match(renderMarkdownFigures(figures), /^\| bare \| 1 \| 2\.00 ms \|$/m);
});
