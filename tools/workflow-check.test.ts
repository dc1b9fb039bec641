import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { readCodeBlocks } from "../docs/code-blocks.ts";
import { checkWorkflow } from "./workflow-check.ts";

const ROOT = join(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const { scripts }: { scripts: Record<string, string> } = JSON.parse(read("package.json"));
const PROJECT = {
  targets: new Set([...read("Makefile").matchAll(/^([a-z-]+):/gm)].map(([, target = ""]) => target)),
  scripts: new Set(Object.keys(scripts)),
  exists: (path: string): boolean => path !== "" && existsSync(join(ROOT, path)),
};
const SHA = "0123456789012345678901234567890123456789";

/** A workflow without fault, in which one thing is replaced. */
function faulty(what: string | RegExp, by: string): readonly string[] {
  const good = `name: x
on:
  push: {}
permissions:
  contents: read
jobs:
  one:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    env:
      GIVEN: "1"
    steps:
      - uses: a/b@${SHA} # v1.2.3
      - run: make build && tools/node tools/ok.ts "$GIVEN" | sudo env A=1 tools/setup --npm-only
      - run: echo "$GITHUB_SHA" || npm run ok
`;
  assert.deepEqual(checkWorkflow(good, PROJECT), []);
  const bad = good.replace(what, by);
  assert.notEqual(bad, good);
  return checkWorkflow(bad, PROJECT);
}

describe("checkWorkflow()", () => {
  const faults: readonly (readonly [string, string | RegExp, string, RegExp])[] = [
    ["a target that make does not have", "make build", "make buld", /make buld, which is not there/],
    ["a script that does not exist", "tools/ok.ts", "tools/okay.ts", /tools\/okay\.ts, which is not there/],
    ["a tool that does not exist behind sudo and env", "tools/setup", "tools/set-up", /tools\/set-up/],
    ["an npm script that does not exist", "run ok", "run okay", /npm run okay/],
    ["a program that nobody brings", "echo", "jqx", /jqx, which is not there/],
    ["an action without a commit", `@${SHA} # v1.2.3`, "@v1", /is not pinned to a commit/],
    ["a commit without its version", " # v1.2.3", "", /no commit with its version/],
    ["a variable that nobody sets", "$GIVEN", "$OTHER", /uses OTHER, which nobody sets/],
    ["an expression in a command", "$GITHUB_SHA", `$${"{{"} github.head_ref }}`, /would be read as a command/],
    ["rights by default", /permissions:\n.*\n/, "", /permissions is not/],
    ["other people's changes", "push: {}", "pull_request_target: {}", /other people's changes/],
    ["a job without an end", /.*timeout-minutes.*\n/, "", /no timeout-minutes/],
    ["a machine that changes", "ubuntu-24.04", "ubuntu-latest", /another machine tomorrow/],
    ["a registry's name", '"1"', '"quay.io/x"', /a registry is named/],
    ["a token that every step has", 'GIVEN: "1"', `GIVEN: "$${"{{"} github.token }}"`, /every step has GIVEN/],
    [
      "a build that may write",
      "    timeout-minutes: 5",
      "    timeout-minutes: 5\n    permissions:\n      contents: write",
      /it may write, and executes what others made/,
    ],
    ["what is no YAML", "steps:", "steps: [", /Cannot read YAML/],
  ];
  for (const [what, from, to, message] of faults)
    test(`finds ${what}`, () => assert.match(faulty(from, to).join("\n"), message));
});

describe("each workflow of this repository calls what is there, is pinned, and has no more rights than it says", () => {
  const paths = globSync(".github/workflows/*.yml", { cwd: ROOT });
  test("there are four", () =>
    assert.deepEqual(paths.map((path) => path.replace(/^.*\//, "")).toSorted(), [
      "ci.yml",
      "e2e.yml",
      "rebuild.yml",
      "release.yml",
    ]));
  for (const path of paths) test(path, () => assert.deepEqual(checkWorkflow(read(path), PROJECT), []));
});

test("the workflows that docs/ci.md shows would pass the same checks", () => {
  const shown = readCodeBlocks(read("docs/ci.md")).filter(({ language }) => language === "yaml");
  assert.ok(shown.length > 0);
  for (const { line, text } of shown) assert.deepEqual(checkWorkflow(text, PROJECT), [], `line ${line}`);
});
