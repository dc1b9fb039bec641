import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkRelease, readNotes } from "./release-check.ts";

const TEXTS = {
  packageJson: '{"version": "1.2.3"}',
  packageLock: '{"version": "1.2.3"}',
  chart: "apiVersion: v2\nversion: 1.2.3\nappVersion: 1.2.3\n",
  changelog: "# Changelog\n\n## Unreleased\n\n## 1.2.3 (2027-01-01)\n",
};

test("checkRelease() accepts a tag that every file agrees with", () => {
  assert.deepEqual(checkRelease("v1.2.3", TEXTS), []);
});

test("checkRelease() names each file that says something else, and a changelog that says nothing", () => {
  const chart = 'version: 1.2.2\nappVersion: "1.2.1"\n';
  assert.deepEqual(
    checkRelease("v1.2.3", { packageJson: '{"version": 1}', packageLock: "[]", chart, changelog: "## Unreleased\n" }),
    [
      "package.json says undefined, not 1.2.3",
      "package-lock.json says undefined, not 1.2.3",
      "version of chart/Chart.yaml says 1.2.2, not 1.2.3",
      "appVersion of chart/Chart.yaml says 1.2.1, not 1.2.3",
      'CHANGELOG.md has no part "## 1.2.3"',
    ],
  );
});

test("the repository as it is may be released under the version it names", () => {
  const read = (path: string): string => readFileSync(join(import.meta.dirname, "..", path), "utf8");
  const { version }: { version: string } = JSON.parse(read("package.json"));
  const texts = {
    packageJson: read("package.json"),
    packageLock: read("package-lock.json"),
    chart: read("chart/Chart.yaml"),
    changelog: read("CHANGELOG.md"),
  };
  assert.deepEqual(checkRelease(`v${version}`, texts), []);
});

test("checkRelease() refuses what is no tag of a release", () => {
  for (const tag of ["", "1.2.3", "v1.2", "v1.2.3-rc.1", "main"])
    assert.match(checkRelease(tag, TEXTS).join(), /vX\.Y\.Z is accepted/, tag);
});

test("readNotes() is what the changelog tells of this version only", () => {
  const changelog = "# Changelog\n\n## 1.2.3 (2027-01-01)\n\n### Added\n- A\n\n## 1.2\n- B\n";
  assert.equal(readNotes(changelog, "1.2.3"), "### Added\n- A\n\n");
  assert.equal(readNotes(changelog, "1.2"), "- B\n");
  assert.equal(readNotes(changelog, "1.2.30"), "");
});
