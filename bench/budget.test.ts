import assert from "node:assert/strict";
import { test } from "node:test";
import { addBudget, judge, pluginBudget, sameAsUpstream } from "./budget.ts";
import { createDifferenceFigure, createFigure } from "./figure.ts";
import { pairedDifference } from "./statistics.ts";

test("judge() compares the median with the limit and says by how much", () => {
  const budget = { limit: 3, because: "a test" };
  assert.deepEqual(judge(createFigure("s", "n", "ms", [1, 2, 9], { budget })), { verdict: "ok", overBy: -1 });
  assert.deepEqual(judge(createFigure("s", "n", "ms", [1, 4, 9], { budget })), { verdict: "missed", overBy: 1 });
  assert.deepEqual(judge(createFigure("s", "n", "ms", [3], { budget })), { verdict: "ok", overBy: 0 });
});

test("judge() has nothing to say about a figure without a budget", () => {
  assert.equal(judge(createFigure("s", "n", "ms", [1])), undefined);
});

test("judge() is unsure where the interval of the median lies on both sides of the limit", () => {
  const before = Array.from({ length: 40 }, () => 100);
  const after = before.map((value, index) => value + 1 + (index % 5));
  const difference = pairedDifference(before, after);
  const of = (limit: number) =>
    judge(createDifferenceFigure("s", "n", "ms", before, after, { budget: { limit, because: "" } }));
  assert.equal(difference.median, 3);
  assert.equal(of(difference.high)?.verdict, "ok");
  assert.equal(of(difference.high - 0.5)?.verdict, "unsure");
  assert.equal(of(difference.low - 0.5)?.verdict, "missed");
});

test("limits follow the figures of the same run where there are some", () => {
  assert.equal(pluginBudget(0.5).limit, 1.5);
  const share = { of: 25, baselineMs: 109 };
  assert.deepEqual(addBudget(share, undefined), { limit: 4.36, because: "1/25 of upstream's 109 ms (baseline)" });
  assert.deepEqual(addBudget(share, 50), { limit: 2, because: "1/25 of upstream's in this run" });
  assert.deepEqual([sameAsUpstream(57, undefined).limit, sameAsUpstream(57, 60).limit], [57, 60]);
});
