import assert from "node:assert/strict";
import { test } from "node:test";
import { findCitations, findMissingTests } from "./cited-tests.ts";

const FILES: Readonly<Record<string, string>> = {
  "../test/a.test.ts": `
import { declare } from "./declare.ts";
const CASES = { "half a list": 1, garbage: 2 };
test("a plain name", () => {});
  it('the agent\\'s name', async () => {});
for (const [what] of Object.entries(CASES)) test(\`\${what} at its \${pick ? "start" : "end"}\`, () => {});
test(entry.name, () => {});
// test("a test that was taken out", () => {});
`,
  "../test/declare.ts": `import "./a.test.ts"; import "./far.ts"; context.test("declared beside", () => {});`,
  "../test/far.ts": `context.test("declared far away", () => {});`,
};
const missing = (name: string, path = "../test/a.test.ts"): string[] =>
  findMissingTests(`text\n| row | [${name}](${path}) |`, (asked) => FILES[asked]);

test("findCitations() reads links to tests and no others", () => {
  const text = "[one](../a.test.ts), [two \\[x\\]](../b.test.ts)\n[no test](../a.ts)";
  assert.deepEqual(findCitations(text), [
    { line: 1, path: "../a.test.ts", name: "one" },
    { line: 1, path: "../b.test.ts", name: "two [x]" },
  ]);
});

test("findMissingTests() is content with tests that are there, by literal, template, variable or import", () => {
  for (const name of [
    "a plain name",
    "the agent's name",
    "half a list at its start",
    "garbage at its end",
    "… at its …",
    "half a list",
    "declared beside",
    "declared far away",
  ])
    assert.deepEqual(missing(name), [], name);
});

test("findMissingTests() names files and tests that are not there, a case that no table has, and what is commented out", () => {
  assert.deepEqual(missing("a plain name", "../test/b.test.ts"), ["line 2: there is no file ../test/b.test.ts"]);
  for (const name of ["a plain", "another list at its start", "half a list at its", "a test that was taken out"])
    assert.deepEqual(missing(name), [`line 2: ../test/a.test.ts has no test "${name}"`]);
});
