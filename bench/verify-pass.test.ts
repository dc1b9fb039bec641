import assert from "node:assert/strict";
import { test } from "node:test";
import { describePass } from "./verify-pass.ts";

const at = (ms: number): string => new Date(ms).toISOString();
const WITHIN = { sinceMs: 1000, mostMs: 400 };

test("describePass() tells the time from the first pod to the last, in whatever order they are listed", () => {
  const pass = describePass([at(1300), at(1100), at(1450)], WITHIN);
  assert.deepEqual(pass, { endedMs: 1450, tookMs: 350 });
});

test("describePass() tells nothing while some pods were looked at in an earlier pass, or never", () => {
  assert.equal(describePass([at(2000), at(1100)], WITHIN), undefined);
  assert.equal(describePass([at(1100), at(999)], WITHIN), undefined);
  assert.equal(describePass([at(1100), null], WITHIN), undefined);
  assert.equal(describePass([], WITHIN), undefined);
});

test("describePass() refuses what is no time", () => {
  assert.throws(() => describePass(["soon"], WITHIN), /soon/);
});
