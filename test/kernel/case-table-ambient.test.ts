// What keeps the ambient case table honest: every word a pod can say has a case, every combination is there, and every
// effect changes where something lands.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AMBIENT_ANNOTATIONS } from "../../src/core/policy/ambient-annotations.ts";
import { AMBIENT_CASES } from "../../testbed/ambient/ambient-cases.ts";
import { AMBIENT_POD_CASES, AMBIENT_TWINS, planOfCase } from "./case-table-ambient-cases.ts";
import { AMBIENT_PROBES, type Effect, landingOf } from "./case-table-ambient-probes.ts";

const EFFECTS: readonly Effect[] = ["bypass", "dns", "reroute"];
const LABEL = "istio.io/dataplane-mode";
const ALL_CASES = [...AMBIENT_POD_CASES, ...AMBIENT_TWINS.map(({ twin }) => twin)];

test("every annotation and label that decides is said by a case, in and out of the mesh", () => {
  const annotations = new Set(ALL_CASES.flatMap((each) => Object.keys(each.annotations ?? {})));
  assert.deepEqual(
    [...annotations].toSorted(),
    [...Object.values(AMBIENT_ANNOTATIONS), "sidecar.istio.io/status"].toSorted(),
  );
  const labelled = (labels: Readonly<Record<string, string>> | undefined) => labels?.[LABEL];
  const said = new Set(
    ALL_CASES.map((each) =>
      [labelled(each.namespaceLabels), labelled(each.podLabels), each.effects !== undefined].join(),
    ),
  );
  assert.deepEqual([...said].toSorted(), [
    ",,false",
    ",ambient,true",
    "ambient,,false",
    "ambient,,true",
    "ambient,none,false",
  ]);
  assert.ok(ALL_CASES.some(({ agentDns }) => agentDns));
});

test("every combination of what a pod can ask for is a case of its own, and no two cases are the same pod", () => {
  const combinations = AMBIENT_POD_CASES.map(({ effects }) => effects?.toSorted().join("+") ?? "out");
  const wanted = EFFECTS.reduce<string[][]>((sets, effect) => sets.flatMap((set) => [set, [...set, effect]]), [[]]);
  assert.deepEqual(combinations.toSorted(), ["out", ...wanted.map((set) => set.toSorted().join("+"))].toSorted());
  const plans = AMBIENT_POD_CASES.map((each) => JSON.stringify(planOfCase(each)) ?? "out");
  assert.equal(new Set(plans).size, AMBIENT_POD_CASES.length);
});

test("every case asks for what its golden text is of", () => {
  for (const testCase of AMBIENT_POD_CASES) {
    const plan = planOfCase(testCase);
    if (plan === undefined) continue;
    const { families: _, ...golden } = AMBIENT_CASES[testCase.name] ?? assert.fail(testCase.name);
    assert.deepEqual(plan, golden, testCase.name);
  }
});

test("every effect changes where a packet lands that no other effect of the pod hides, and no landing is written for nothing", () => {
  for (const effect of EFFECTS) {
    const changed = [...AMBIENT_PROBES.values()].filter(
      ({ lands }) => landingOf(lands, [effect]) !== landingOf(lands, []),
    );
    assert.ok(changed.length >= 3, `${effect} changes ${changed.length}`);
  }
  for (const [name, { lands }] of AMBIENT_PROBES) {
    if (typeof lands === "string") continue;
    for (const effect of EFFECTS) if (lands[effect] !== undefined) assert.notEqual(lands[effect], lands.usually, name);
  }
});
