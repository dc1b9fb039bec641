import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { compareVersions, upstreamOf } from "./compare-versions.ts";

for (const [older, newer] of [
  ["2.41-12+deb13u3", "2.41-12+deb13u4"],
  ["3.5.6-1~deb13u1", "3.5.6-1"],
  ["3.5.6-1~deb13u1", "3.5.6-1~deb13u1+b1"],
  ["9.9-1", "1:0.1-1"],
  ["1.9-1", "1.10-1"],
  ["1.0", "1.0-1"],
  ["1.0~rc1-1", "1.0-1"],
  ["1.0a-1", "1.0+b-1"],
  ["1:1.3.2+dfsg-1", "1:1.3.dfsg+really1.3.1-1"],
  ["6.5+20250216-2", "6.6+20251231-1"],
] as const) {
  test(`compareVersions() has ${older} before ${newer}`, () => {
    assert.ok(compareVersions(older, newer) < 0);
    assert.ok(compareVersions(newer, older) > 0);
  });
}

test("compareVersions() takes versions for equal that differ in leading zeros or a missing epoch", () => {
  assert.equal(compareVersions("1.01-1", "0:1.1-01"), 0);
  assert.equal(compareVersions("1.0-0", "1.0"), 0);
});

test("compareVersions() says what dpkg says, whatever the versions", (context) => {
  if (spawnSync("dpkg", ["--version"]).status !== 0) return context.skip("no dpkg here");
  const part = fc.stringMatching(/^[0-9][0-9a-z.+~]{0,6}$/);
  const version = fc
    .tuple(fc.option(fc.nat({ max: 2 })), part, fc.option(fc.stringMatching(/^[0-9a-z.+~]{1,4}$/)))
    .map(
      ([epoch, upstream, revision]) =>
        `${epoch === null ? "" : `${epoch}:`}${upstream}${revision === null ? "" : `-${revision}`}`,
    );
  fc.assert(
    fc.property(version, version, (a, b) => {
      const order = compareVersions(a, b);
      const relation = order < 0 ? "lt" : order > 0 ? "gt" : "eq";
      assert.equal(spawnSync("dpkg", ["--compare-versions", a, relation, b]).status, 0, `${a} ${relation} ${b}`);
    }),
    { numRuns: 150 },
  );
});

for (const [version, upstream] of [
  ["1:1.3.dfsg+really1.3.1-1", "1.3.1"],
  ["1:1.3.2+dfsg-3", "1.3.2"],
  ["3.5.6-1~deb13u1", "3.5.6"],
  ["1.0.8-5", "1.0.8"],
  ["78.3+ds2-1", "78.3"],
  ["22.4.1~dfsg1-2", "22.4.1"],
] as const) {
  test(`upstreamOf() finds ${upstream} in ${version}`, () => {
    assert.equal(upstreamOf(version), upstream);
  });
}
