// What keeps the case table honest: nothing is missing, nothing is idle, and the text a case starts from stands in full.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FAMILIES } from "../../src/core/address.ts";
import { CAPTURE_ANNOTATIONS } from "../../src/core/policy/sidecar-annotations.ts";
import { CASES, expectedLanding, PARAMETERS, parametersOf } from "./case-table-cases.ts";
import { assertDefaultsGolden, assertGolden } from "./case-table-golden.ts";
import { PROBES } from "./case-table-probes.ts";

const DEFAULTS = CASES.find(({ name }) => name === "defaults") ?? assert.fail("no case sets nothing");

test("every parameter of a pod has a case, and every case sets parameters only", () => {
  // The mode of interception is a dimension of the table: every case is run in both.
  const set = new Set([CAPTURE_ANNOTATIONS.interceptionMode, ...CASES.flatMap(parametersOf)]);
  assert.deepEqual([...set].toSorted(), [...PARAMETERS].toSorted());
  assert.equal(new Set(CASES.map(({ name }) => name)).size, CASES.length);
});

test("every case changes where a packet lands, or says why it cannot, and no change is written that changes nothing", () => {
  for (const testCase of CASES) {
    const landings = [...PROBES.keys()].flatMap((probe) =>
      (["REDIRECT", "TPROXY"] as const).flatMap((mode) =>
        FAMILIES.map((family) => {
          const isChanged =
            expectedLanding(testCase, probe, mode, family, true) !==
            expectedLanding(DEFAULTS, probe, mode, family, true);
          return { probe, isChanged };
        }),
      ),
    );
    const changed = new Set(landings.flatMap(({ probe, isChanged }) => (isChanged ? [probe] : [])));
    assert.deepEqual([...changed].toSorted(), Object.keys(testCase.changes).toSorted(), testCase.name);
    assert.equal(changed.size === 0, testCase.changesNothingBecause !== undefined, testCase.name);
  }
});

test("the rules of a pod that sets nothing are those that stand in full beside the rules", () =>
  assertDefaultsGolden());

for (const testCase of CASES) {
  test(`${testCase.name}: the rules differ from the default ones as testdata/case-table tells`, () =>
    assertGolden(testCase));
}
