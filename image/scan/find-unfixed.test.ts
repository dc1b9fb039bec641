import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ChangelogEntry } from "./changelog.ts";
import { findNamedSince, findUnfixedInPackage, findUnfixedInPart } from "./find-unfixed.ts";

const [A, B, C] = ["CVE-2026-0001", "CVE-2026-0002", "CVE-2026-0003"] as const;

/** A changelog of these entries, the newest first, each a day older than the one before it. */
function log(...entries: readonly (readonly [version: string, ...ids: string[]])[]): ChangelogEntry[] {
  return entries.map(([version, ...ids], index) => ({ version, ids, date: new Date(Date.UTC(2026, 9, 30 - index)) }));
}

describe("findUnfixedInPackage()", () => {
  const own = log(["2.41-12+deb13u4", A], ["2.41-12"]);

  test("finds what a newer version names, with the lowest version that does", () => {
    const unstable = log(["2.43-7", B, C], ["2.43-6", B], ["2.41-12"]);
    assert.deepEqual(
      [...findUnfixedInPackage("2.41-12+deb13u4", own, [unstable])],
      [
        [B, "2.43-6"],
        [C, "2.43-7"],
      ],
    );
  });

  test("does not find what our own update has fixed", () => {
    assert.equal(findUnfixedInPackage("2.41-12+deb13u4", own, [log(["2.43-1", A], ["2.41-12"])]).size, 0);
  });

  test("does not find what older versions named", () => {
    assert.equal(findUnfixedInPackage("2.41-12+deb13u4", own, [log(["2.43-1"], ["2.41-11", B])]).size, 0);
  });

  test("finds what an update of our own suite fixes, which we have not taken", () => {
    const update = log(["2.41-12+deb13u5", B], ["2.41-12+deb13u4", A]);
    assert.deepEqual([...findUnfixedInPackage("2.41-12+deb13u4", own, [update])], [[B, "2.41-12+deb13u5"]]);
  });
});

describe("findUnfixedInPart()", () => {
  test("finds what a later upstream version fixes, and not what ours and those before it fixed", () => {
    const unstable = log(["3.5.9-1", A], ["3.5.8-1", B], ["3.5.7-1", C]);
    assert.deepEqual([...findUnfixedInPart("3.5.8", [unstable])], [[A, "3.5.9-1"]]);
  });

  test("finds what Debian patched into our upstream version, or into the last one before it", () => {
    assert.deepEqual([...findUnfixedInPart("1.2.0", [log(["1.2.0-4", A], ["1.2.0-1", B])])], [[A, "1.2.0-4"]]);
    assert.deepEqual([...findUnfixedInPart("1.2.1", [log(["1.2.0-4", A], ["1.2.0-1", B])])], [[A, "1.2.0-4"]]);
  });

  test("takes a patch for part of the upstream version that came after it", () => {
    assert.equal(findUnfixedInPart("1.2.1", [log(["1.2.1-1"], ["1.2.0-4", A], ["1.2.0-1"])]).size, 0);
  });

  test("takes what any changelog has fixed by an upstream version up to ours for fixed, whatever another line names", () => {
    const [unstable, stable] = [log(["3.6.3-1", A, B]), log(["3.5.7-1~deb13u1", A])];
    assert.deepEqual([...findUnfixedInPart("3.5.8", [unstable, stable])], [[B, "3.6.3-1"]]);
  });
});

test("findNamedSince() finds what was named after a day, and by nobody before it", () => {
  const [other, own] = [log(["24.22.1-1", A, B], ["24.19.0-1", C]), log(["26.13.0"], ["26.12.0", B, C])];
  assert.deepEqual([...findNamedSince(new Date(Date.UTC(2026, 9, 29)), [other, own])], [[A, "24.22.1-1"]]);
});
