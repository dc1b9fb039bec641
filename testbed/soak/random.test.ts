import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "./random.ts";

const first = (seed: number, ...name: (string | number)[]): readonly number[] => {
  const random = createRandom(seed, ...name);
  return Array.from({ length: 5 }, () => random.next());
};

test("createRandom() gives the same numbers for the same seed and name, and others for others", () => {
  assert.deepEqual(first(7, "pod", 3), first(7, "pod", 3));
  assert.notDeepEqual(first(7, "pod", 3), first(8, "pod", 3));
  assert.notDeepEqual(first(7, "pod", 3), first(7, "pod", 4));
  assert.notDeepEqual(first(7, "pod", 11), first(7, "pod1", 1));
});

test("createRandom() spreads its numbers over all of what is asked for", () => {
  const random = createRandom(1, "spread");
  const seen = new Map<number, number>();
  for (let count = 0; count < 10_000; count++) {
    const value = random.between(3, 7);
    seen.set(value, (seen.get(value) ?? 0) + 1);
  }
  assert.deepEqual([...seen.keys()].toSorted(), [3, 4, 5, 6, 7]);
  for (const count of seen.values()) assert.ok(count > 1700 && count < 2300, `${count} of 2000`);
  const hits = Array.from({ length: 10_000 }, () => random.chance(0.1)).filter(Boolean).length;
  assert.ok(hits > 800 && hits < 1200, `${hits} of 1000`);
});

test("createRandom() refuses to pick from nothing", () => {
  assert.throws(() => createRandom(1, "none").pick([]), /there is nothing to pick from/);
});
