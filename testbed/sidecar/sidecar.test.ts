import assert from "node:assert/strict";
import { test } from "node:test";
import { parseProbe } from "./sidecar.ts";

test("parseProbe() tells who answered, and where a captured connection was going", () => {
  assert.deepEqual(parseProbe('{"outcome":"answered","answer":"captured 15006 orig=[fd00::2]:8080"}'), {
    outcome: "captured",
    port: 15006,
    original: "[fd00::2]:8080",
  });
  assert.deepEqual(parseProbe('{"outcome":"answered","answer":"direct 8080"}'), { outcome: "direct", port: 8080 });
});

test("parseProbe() tells how a connection failed", () => {
  const text = '{"outcome":"refused","error":"Connection refused"}';
  assert.deepEqual(parseProbe(text), { outcome: "refused", error: "Connection refused" });
  assert.deepEqual(parseProbe('{"outcome":"odd","error":"?"}'), { outcome: "failed", error: "?" });
});

test("parseProbe() refuses an answer from neither sidecar nor application", () => {
  assert.throws(() => parseProbe('{"outcome":"answered","answer":"HTTP/1.1 400"}'), /is not of sidecar or application/);
});
