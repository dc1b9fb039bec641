import assert from "node:assert/strict";
import { test } from "node:test";
import { WANTED_PACKAGES } from "../package-sets.ts";
import { ARCHITECTURES, PACKAGE_SETS, packagesOf, parseLock, readLock } from "./lock.ts";

const PACKAGE = {
  name: "libc6",
  version: "2.41-12+deb13u4",
  architecture: "amd64",
  source: "glibc",
  sourceVersion: "2.41-12+deb13u4",
  archive: "debian",
  pool: "pool/main/g/glibc/libc6_2.41-12+deb13u4_amd64.deb",
  size: 1,
  sha256: "a".repeat(64),
  sets: ["runtime"],
};

function parse(change: Readonly<Record<string, unknown>>): unknown {
  return parseLock({ suite: "trixie", date: "2026-11-22", packages: [{ ...PACKAGE, ...change }] });
}

test("parseLock() takes a package as the refresh writes it", () => {
  assert.deepEqual(parse({}), { suite: "trixie", date: "2026-11-22", packages: [PACKAGE] });
});

for (const [field, value] of [
  ["pool", "http://mirror/pool/main/x.deb"],
  ["pool", "pool/../../etc/passwd.deb"],
  ["pool", "pool/x.deb?y"],
  ["sha256", "A".repeat(64)],
  ["sha256", "a".repeat(63)],
  ["name", "../libc6"],
  ["architecture", "i386"],
  ["archive", "elsewhere"],
  ["size", 0],
  ["sets", []],
  ["sets", ["unknown"]],
] as const) {
  test(`parseLock() refuses ${field} ${JSON.stringify(value)} and names it`, () => {
    assert.throws(() => parse({ [field]: value }), new RegExp(`Cannot use the lock: .*${field}`));
  });
}

test("the committed lock has every wanted package for both architectures, once", () => {
  const lock = readLock();
  for (const set of PACKAGE_SETS)
    for (const architecture of ARCHITECTURES) {
      const names = packagesOf(lock, set, architecture).map(({ name }) => name);
      assert.equal(new Set(names).size, names.length);
      for (const name of WANTED_PACKAGES[set].names) assert.ok(names.includes(name), `${set} ${architecture} ${name}`);
    }
});
