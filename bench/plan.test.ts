import assert from "node:assert/strict";
import { test } from "node:test";
import { rotate } from "./plan.ts";

test("rotate() lets each item come first, and after each other one, equally often", () => {
  const items = ["a", "b", "c"];
  const orders = Array.from({ length: 6 }, (_, round) => rotate(items, round).join(""));
  assert.deepEqual(orders, ["abc", "bca", "cab", "cba", "acb", "bac"]);
  assert.deepEqual(rotate([], 3), []);
});
