// Which pods of upstream's chart are tried: those of our table, or what helm renders of a chart; and what follows from the values
// of each for the test.
import assert from "node:assert/strict";
import { isJsonObject, readPath } from "../../testbed/api-server/kube-object.ts";
import { parseYaml, tryRender } from "../../testbed/chart/render-chart.ts";
import {
  type ChartPod,
  listChartPodCases,
  readChartObjects,
  whatAgentMeets,
} from "../../testbed/upstream/chart-pods.ts";

export const NET_DIR = "/etc/cni/net.d";
export const MULTUS_DIR = "/etc/cni/multus/net.d";

export interface Trial {
  readonly name: string;
  readonly pod: ChartPod;
}

/** Every pod that differs from the others in something that our agent could meet, named after the versions it is of. */
export function listTrials(): readonly Trial[] {
  const trials = new Map<string, { readonly versions: string[]; readonly name: string; readonly pod: ChartPod }>();
  for (const { name, versions } of listChartPodCases()) {
    for (const [version, pod] of versions) {
      const key = name + JSON.stringify(whatMatters(pod, ["defaults", "ambient"].includes(name)));
      const known = trials.get(key);
      if (known === undefined) trials.set(key, { versions: [version], name, pod });
      else known.versions.push(version);
    }
  }
  return [...trials.values()].map(({ versions, name, pod }) => ({ name: `${name} (${versions.join(", ")})`, pod }));
}

// Between 1.28 and later ones: an option of ambient mode that the agent needs not, and the time to end. Two cases try both.
function whatMatters(pod: ChartPod, isAll: boolean): unknown {
  const { config, template } = pod;
  if (isAll) return whatAgentMeets(pod);
  const spec = readPath(template, "spec");
  assert.ok(isJsonObject(spec));
  return whatAgentMeets({
    ...pod,
    template: { ...template, spec: { ...spec, terminationGracePeriodSeconds: 0 } },
    config: { ...config, AMBIENT_RECONCILE_POD_RULES_ON_STARTUP: "" },
  });
}

/** The same of a chart's folder. @throws {AssertionError} when helm refuses values that all of our versions know. */
export async function renderTrials(chart: string): Promise<readonly Trial[]> {
  const trials: Trial[] = [];
  const all = listChartPodCases();
  const everywhere = Math.max(...all.map(({ versions }) => versions.size));
  for (const { name, values, apiVersions, versions } of all) {
    const args = [
      ...values.flatMap((value) => ["--set", value]),
      ...apiVersions.flatMap((version) => ["--api-versions", version]),
    ];
    const { status, stdout, stderr } = await tryRender({ chart, args });
    if (status === 0) trials.push({ name, pod: readChartObjects(await parseYaml(stdout)) });
    // What only some versions know, this one need not.
    else assert.ok(versions.size < everywhere, `${name}: ${stderr}`);
  }
  return trials;
}

export interface Facts {
  readonly isAmbient: boolean;
  readonly isChained: boolean;
  readonly isNative: boolean;
  /** Whether the chart mounts /host/proc, which it does for ambient mode and for repair by rules. */
  readonly isHostSeen: boolean;
  /** Where our file goes if it is not chained. */
  readonly netDir: string;
  readonly graceSeconds: number;
  /** Of a pod that the selectors enrol. */
  readonly labels: Readonly<Record<string, string>>;
}

export function readFacts({ config, template }: ChartPod): Facts {
  const volumes = JSON.stringify(readPath(template, "spec", "volumes"));
  return {
    isAmbient: config["AMBIENT_ENABLED"] === "true",
    isChained: config["CHAINED_CNI_PLUGIN"] === "true",
    isNative: config["NATIVE_NFTABLES"] === "true",
    isHostSeen: volumes.includes('"/proc"'),
    graceSeconds: Number(readPath(template, "spec", "terminationGracePeriodSeconds")),
    netDir: volumes.includes(MULTUS_DIR) ? MULTUS_DIR : NET_DIR,
    labels: config["AMBIENT_ENABLEMENT_SELECTOR"]?.includes("mesh: this") === true ? { mesh: "this" } : {},
  };
}
