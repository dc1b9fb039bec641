import assert from "node:assert/strict";
import { test } from "node:test";
import { describeBurst } from "./burst.ts";

const member = (startedMs: number, endedMs: number) => ({ status: 0, startedMs, endedMs, cpuMs: 2, rssMib: 1 });

test("describeBurst() measures from the moment all were let go, not from each one's own start", () => {
  const burst = describeBurst([member(0, 5), member(4, 9), member(2, 7)]);
  assert.deepEqual(burst, { allMs: 9, eachMs: [5, 9, 7], cpuMs: 6, overtaken: [0, 0, 0] });
});

test("describeBurst() tells how many passed by each", () => {
  assert.deepEqual(describeBurst([member(0, 9), member(1, 3), member(2, 4), member(3, 10)]).overtaken, [2, 0, 0, 0]);
  assert.deepEqual(describeBurst([member(0, 1)]).overtaken, [0]);
  assert.throws(() => describeBurst([]), RangeError);
});
