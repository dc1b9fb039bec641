import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runTrimAtRest, type TrimAtRestOptions } from "./trim-at-rest.ts";

const TRIM_COSTS_MS = 400;

/** Runs through waits in each of which so much CPU time is used; returns after which of them there was a trim. */
async function trimsAfter(usedMs: readonly number[], options: TrimAtRestOptions = {}) {
  const trims: number[] = [];
  const waits: number[] = [];
  const ending = new AbortController();
  let [nowMs, cpuMs] = [0, 300];
  const clock = {
    nowMs: () => nowMs,
    async sleep(ms: number, signal: AbortSignal): Promise<void> {
      const used = usedMs[waits.length];
      if (used === undefined) ending.abort();
      signal.throwIfAborted();
      waits.push(ms);
      nowMs += ms;
      cpuMs += used ?? 0;
    },
  };
  const trim = (): void => {
    trims.push(waits.length);
    cpuMs += TRIM_COSTS_MS;
  };
  await runTrimAtRest({ trim, cpuMs: () => cpuMs, clock }, options, ending.signal);
  return { trims, waits };
}

describe("runTrimAtRest()", () => {
  it("trims once after the start, when that is over", async () => {
    const { trims, waits } = await trimsAfter([500, 161, 320, 80, 0]);
    assert.deepEqual(trims, [4]);
    assert.deepEqual(waits, [2000, 2000, 2000, 2000, 4000]);
  });

  it("does nothing more for an agent that has nothing to do, and looks ever less often", async () => {
    const { trims, waits } = await trimsAfter(Array.from({ length: 8 }, () => 1));
    assert.deepEqual(trims, [1]);
    assert.deepEqual(waits, [2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000]);
  });

  it("trims again after work, but not while it works, and does not count the trim itself as work", async () => {
    assert.deepEqual((await trimsAfter([0, 0, 0, 0, 2000, 2000, 10, 10, 10])).trims, [1, 7]);
  });

  it("looks soon again while work goes on, so that a long wait does not put off what is due", async () => {
    const { trims, waits } = await trimsAfter([0, 0, 0, 0, 5000, 1000, 1000, 0, 0]);
    assert.deepEqual(waits, [2000, 4000, 8000, 16_000, 30_000, 2000, 2000, 2000, 4000]);
    assert.deepEqual(trims, [1, 8]);
  });

  it("lets a little work add up", async () => {
    assert.deepEqual((await trimsAfter([0, 10, 10, 10, 10, 10, 10, 10], { workMs: 50 })).trims, [1, 6]);
  });

  it("ends at once when it is told to", async () => {
    const ended = AbortSignal.abort();
    const clock = { nowMs: () => 0, sleep: () => assert.fail("it waits") };
    await runTrimAtRest({ trim: () => assert.fail("it trims"), cpuMs: () => 0, clock }, {}, ended);
  });
});
