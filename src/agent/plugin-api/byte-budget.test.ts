import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createByteBudget } from "./byte-budget.ts";

test("createByteBudget() grants at once what is free, and the rest in the order of asking", () => {
  const budget = createByteBudget(10);
  const granted: string[] = [];
  const take = (name: string, bytes: number) => budget.take(bytes, () => granted.push(name));
  const a = take("a", 6);
  const big = take("big", 8);
  const small = take("small", 1);
  assert.deepEqual([a.isGranted, big.isGranted, small.isGranted, granted], [true, false, false, []]);
  a[Symbol.dispose]();
  assert.deepEqual([granted, budget.taken()], [["big", "small"], 9]);
  big[Symbol.dispose]();
  big[Symbol.dispose]();
  small[Symbol.dispose]();
  assert.equal(budget.taken(), 0);
});

test("createByteBudget() goes on with the next when one that waits ends", () => {
  const budget = createByteBudget(10);
  const granted: string[] = [];
  using _held = budget.take(5, () => {});
  const big = budget.take(8, () => granted.push("big"));
  using small = budget.take(5, () => granted.push("small"));
  big[Symbol.dispose]();
  assert.deepEqual([granted, small.isGranted, budget.taken()], [["small"], true, 10]);
});

test("createByteBudget() refuses what can never be granted", () => {
  assert.throws(() => createByteBudget(10).take(11, () => {}), RangeError);
});

test("createByteBudget() never gives out more than it has, loses nothing and keeps the order", () => {
  const step = fc.oneof(fc.record({ take: fc.integer({ min: 0, max: 100 }) }), fc.record({ end: fc.nat(50) }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const budget = createByteBudget(100);
      const shares: ReturnType<typeof budget.take>[] = [];
      const waited: number[] = [];
      let asked = 0;
      for (const one of steps) {
        if ("take" in one) {
          const turn = asked++;
          shares.push(budget.take(one.take, () => waited.push(turn)));
        } else shares.splice(one.end, 1)[0]?.[Symbol.dispose]();
        assert.ok(budget.taken() <= 100);
      }
      assert.deepEqual(
        waited,
        waited.toSorted((a, b) => a - b),
      );
      for (const share of shares) share[Symbol.dispose]();
      assert.equal(budget.taken(), 0);
    }),
  );
});
