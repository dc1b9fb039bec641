import assert from "node:assert/strict";
import { test } from "node:test";
import { pairedDifferences, summarize } from "./statistics.ts";

const upTo = (n: number): number[] => Array.from({ length: n }, (_, index) => index + 1);

test("summarize() interpolates between ranks and does not need a sorted series", () => {
  assert.deepEqual(summarize([4, 1, 3, 2]), { n: 4, median: 2.5, p10: 1.3, p90: 3.7, p99: 3.9699999999999998, max: 4 });
  assert.equal(summarize([7]).p99, 7);
  assert.throws(() => summarize([]), RangeError);
});

test("summarize() gives the median the interval of the sign test, exactly", () => {
  // Ranks of the 95 % interval as tables of the sign test have them.
  const ranks = { 6: [1, 6], 8: [1, 8], 9: [2, 8], 20: [6, 15], 25: [8, 18], 60: [22, 39], 100: [40, 61] } as const;
  for (const [n, [low, high]] of Object.entries(ranks))
    assert.deepEqual(summarize(upTo(Number(n)).reverse()).interval, { low, high }, `n = ${n}`);
});

test("summarize() gives no interval where too few values were measured to tell, and one for very many", () => {
  for (const n of [1, 2, 5]) assert.equal(summarize(upTo(n)).interval, undefined, `n = ${n}`);
  const { low = 0, high = 0 } = summarize(upTo(5000)).interval ?? {};
  assert.equal(low + high, 5001);
  assert.ok(Math.abs(high - low - 1.96 * Math.sqrt(5000)) < 2);
});

test("pairedDifferences() sees through a drift that both series share", () => {
  const drift = upTo(100).map((value) => value * 10);
  const differences = pairedDifferences(
    drift,
    drift.map((value) => value + 3),
  );
  const { median, interval } = summarize(differences);
  assert.deepEqual([median, interval], [3, { low: 3, high: 3 }]);
});

test("pairedDifferences() gives an interval that holds the median of a noisy difference", () => {
  const before = Array.from({ length: 60 }, (_, index) => index % 7);
  const after = before.map((value, index) => value + (index % 5) - 2);
  const { median, interval } = summarize(pairedDifferences(before, after));
  assert.equal(median, 0);
  assert.ok(interval !== undefined && interval.low <= median && median <= interval.high);
  assert.ok(interval.high - interval.low <= 2);
  assert.throws(() => pairedDifferences([1], [1, 2]), RangeError);
});
