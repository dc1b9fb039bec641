// The chart as plain manifests: what `helm install` would make, without hooks and without what only Helm reads.
import { join } from "node:path";
import { MANIFEST_CASES } from "./chart-cases.ts";
import { CHART, render } from "./render-chart.ts";

const NAMESPACE = `---
apiVersion: v1
kind: Namespace
metadata:
  name: istio-system
`;

/** By the case's name, in its order: the text of its file. */
export async function renderManifests(): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  for (const { name, args } of MANIFEST_CASES)
    texts.set(name, renderManifest(name, args, await render({ args: [...args, "--no-hooks"] })));
  return texts;
}

/** Where the manifest of a case lies. */
export function manifestPath(name: string): string {
  return join(CHART, "manifests", name, "istio-cni.yaml");
}

function renderManifest(name: string, args: readonly string[], text: string): string {
  const head = `# The chart with ${args.length === 0 ? "its default values" : args.join(" ")}, made by tools/render-manifests.ts.
#   kubectl apply -f istio-cni.yaml
# or, with an image of yours, from a kustomization that has this folder (${name}) as its base.
`;
  const lines = text
    .split("\n")
    .filter((line) => !/^# Source: |^ +(helm\.sh\/chart|app\.kubernetes\.io\/managed-by): /.test(line));
  return `${head}${NAMESPACE}${lines.join("\n").trimEnd()}\n`;
}
