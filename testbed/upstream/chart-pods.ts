// What upstream's chart istio-cni 1.28 to 1.31 makes of its values, as far as the agent meets it: the pod template, the
// configuration and the roles. Kept as data (testdata/chart-*.json), written from upstream's tables; `readChartObjects`
// reads the same out of what helm renders, so that both can be compared and started alike.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isJsonObject, type JsonObject, readPath, readText } from "../api-server/kube-object.ts";
import { applyPatch } from "../api-server/patch.ts";

/** What a chart gives one agent. */
export interface ChartPod {
  /** Metadata and spec of the DaemonSet's pods. */
  readonly template: JsonObject;
  /** The ConfigMap's data. */
  readonly config: Readonly<Record<string, string>>;
  /** By name: the rules of the ClusterRoles that its service account is bound to. */
  readonly roles: Readonly<Record<string, readonly JsonObject[]>>;
}

export interface ChartPodCase {
  readonly name: string;
  /** For `--set`. */
  readonly values: readonly string[];
  /** For `--api-versions`. */
  readonly apiVersions: readonly string[];
  /** The minor versions of upstream's chart that know these values, with what each makes of them. */
  readonly versions: ReadonlyMap<string, ChartPod>;
}

const NAMESPACE = "istio-system";
const SERVICE_ACCOUNT = "istio-cni";
const CONFIG = "istio-cni-config";
const RBAC = "rbac.authorization.k8s.io";
const STRATEGIC = "application/strategic-merge-patch+json";
const MERGE = "application/merge-patch+json";

/** All cases of testdata. @throws {Error} when one builds upon a case that is not there. */
export function listChartPodCases(): readonly ChartPodCase[] {
  const byDefault = readData("chart-default.json");
  const { versions, cases } = readData("chart-cases.json");
  if (!isJsonObject(versions) || !Array.isArray(cases)) throw new Error("Cannot read chart-cases.json: no cases");
  const find = (name: string): JsonObject => {
    const found: unknown = cases.find((each) => readText(each, "name") === name);
    if (isJsonObject(found)) return found;
    throw new Error(`Cannot read chart-cases.json: there is no case ${name}`);
  };
  const withBases = (chosen: JsonObject): readonly JsonObject[] => [
    ...texts(chosen["with"]).flatMap((base) => withBases(find(base))),
    chosen,
  ];
  return cases.filter(isJsonObject).map((chosen) => {
    const { since = "" } = chosen;
    const known = Object.entries(versions).filter(([version]) => version >= String(since));
    return {
      name: readText(chosen, "name"),
      values: texts(chosen["values"]),
      apiVersions: texts(chosen["apiVersions"]),
      versions: new Map(
        known.map(([version, change]) => [
          version,
          asChartPod([change, ...withBases(chosen)].filter(isJsonObject).reduce(applyChange, byDefault)),
        ]),
      ),
    };
  });
}

/** The same of rendered objects. @throws {Error} when there is no DaemonSet or no ConfigMap. */
export function readChartObjects(objects: readonly JsonObject[]): ChartPod {
  const template = readPath(find(objects, "DaemonSet", "istio-cni-node"), "spec", "template");
  const bound = objects
    .filter(({ kind }) => kind === "ClusterRoleBinding")
    .map((binding) => readText(binding, "roleRef", "name"));
  const roles = bound.map((name) => [name, find(objects, "ClusterRole", name)["rules"]]);
  const config = find(objects, "ConfigMap", CONFIG)["data"];
  return asChartPod({ template, config, roles: Object.fromEntries(roles) });
}

/** What the agent's own behaviour can depend on; two pods that agree in it need not both be tried. */
export function whatAgentMeets({ template, config, roles }: ChartPod): JsonObject {
  const { image: _image, imagePullPolicy: _policy, ...container } = containerOf(template);
  const spec = readPath(template, "spec");
  if (!isJsonObject(spec)) throw new Error("Cannot read the pod template: it has no spec");
  const sorted = Object.entries(isJsonObject(container["resources"]) ? container["resources"] : {});
  return {
    ...{ config, roles, container: { ...container, resources: Object.fromEntries(sorted) } },
    spec: { ...spec, containers: [], volumes: byName(spec["volumes"]) },
    annotations: pick(template, "annotations"),
    labels: pick(template, "labels"),
  };
}

