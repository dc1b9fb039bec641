// The plain manifests and the kustomize bases are what the chart renders today.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MANIFEST_CASES } from "../../testbed/chart/chart-cases.ts";
import { CHART, parseYaml } from "../../testbed/chart/render-chart.ts";
import { manifestPath, renderManifests } from "../../testbed/chart/render-manifests.ts";

for (const { name } of MANIFEST_CASES) {
  test(`chart/manifests/${name} is what the chart renders`, async () => {
    const rendered = (await renderManifests()).get(name);
    assert.equal(readFileSync(manifestPath(name), "utf8"), rendered, "run tools/node tools/render-manifests.ts");
  });

  test(`chart/manifests/${name} is a base for kustomize with nothing but that file`, async () => {
    const text = readFileSync(join(CHART, "manifests", name, "kustomization.yaml"), "utf8");
    const [kustomization] = await parseYaml(text);
    assert.deepEqual(kustomization?.["resources"], ["istio-cni.yaml"]);
  });
}
