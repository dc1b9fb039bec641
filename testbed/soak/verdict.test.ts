import assert from "node:assert/strict";
import { test } from "node:test";
import { planPod } from "./plan.ts";
import { type Excuse, judgeConnections, judgePod, type Observation } from "./verdict.ts";

/** One way's connections, one each ten milliseconds from `fromMs` on, each lasting one. */
function see(way: string, fromMs: number, ...outcomes: readonly string[]): readonly Observation[] {
  return outcomes.map((outcome, index) => ({
    way,
    beganMs: fromMs + index * 10,
    endedMs: fromMs + index * 10 + 1,
    outcome,
  }));
}

const flushed = (fromMs: number, doneMs: number): Excuse => ({ why: "rules flushed", fromMs, doneMs });
const NOT_ASKED: Excuse = { why: "runtime did not ask", fromMs: 0, doneMs: 0 };

test("a captured pod whose connections get nowhere or to the proxy is as it should be", () => {
  const observations = [...see("out4", 0, "refused", "refused", "captured", "reset", "timeout", "captured")];
  assert.deepEqual(judgeConnections("captured", observations), { breaches: [], exposures: [] });
});

test("one connection past the proxy is a breach, be it the first or one between captured ones", () => {
  for (const outcomes of [["direct", "captured"], ["captured", "direct", "captured"], ["direct"]]) {
    const { breaches, exposures } = judgeConnections("captured", [
      ...see("in6", 0, "captured"),
      ...see("out4", 0, ...outcomes),
    ]);
    assert.equal(breaches.length, 1);
    assert.match(breaches[0] ?? "", /^out4: direct/);
    assert.deepEqual(exposures, []);
  }
});

test("after its rules were flushed a pod may be passed by until it is captured again, and not once more", () => {
  const before = see("out4", 0, "captured");
  const hole = see("out4", 100, "direct", "direct", "captured");
  assert.deepEqual(judgeConnections("captured", [...before, ...hole], [flushed(95, 99)]), {
    breaches: [],
    exposures: [{ why: "rules flushed", ms: 20 }],
  });
  const again = [...before, ...hole, ...see("out4", 200, "direct")];
  assert.equal(judgeConnections("captured", again, [flushed(95, 99)]).breaches.length, 1);
  assert.equal(judgeConnections("captured", again, [flushed(95, 99), flushed(190, 195)]).breaches.length, 0);
});

test("a connection that was captured while the rules were being flushed ends nothing; one before the flush excuses nothing", () => {
  const observations = see("out4", 100, "captured", "direct", "captured");
  assert.equal(judgeConnections("captured", observations, [flushed(95, 105)]).breaches.length, 0);
  assert.equal(judgeConnections("captured", observations, [flushed(200, 205)]).breaches.length, 1);
});

test("each way is excused until it is itself captured again", () => {
  const observations = [...see("out4", 100, "captured", "direct"), ...see("in4", 100, "direct", "captured")];
  const { breaches } = judgeConnections("captured", observations, [flushed(95, 99)]);
  assert.equal(breaches.length, 1);
  assert.match(breaches[0] ?? "", /^out4/);
});

test("a pod that the runtime started without asking is told with the time that it was outside, also where that never ended", () => {
  const ended = see("out4", 0, "direct", "direct", "direct", "captured");
  assert.deepEqual(judgeConnections("captured", ended, [NOT_ASKED]).exposures, [
    { why: "runtime did not ask", ms: 30 },
  ]);
  assert.deepEqual(judgeConnections("captured", ended.slice(0, 3), [NOT_ASKED]).exposures, [
    { why: "runtime did not ask", ms: 20 },
  ]);
});

test("a pod outside the mesh is disturbed by whoever captures it, also where nobody listens", () => {
  assert.deepEqual(judgeConnections("free", see("out4", 0, "timeout", "direct")).breaches, []);
  for (const outcome of ["captured", "refused"])
    assert.equal(judgeConnections("free", see("out4", 0, "direct", outcome, outcome)).breaches.length, 1);
});

test("judgePod() expects nothing of the other family of a sidecar whose proxy has not said that it takes it", () => {
  const plan = { ...planPod(1, 1), kind: "sidecar", expectation: "captured" } as const;
  const observations = [...see("out4", 0, "captured"), ...see("out6", 0, "direct")];
  assert.deepEqual(judgePod({ ...plan, isDualStack: false }, observations, []).breaches, []);
  assert.equal(judgePod({ ...plan, isDualStack: true }, observations, []).breaches.length, 1);
  const inFour = [...see("out4", 0, "direct"), ...see("out6", 0, "captured")];
  assert.equal(judgePod({ ...plan, isDualStack: false }, inFour, []).breaches.length, 1);
});
