import assert from "node:assert/strict";
import { test } from "node:test";
import { addBudget, judge, pluginBudget, sameAsUpstream } from "./budget.ts";
import { BUDGET_ROWS, type BudgetRowName } from "./budget-rows.ts";
import { createDifferenceFigure, createFigure } from "./figure.ts";

test("judge() compares the median with the limit and says by how much", () => {
  const budget = { limit: 3, because: "a test" };
  assert.deepEqual(judge(createFigure("s", "n", "ms", [1, 2, 9], { budget })), { verdict: "ok", overBy: -1 });
  assert.deepEqual(judge(createFigure("s", "n", "ms", [1, 4, 9], { budget })), { verdict: "missed", overBy: 1 });
  assert.deepEqual(judge(createFigure("s", "n", "ms", [3], { budget })), { verdict: "ok", overBy: 0 });
});

test("judge() has nothing to say about a figure without a budget", () => {
  assert.equal(judge(createFigure("s", "n", "ms", [1])), undefined);
});

test("judge() wants the whole interval of the median within the limit, and is unsure where only a part of it is", () => {
  const before = Array.from({ length: 40 }, () => 100);
  const after = before.map((value, index) => value + 1 + (index % 5));
  const differences = createDifferenceFigure("s", "n", "ms", before, after);
  const values = createFigure(
    "s",
    "n",
    "ms",
    after.map((value) => value - 100),
  );
  for (const { summary } of [differences, values]) {
    const { median, interval: { low, high } = { low: 0, high: 0 } } = summary;
    assert.ok(low < median && median < high);
    const of = (limit: number) => judge({ summary, budget: { limit, because: "" } })?.verdict;
    assert.deepEqual([high, high - 0.5, median, low, low - 0.5].map(of), [
      "ok",
      "unsure",
      "unsure",
      "unsure",
      "missed",
    ]);
  }
});

test("limits follow the figures of the same run where there are some", () => {
  assert.equal(pluginBudget(0.5).limit, 1.5);
  const share = { of: 25, baselineMs: 109 };
  assert.deepEqual(addBudget("sidecarAdd", share, undefined), {
    limit: 4.36,
    because: "1/25 of upstream's 109 ms (baseline)",
    row: "sidecarAdd",
  });
  assert.deepEqual(addBudget("ambientAdd", share, 50), {
    limit: 2,
    because: "1/25 of upstream's in this run",
    row: "ambientAdd",
  });
  assert.deepEqual(
    [undefined, 60].map((upstream) => sameAsUpstream("memory", 57, upstream).limit),
    [57, 60],
  );
});

test("the rows are those of DESIGN 3.5, in its order", () => {
  const names: readonly BudgetRowName[] = [
    "plugin",
    "sidecarAdd",
    "ambientAdd",
    "podStart",
    "apiRequests",
    "memory",
    "ready",
    "hostFiles",
    "upgrade",
  ];
  assert.deepEqual(Object.keys(BUDGET_ROWS), names);
});
