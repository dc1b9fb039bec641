import assert from "node:assert/strict";
import { test } from "node:test";
import { renderSourceIndex } from "./source-index.ts";
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

test("checkTree() refuses an index of files that is not what is there", () => {
  const files = [
    ...["src/core/b.ts", "src/core/a.ts", "src/core/a.test.ts", "plugin/src/x.c", "plugin/src/x.h", "docs/a.ts"],
    "src/agent/probe-self-test.ts",
  ].map((path) => ({ path, text: "" }));
  const page = (text: string) => checkTree([...files, { path: "ARCHITECTURE.md", text }]).map(({ message }) => message);
  const right = renderSourceIndex(files.map(({ path }) => path));
  assert.match(right, /:\n\n- `core`: a, b\n- `agent`: probe-self-test\n- `plugin\/src`: x\n$/);
  assert.deepEqual(page(`# Architecture\n\n${right}`), []);
  assert.match(page(`# Architecture\n\n${right.replace("a, b", "a")}`).join(), /Bad index/);
  assert.match(page("# Architecture\n").join(), /Bad index/);
});
