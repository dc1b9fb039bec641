// What each profile, platform and large choice changes in what the chart renders, as golden texts: the difference to its
// defaults. The defaults themselves are chart/manifests (manifests.test.ts) and the hooks below.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { CHART_CASES } from "../../testbed/chart/chart-cases.ts";
import { findHelm } from "../../testbed/chart/find-helm.ts";
import { CHART, render } from "../../testbed/chart/render-chart.ts";
import { mustRun, runCommand } from "../../testbed/node/command.ts";
import { REPOSITORY } from "../../testbed/node/repository.ts";

const folder = mkdtempSync(join(tmpdir(), "chart-golden-"));
after(() => rmSync(folder, { recursive: true }));
const testdata = join(REPOSITORY, "test/chart/testdata");

test("helm lint finds nothing wrong", async () => {
  const found = await mustRun([await findHelm(), "lint", "--strict", CHART, "--kube-version", "1.35.0"]);
  assert.doesNotMatch(found, /\[(ERROR|WARNING)\]/);
});

test("the hooks of the defaults are the golden ones", async () => {
  const documents = (await render()).split(/^---$/m).filter((document) => document.includes("helm.sh/hook:"));
  compare("hooks.yaml", documents.join("---"));
});

for (const { name, args, kubeVersion } of CHART_CASES) {
  test(`${name} changes what its golden text says`, async () => {
    const version = kubeVersion === undefined ? {} : { kubeVersion };
    const [plain, changed] = [await render(), await render({ args, ...version })];
    compare(`${name}.diff`, await difference(plain, changed));
  });
}

test("every file of profiles has a case or is one of a row of equal ones", () => {
  const equal = ["1.26", "1.27", "1.28", "1.29"].map((version) => `compatibility-version-${version}`);
  const named = CHART_CASES.map(({ name }) =>
    name.replace("profile-", "").replace("compatibility-", "compatibility-version-"),
  );
  const files = readdirSync(join(CHART, "files")).map((file) => file.slice("profile-".length, -".yaml".length));
  assert.deepEqual(
    files.filter((file) => !named.includes(file) && !equal.includes(file)),
    [],
  );
});

/** As `diff -U 1`, without the lines that say when and where. */
async function difference(before: string, now: string): Promise<string> {
  const paths = [join(folder, "before"), join(folder, "now")] as const;
  writeFileSync(paths[0], before);
  writeFileSync(paths[1], now);
  const { status, stdout, stderr } = await runCommand(["diff", "-U", "1", ...paths]);
  if (status === null || status > 1) throw new Error(`Cannot compare: ${stderr}`);
  return stdout
    .split("\n")
    .slice(2)
    .map((line) => line.replace(/^@@ .*/, "@@"))
    .join("\n");
}

/** With a file of testdata/; UPDATE_GOLDEN=1 writes it anew. */
function compare(file: string, actual: string): void {
  const path = join(testdata, file);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(path, actual);
  assert.equal(actual, readFileSync(path, "utf8"));
}
