import assert from "node:assert/strict";
import { test } from "node:test";
import { checkImportLaw } from "./import-law.ts";

const check = (path: string, text: string): string[] => checkImportLaw([{ path, text }]).map(({ message }) => message);

const planted: [string, string, string, RegExp][] = [
  [
    "core importing platform",
    "src/core/rules/a.ts",
    'import { x } from "../../platform/fs/x.ts";',
    /core may not import platform/,
  ],
  [
    "core importing a Node module",
    "src/core/a/a.ts",
    'import { readFileSync } from "node:fs";',
    /core imports no node:fs/,
  ],
  ["core importing a package", "src/core/a/a.ts", 'import x from "koffi";', /core has no dependencies/],
  ["core reading the clock", "src/core/a/a.ts", "export const now = () => Date.now();", /pure and synchronous/],
  ["core reading the environment", "src/core/a/a.ts", 'const x = process.env["A"];', /pure and synchronous/],
  ["core waiting", "src/core/a/a.ts", "export async function f() {}", /pure and synchronous/],
  [
    "platform importing agent",
    "src/platform/fs/a.ts",
    'import type { X } from "../../agent/install/x.ts";',
    /platform may not import agent/,
  ],
  [
    "agent importing platform by value",
    "src/agent/install/a.ts",
    'import { x } from "../../platform/fs/x.ts";',
    /agent may not import platform by value/,
  ],
  [
    "one service importing another",
    "src/agent/install/a.ts",
    'import { x } from "../informers/x.ts";',
    /services never import each other/,
  ],
  [
    "a multi-line import",
    "src/agent/install/a.ts",
    'import {\n  a,\n  b,\n} from "../../platform/fs/x.ts";',
    /agent may not import platform by value/,
  ],
  [
    "a dynamic import",
    "src/core/a/a.ts",
    'const x = import("../../platform/fs/x.ts");',
    /core may not import platform/,
  ],
  ["a re-export", "src/core/a/a.ts", 'export { x } from "../../platform/fs/x.ts";', /core may not import platform/],
  [
    "child processes outside their room",
    "src/agent/sidecar/a.ts",
    'import { spawn } from "node:child_process";',
    /used only in src\/platform\/exec/,
  ],
  [
    "src importing the test bed",
    "src/cmd/a.ts",
    'import { x } from "../../testbed/x.ts";',
    /src\/ does not import testbed/,
  ],
  ["a drawer", "src/core/utils/a.ts", "", /drawer/],
  ["a fifth room", "src/shared/a.ts", "", /has the rooms/],
];

for (const [what, path, text, message] of planted) {
  test(`the import law refuses ${what}`, () => {
    const found = check(path, text);
    assert.equal(found.length > 0, true, "nothing was found");
    assert.match(found.join("\n"), message);
  });
}

test("the import law passes what the rooms are for", () => {
  assert.deepEqual(
    check(
      "src/agent/install/a.ts",
      'import type { X } from "../../platform/fs/x.ts";\nimport { y } from "../../core/cni/y.ts";\nimport { z } from "./z.ts";',
    ),
    [],
  );
  assert.deepEqual(
    check("src/cmd/wire.ts", 'import { x } from "../platform/fs/x.ts";\nimport { y } from "../agent/install/y.ts";'),
    [],
  );
  assert.deepEqual(check("src/core/a/a.ts", '// Date.now() is not used here\nconst text = "await process.exit";'), []);
});
