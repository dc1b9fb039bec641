import assert from "node:assert/strict";
import { test } from "node:test";
import { doublingDelayMs } from "./doubling-delay.ts";

test("doublingDelayMs() doubles from the first wait to the longest, however often it fails", () => {
  const delays = [0, 1, 2, 3, 4, 5, 2000].map((failures) => doublingDelayMs(500, 3000, failures));
  assert.deepEqual(delays, [500, 500, 1000, 2000, 3000, 3000, 3000]);
});
