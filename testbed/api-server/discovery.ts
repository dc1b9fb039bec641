// The paths without objects: health, version, and the discovery documents kubectl needs.
import type { JsonObject } from "./kube-object.ts";
import { apiVersionOf, RESOURCES } from "./resources.ts";

/** What such a path answers; text is served as text/plain. */
export function answerPlainPath(path: string, address: string): string | JsonObject | undefined {
  const versions = path.split("/").filter((segment) => segment !== "");
  if (["/healthz", "/readyz", "/livez"].includes(path)) return "ok";
  if (path === "/version" || path === "/version/") return VERSION;
  if (path === "/api") {
    const serverAddressByClientCIDRs = [{ clientCIDR: "0.0.0.0/0", serverAddress: address }];
    return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs };
  }
  if (path === "/apis") return { kind: "APIGroupList", apiVersion: "v1", groups: GROUPS.map(renderGroup) };
  if (versions[0] === "apis" && versions.length === 2) {
    const group = GROUPS.find((name) => name === versions[1]);
    return group === undefined ? undefined : { kind: "APIGroup", apiVersion: "v1", ...renderGroup(group) };
  }
  const groupVersion = versions.slice(1).join("/");
  return versions[0] === "api" || versions[0] === "apis" ? renderResources(groupVersion) : undefined;
}

/** True for a path below a group and version this server has. */
export function isKnownGroup(path: string): boolean {
  return RESOURCES.some(({ group, version }) =>
    path.startsWith(group === "" ? `/api/${version}/` : `/apis/${group}/${version}/`),
  );
}

const GROUPS = [...new Set(RESOURCES.map((resource) => resource.group))].filter((group) => group !== "");

/** The version this stand-in says it is: that of the lab's Kubernetes. */
const VERSION = {
  major: "1",
  minor: "35",
  emulationMajor: "1",
  emulationMinor: "35",
  minCompatibilityMajor: "1",
  minCompatibilityMinor: "34",
  gitVersion: "v1.35.4",
  gitCommit: "0000000000000000000000000000000000000000",
  gitTreeState: "clean",
  buildDate: "2026-01-01T00:00:00Z",
  goVersion: "none",
  compiler: "none",
  platform: "linux/amd64",
};

function renderGroup(name: string): JsonObject {
  const version = { groupVersion: `${name}/v1`, version: "v1" };
  return { name, versions: [version], preferredVersion: version };
}

function renderResources(groupVersion: string): JsonObject | undefined {
  const rows = RESOURCES.filter((resource) => apiVersionOf(resource) === groupVersion);
  if (rows.length === 0) return undefined;
  const resources = rows.flatMap((row) => {
    const verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    const common = { name: row.plural, singularName: row.singular, namespaced: row.namespaced, kind: row.kind };
    const main = { ...common, verbs, ...(row.shortNames.length > 0 ? { shortNames: row.shortNames } : {}) };
    const status = { ...common, name: `${row.plural}/status`, singularName: "", verbs: ["get", "patch", "update"] };
    return row.hasStatus ? [main, status] : [main];
  });
  return { kind: "APIResourceList", apiVersion: "v1", groupVersion, resources };
}
