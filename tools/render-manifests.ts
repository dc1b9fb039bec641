// Writes chart/manifests, the chart as plain manifests for `kubectl apply` and kustomize. test/chart/manifests.test.ts
// fails when they are stale. Usage: tools/node tools/render-manifests.ts
import { writeFileSync } from "node:fs";
import { manifestPath, renderManifests } from "../testbed/chart/render-manifests.ts";

for (const [name, text] of await renderManifests()) writeFileSync(manifestPath(name), text);
