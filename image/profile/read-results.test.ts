import assert from "node:assert/strict";
import { test } from "node:test";
import { readResults } from "./read-results.ts";

const RULE = (id: string, result: string): string =>
  `<rule-result idref="${id}" role="full" severity="medium" weight="1.000000">\n  <result>${result}</result>\n  <check system="x"/>\n</rule-result>`;
const SCORE = '<score system="urn:xccdf:scoring:default" maximum="100.000000">77.777779</score>';

test("readResults() counts what came of the selected rules, and names those that are open", () => {
  const xml = [RULE("a", "pass"), RULE("b", "fail"), RULE("c", "notselected"), RULE("d", "notapplicable"), SCORE];
  assert.deepEqual(readResults(`<TestResult>${xml.join("\n")}</TestResult>`), {
    counts: { pass: 1, fail: 1, notapplicable: 1 },
    score: 77.777779,
    open: [{ rule: "b", result: "fail" }],
  });
});

test("readResults() takes a rule that could not be looked at for open", () => {
  assert.deepEqual(readResults(RULE("a", "error") + SCORE).open, [{ rule: "a", result: "error" }]);
});

for (const [what, xml] of [
  ["nothing", ""],
  ["no rule", SCORE],
  ["only rules that are not selected", RULE("a", "notselected") + SCORE],
  ["no score", RULE("a", "pass")],
  ["an outcome that XCCDF does not have", RULE("a", "fine") + SCORE],
] as const) {
  test(`readResults() refuses results with ${what}`, () => {
    assert.throws(() => readResults(xml), /Cannot read the result/);
  });
}