/** The objects that a cluster has of it, in helm's order: configuration, roles and bindings, and the workload last. */
export function renderChartPod({ template, config, roles }: ChartPod): readonly JsonObject[] {
  const metadata = { name: "istio-cni-node", namespace: NAMESPACE };
  const selector = { matchLabels: { "k8s-app": "istio-cni-node" } };
  return [
    { apiVersion: "v1", kind: "ConfigMap", metadata: { name: CONFIG, namespace: NAMESPACE }, data: config },
    ...Object.entries(roles).flatMap(([name, rules]): readonly JsonObject[] => [
      { apiVersion: `${RBAC}/v1`, kind: "ClusterRole", metadata: { name }, rules },
      {
        apiVersion: `${RBAC}/v1`,
        kind: "ClusterRoleBinding",
        metadata: { name: name.replace(/-role$/, "-rolebinding") },
        roleRef: { apiGroup: RBAC, kind: "ClusterRole", name },
        subjects: [{ kind: "ServiceAccount", name: SERVICE_ACCOUNT, namespace: NAMESPACE }],
      },
    ]),
    { apiVersion: "apps/v1", kind: "DaemonSet", metadata, spec: { selector, template } },
  ];
}

function applyChange(pod: JsonObject, change: JsonObject): JsonObject {
  const part = (name: string, form: string): JsonObject => {
    const [present, patch] = [pod[name], change[name]];
    return applyPatch(isJsonObject(present) ? present : {}, patch ?? {}, form);
  };
  return { template: part("template", STRATEGIC), config: part("config", MERGE), roles: part("roles", MERGE) };
}

function asChartPod({ template, config, roles }: JsonObject): ChartPod {
  if (!isJsonObject(template) || !isJsonObject(config) || !isJsonObject(roles))
    throw new Error("Cannot read a chart's pod: template, config or roles is no object");
  return {
    template,
    config: Object.fromEntries(Object.entries(config).map(([name, value]) => [name, String(value)])),
    roles: Object.fromEntries(
      Object.entries(roles).map(([name, rules]) => [name, Array.isArray(rules) ? rules.filter(isJsonObject) : []]),
    ),
  };
}

function containerOf(template: JsonObject): JsonObject {
  const containers = readPath(template, "spec", "containers");
  const first: unknown = Array.isArray(containers) ? containers[0] : undefined;
  if (!isJsonObject(first)) throw new Error("Cannot read the pod template: it has no container");
  const order = (field: string, key: string): JsonObject => {
    const items = first[field];
    return Array.isArray(items) ? { [field]: items.toSorted((a, b) => compare(a, b, key)) } : {};
  };
  return { ...first, ...order("env", "name"), ...order("volumeMounts", "mountPath") };
}

function byName(items: unknown): unknown {
  return Array.isArray(items) ? items.toSorted((a, b) => compare(a, b, "name")) : [];
}

const compare = (a: unknown, b: unknown, key: string): number => (readText(a, key) < readText(b, key) ? -1 : 1);

// Helm's own labels are no matter of the agent's.
function pick(template: JsonObject, field: "labels" | "annotations"): JsonObject {
  const value = readPath(template, "metadata", field);
  const entries = Object.entries(isJsonObject(value) ? value : {});
  return Object.fromEntries(entries.filter(([name]) => !/^(app\.kubernetes\.io|helm\.sh)\//.test(name)));
}

function find(objects: readonly JsonObject[], kind: string, name: string): JsonObject {
  const found = objects.find((object) => object["kind"] === kind && readText(object, "metadata", "name") === name);
  if (found === undefined) throw new Error(`Cannot read the chart: there is no ${kind} ${name}`);
  return found;
}

function readData(name: string): JsonObject {
  const value: unknown = JSON.parse(readFileSync(join(import.meta.dirname, "testdata", name), "utf8"));
  if (!isJsonObject(value)) throw new Error(`Cannot read ${name}: it is no object`);
  return value;
}

const texts = (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(String) : []);
