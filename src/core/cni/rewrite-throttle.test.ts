import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { afterRewrite, isFight, QUIET, type RewriteThrottle, waitBeforeRewriteMs } from "./rewrite-throttle.ts";

describe("the rewrite throttle", () => {
  it("answers at once for some times, then ever slower up to a second, and warns once", () => {
    let state: RewriteThrottle = QUIET;
    let nowMs = 0;
    const waits: number[] = [];
    let warnings = 0;
    for (let times = 0; times < 12; times++) {
      const waitMs = waitBeforeRewriteMs(state, nowMs);
      waits.push(waitMs);
      nowMs += waitMs;
      const after = afterRewrite(state, nowMs);
      state = after.state;
      warnings += after.isWarningDue ? 1 : 0;
    }
    assert.deepEqual(waits, [0, 0, 0, 50, 100, 200, 400, 800, 1000, 1000, 1000, 1000]);
    assert.equal(warnings, 1);
    assert.equal(isFight(state, nowMs), true);
  });

  it("counts time that has passed already", () => {
    const state = { count: 10, lastMs: 5000 };
    assert.deepEqual([waitBeforeRewriteMs(state, 5400), waitBeforeRewriteMs(state, 7000)], [600, 0]);
  });

  it("forgets a burst after a minute of quiet", () => {
    const state = { count: 10, lastMs: 0 };
    assert.deepEqual(
      [isFight(state, 60_000), isFight(state, 60_001), waitBeforeRewriteMs(state, 60_001)],
      [true, false, 0],
    );
    assert.deepEqual(afterRewrite(state, 60_001), { state: { count: 1, lastMs: 60_001 }, isWarningDue: false });
  });
});
