import assert from "node:assert/strict";
import { test } from "node:test";
import { largestOf, rotate } from "./plan.ts";

test("rotate() lets each item come first, and after each other one, equally often", () => {
  const items = ["a", "b", "c"];
  const orders = Array.from({ length: 6 }, (_, round) => rotate(items, round).join(""));
  assert.deepEqual(orders, ["abc", "bca", "cab", "cba", "acb", "bac"]);
  assert.deepEqual(rotate([], 3), []);
});

test("largestOf() finds the largest crowd wherever it stands", () => {
  assert.equal(largestOf([{ size: 20, rounds: 5 }]), 20);
  const crowds = [20, 100, 50].map((size) => ({ size, rounds: 1 }));
  assert.equal(largestOf(crowds), 100);
});
