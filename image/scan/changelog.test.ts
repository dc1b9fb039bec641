import assert from "node:assert/strict";
import { test } from "node:test";
import { parseChangelog } from "./changelog.ts";

const TEXT = `musl (1.2.6-2) unstable; urgency=high

  * Fix integer overflow (CVE-2026-107891, CVE-2026-107891)
    and CVE-2026-1234.

 -- A Person <a@example.org>  Tue, 27 Oct 2026 01:28:41 +0100

musl (1.2.6-1) unstable; urgency=medium

  * New upstream. No CVE-12 and no XCVE-2026-99999x.

 -- Another, Person (sort of) <b@example.org>  Mon, 26 Oct 2026 00:00:00 +0000
`;

test("parseChangelog() reads version, date and ids of each entry, each id once", () => {
  assert.deepEqual(parseChangelog(TEXT), [
    { version: "1.2.6-2", ids: ["CVE-2026-107891", "CVE-2026-1234"], date: new Date("2026-10-27T00:28:41Z") },
    { version: "1.2.6-1", ids: [], date: new Date("2026-10-26T00:00:00Z") },
  ]);
});

test("parseChangelog() refuses a text that is none: nothing found would be taken for nothing known", () => {
  assert.throws(() => parseChangelog(""), /no entry/);
  assert.throws(() => parseChangelog("<html>404</html>\n"), /no entry/);
});

test("parseChangelog() refuses an entry whose date is none", () => {
  assert.throws(() => parseChangelog("a (1-1) x; y\n\n  * b\n\n -- c <d>  yesterday\n"), /date of 1-1 is "yesterday"/);
});
