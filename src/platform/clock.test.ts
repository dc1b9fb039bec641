import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it } from "node:test";
import { createEpochMicros, createSystemClock } from "./clock.ts";

const clock = createSystemClock();

describe("sleep()", () => {
  it("resolves not before its time and leaves no listener behind", async () => {
    const { signal } = new AbortController();
    const before = clock.nowMs();
    await clock.sleep(5, signal);
    assert.ok(clock.nowMs() - before >= 5);
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });

  it("rejects with the signal's reason, before and during", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const sleeping = clock.sleep(Number.POSITIVE_INFINITY, controller.signal);
    controller.abort(reason);
    await assert.rejects(sleeping, reason);
    await assert.rejects(clock.sleep(0, controller.signal), reason);
  });

  it("does not take a very long time for none at all", async () => {
    const controller = new AbortController();
    let isOver = false;
    const sleeping = clock
      .sleep(2 ** 40, controller.signal)
      .then(() => (isOver = true))
      .catch(() => undefined);
    await clock.sleep(20, new AbortController().signal);
    assert.equal(isOver, false);
    controller.abort();
    await sleeping;
  });

  it("resolves at once for nothing or less", async () => {
    await clock.sleep(0, new AbortController().signal);
    await clock.sleep(-5, new AbortController().signal);
  });
});

describe("epochMicros()", () => {
  it("is the wall time in whole microseconds", () => {
    const micros = clock.epochMicros();
    assert.ok(Number.isInteger(micros));
    assert.ok(Math.abs(micros / 1000 - Date.now()) < 60_000);
  });

  it("never goes back while the wall clock does not, whatever the finer clock's phase", () => {
    for (const phase of [0, 0.25, 0.999]) {
      let micros = 5_000_000;
      const read = createEpochMicros(
        () => Math.floor(micros / 1000),
        () => micros / 1000 + phase,
      );
      let before = 0;
      for (; micros < 5_010_000; micros += 7) {
        const now = read();
        assert.ok(now >= before, `${now} after ${before}`);
        assert.ok(Math.abs(now - micros) < 1000);
        before = now;
      }
    }
  });

  it("follows a wall clock that is set", () => {
    let wallMs = 5000;
    const read = createEpochMicros(
      () => wallMs,
      () => 1,
    );
    read();
    wallMs = 9000;
    assert.equal(Math.floor(read() / 1000), 9000);
    wallMs = 2000;
    assert.equal(Math.floor(read() / 1000), 2000);
  });
});
