import assert from "node:assert/strict";
import { test } from "node:test";
import { pairedDifference, summarize } from "./statistics.ts";

test("summarize() interpolates between ranks and does not need a sorted series", () => {
  assert.deepEqual(summarize([4, 1, 3, 2]), { n: 4, median: 2.5, p10: 1.3, p90: 3.7, p99: 3.9699999999999998 });
  assert.equal(summarize([7]).p99, 7);
  assert.throws(() => summarize([]), RangeError);
});

test("pairedDifference() sees through a drift that both series share", () => {
  const drift = Array.from({ length: 100 }, (_, index) => index * 10);
  const { median, low, high } = pairedDifference(
    drift,
    drift.map((value) => value + 3),
  );
  assert.deepEqual([median, low, high], [3, 3, 3]);
});

test("pairedDifference() gives an interval that holds the median of a noisy difference", () => {
  const before = Array.from({ length: 60 }, (_, index) => index % 7);
  const after = before.map((value, index) => value + (index % 5) - 2);
  const { median, low, high } = pairedDifference(before, after);
  assert.equal(median, 0);
  assert.ok(low <= median && median <= high && high - low <= 2);
  assert.throws(() => pairedDifference([1], [1, 2]), RangeError);
});
