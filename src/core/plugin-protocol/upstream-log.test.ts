import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseUpstreamLog } from "./upstream-log.ts";

const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const time = "2026-11-22T10:00:00.123456Z";

test("parseUpstreamLog() reads lines with their labels, in order", () => {
  const lines = [
    JSON.stringify({
      level: "info",
      time,
      scope: "cni-plugin",
      msg: "istio-cni cmdAdd",
      pod: "shop/web",
      n: 3,
      ok: true,
    }),
    JSON.stringify({ level: "error", time, msg: "no", stack: ["a"], nothing: null }),
  ];
  assert.deepEqual(parseUpstreamLog(bytes(lines)), [
    {
      level: "info",
      message: "istio-cni cmdAdd",
      labels: { scope: "cni-plugin", pod: "shop/web", n: 3, ok: true },
    },
    { level: "error", message: "no", labels: { stack: '["a"]', nothing: "null" } },
  ]);
});

test("parseUpstreamLog() drops lines that lack level, time or msg, or are none, and keeps the others", () => {
  const whole = { level: "warn", time, msg: "kept" };
  const lines = [
    JSON.stringify({ ...whole, level: undefined }),
    JSON.stringify({ ...whole, time: undefined }),
    JSON.stringify({ ...whole, msg: undefined }),
    JSON.stringify({ ...whole, level: "fatal" }),
    JSON.stringify([whole]),
    "{",
    7,
    null,
    JSON.stringify(whole),
  ];
  assert.deepEqual(
    parseUpstreamLog(bytes(lines))?.map(({ message }) => message),
    ["kept"],
  );
});

test("parseUpstreamLog() takes a bounded number of lines and labels", () => {
  const labels = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`k${index}`, index]));
  const lines = Array<string>(5000).fill(JSON.stringify({ level: "info", time, msg: "m", ...labels }));
  const read = parseUpstreamLog(bytes(lines)) ?? [];
  assert.equal(read.length, 1000);
  assert.equal(Object.keys(read[0]?.labels ?? {}).length, 32);
});

test("parseUpstreamLog() is undefined for what is no list, and throws for nothing", () => {
  assert.equal(parseUpstreamLog(bytes({})), undefined);
  assert.equal(parseUpstreamLog(Uint8Array.of(0xff)), undefined);
  assert.equal(parseUpstreamLog(new Uint8Array()), undefined);
  fc.assert(fc.property(fc.array(fc.json()), (lines) => Array.isArray(parseUpstreamLog(bytes(lines)))));
});
