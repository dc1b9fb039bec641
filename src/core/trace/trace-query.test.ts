import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIp } from "../address.ts";
import { parseTraceQuery, readTraceTexts, renderTraceTexts, type TraceTexts } from "./trace-query.ts";

const NONE: TraceTexts = {
  in: false,
  udp: false,
  to: undefined,
  from: undefined,
  port: undefined,
  uid: undefined,
  gid: undefined,
  mark: undefined,
};

function problemOf(texts: Partial<TraceTexts>): string {
  const query = parseTraceQuery({ ...NONE, ...texts });
  return "message" in query ? `${query.option}: ${query.message}` : assert.fail(JSON.stringify(query));
}

test("parseTraceQuery() reads what the pod sends", () => {
  const query = parseTraceQuery({ ...NONE, to: "10.0.0.1:80", from: "10.1.0.1:5000", uid: "1337", mark: "0x539" });
  assert.ok(!("message" in query) && query.direction === "outbound");
  assert.partialDeepStrictEqual(query, {
    protocol: "tcp",
    family: 4,
    sport: 5000,
    dport: 80,
    owner: { uid: 1337, gid: 0 },
    mark: 1337,
  });
  assert.deepEqual([formatIp(query.destination), query.source && formatIp(query.source)], ["10.0.0.1", "10.1.0.1"]);
  assert.partialDeepStrictEqual(parseTraceQuery({ ...NONE, udp: true, to: "[fd00::1]:53" }), {
    protocol: "udp",
    family: 6,
    source: undefined,
  });
});

test("parseTraceQuery() reads what comes in, with the port told in either way", () => {
  for (const texts of [{ port: "80" }, { to: "10.1.0.1:80" }, { to: "10.1.0.1", port: "80" }]) {
    const query = parseTraceQuery({ ...NONE, in: true, from: "10.0.0.1", ...texts });
    assert.partialDeepStrictEqual(query, { direction: "inbound", dport: 80 }, JSON.stringify(texts));
  }
});

test("parseTraceQuery() refuses what is no address, no port, no number, or not of this direction", () => {
  for (const to of [
    "",
    "10.0.0.1",
    "10.0.0.1:0",
    "10.0.0.1:65536",
    "10.0.0.1:8 0",
    "fd00::1:80",
    "[10.0.0.1]:80",
    "localhost:80",
    "10.0.0.1:80:80",
    "%00:80",
    "x".repeat(9000),
  ]) {
    assert.match(problemOf({ to }), /^to: Cannot use --to .{0,200}: accepted is IP:PORT$/, to.slice(0, 40));
  }
  assert.match(problemOf({ to: "10.0.0.1:80", uid: "-1" }), /^uid: .*from 0 to 4294967294/);
  assert.match(problemOf({ to: "10.0.0.1:80", gid: "4294967295" }), /^gid: /);
  assert.match(problemOf({ to: "10.0.0.1:80", mark: "0x100000000" }), /^mark: /);
  assert.match(problemOf({ to: "10.0.0.1:80", port: "80" }), /^port: .*--in/);
  assert.match(problemOf({ to: "10.0.0.1:80", from: "fd00::1" }), /^from: .*different address families/);
  assert.match(problemOf({ in: true }), /^from: /);
  assert.match(problemOf({ in: true, from: "10.0.0.1" }), /^port: /);
  assert.match(problemOf({ in: true, from: "10.0.0.1", to: "10.1.0.1:80", port: "80" }), /^port: .*twice/);
  assert.match(problemOf({ in: true, from: "10.0.0.1", port: "80", uid: "0" }), /^uid: .*--in/);
});

test("texts go through a URL and come out as they were", () => {
  const texts = { ...NONE, in: true, from: "[fd00::1]:5", to: "a b&c=d%", port: "80" };
  assert.deepEqual(readTraceTexts(new URLSearchParams(renderTraceTexts(texts))), texts);
  assert.deepEqual(readTraceTexts(new URLSearchParams(renderTraceTexts(NONE))), NONE);
});
