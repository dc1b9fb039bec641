import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type Finding, readTriage } from "../describe/triage.ts";
import { readLock } from "../inputs/lock.ts";
import {
  type Known,
  type KnownVulnerability,
  listComparable,
  listFixable,
  listObjections,
  readKnown,
} from "./known.ts";

const FOUND: KnownVulnerability = { id: "CVE-2026-0001", component: "debian/glibc", fixedIn: "2.43-1" };
const JUDGED: Finding = { id: "CVE-2026-0001", component: "debian/glibc", status: "affected", statement: "Wait." };
const COMPARABLE = [{ component: "debian/glibc", version: "2.41-12" }];

function known(change: Partial<Known> = {}): Known {
  const compared = [{ component: "debian/glibc", version: "2.41-12", with: ["2.43-1"] }];
  return { date: "2026-11-22", found: [FOUND], compared, ...change };
}

describe("listObjections()", () => {
  test("has none when everything is compared and judged", () => {
    assert.deepEqual(listObjections(known(), { findings: [JUDGED] }, COMPARABLE), []);
  });

  for (const { what, state, findings = [JUDGED], comparable = COMPARABLE, expected } of [
    {
      what: "a vulnerability that nobody judged",
      findings: [],
      expected: /CVE-2026-0001 of debian\/glibc: not judged/,
    },
    {
      what: "one that was judged for another part",
      findings: [JUDGED, { ...JUDGED, component: "node/zlib" }],
      expected: /CVE-2026-0001 of node\/zlib: judged, and not known any more/,
    },
    {
      what: "a part in another version than was compared",
      comparable: [{ component: "debian/glibc", version: "2.41-13" }],
      expected: /debian\/glibc 2\.41-13: 2\.41-12 was compared/,
    },
    {
      what: "a part that was not compared",
      comparable: [...COMPARABLE, { component: "debian/new", version: "1" }],
      expected: /debian\/new 1: nothing was compared/,
    },
    {
      what: "a fix that is to be had and not taken without a reason",
      state: known({ found: [{ ...FOUND, takeable: "2.41-13" }] }),
      expected: /CVE-2026-0001 of debian\/glibc: 2\.41-13 is to be had/,
    },
  ] as const) {
    test(`has ${what}`, () => {
      const objections = listObjections(state ?? known(), { findings }, comparable);
      assert.equal(objections.length, 1, objections.join("\n"));
      assert.match(objections[0] ?? "", expected);
    });
  }
});

test("listFixable() has what could be taken, whatever was judged, but for what taking it would not change", () => {
  const state = known({ found: [{ ...FOUND, takeable: "2.41-13" }] });
  const waits = { since: "2026-11-22", reason: "Waiting." };
  assert.equal(listFixable(state, { findings: [{ ...JUDGED, waits }] }).length, 1);
  assert.equal(listFixable(state, { findings: [{ ...JUDGED, status: "fixed" }] }).length, 0);
  assert.equal(listFixable(known(), { findings: [JUDGED] }).length, 0);
});

test("what is committed is about the committed lock and the pinned Node, each finding judged", () => {
  assert.deepEqual(listObjections(readKnown(), readTriage(), listComparable(readLock())), []);
});

for (const [what, finding, expected] of [
  ["a status that OpenVEX does not have", { status: "fine" }, /has status fine/],
  ["not_affected without a justification", { status: "not_affected" }, /needs a justification/],
  ["a component that the scan does not name", { component: "glibc" }, /is of no component/],
  ["a wait without a day", { waits: { since: "soon", reason: "x" } }, /waits since no day/],
  ["evidence that nobody can look at", { evidence: [{ kind: "hearsay" }] }, /unknown kind hearsay/],
] as const) {
  test(`readTriage() refuses ${what}`, () => {
    const folder = mkdtempSync(join(tmpdir(), "triage-"));
    try {
      const path = join(folder, "triage.json");
      writeFileSync(path, JSON.stringify({ findings: [{ ...JUDGED, ...finding }] }));
      assert.throws(() => readTriage(path), expected);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
