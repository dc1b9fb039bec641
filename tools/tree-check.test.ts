import assert from "node:assert/strict";
import { test } from "node:test";
import { checkTree } from "./tree-check.ts";

const check = (path: string, text: string): string[] => checkTree([{ path, text }]).map(({ message }) => message);

test("checkTree() refuses a long file without a reason", () => {
  assert.match(check("src/a.ts", "x\n".repeat(500)).join(), /Bad size/);
  assert.deepEqual(check("src/a.ts", `// Long because it is one table.\n${"x\n".repeat(500)}`), []);
});

test("checkTree() refuses open marks, silenced checkers and tests that are skipped or alone", () => {
  assert.match(check("src/a.ts", `// ${"TO" + "DO"} later`).join(), /Bad mark/);
  assert.match(check("src/a.ts", `// @ts-${"ignore"}`).join(), /Bad silence/);
  assert.match(check("src/a.test.ts", `test${".only"}("x", () => {})`).join(), /Bad test/);
});

test("checkTree() refuses the names of package registries", () => {
  assert.match(check("docs/a.md", ["https://registry", "npmjs", "org/x"].join(".")).join(), /Bad host/);
});
