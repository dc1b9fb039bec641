import assert from "node:assert/strict";
import { test } from "node:test";
import { idlePercent, parseProcessorTime } from "./processor-time.ts";

test("parseProcessorTime() takes waiting for a disk as idle and leaves guests out, which count as user time", () => {
  const stat = "cpu  100 1 50 800 40 3 4 2 7 9\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
  assert.deepEqual(parseProcessorTime(stat), { idle: 840, total: 1000 });
  assert.throws(() => parseProcessorTime("intr 1 2 3"), TypeError);
});

test("idlePercent() has no answer for a time shorter than a tick", () => {
  assert.equal(idlePercent({ idle: 10, total: 100 }, { idle: 15, total: 120 }), 25);
  assert.equal(idlePercent({ idle: 10, total: 100 }, { idle: 10, total: 100 }), undefined);
});
