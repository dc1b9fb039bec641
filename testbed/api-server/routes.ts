// From method and URL to what is asked for: verb, resource, namespace, name. Responsible for Kubernetes' path layout
// only (k8s.io/apiserver pkg/endpoints/request/requestinfo.go).
import { findResource, type Resource } from "./resources.ts";

/** The verbs of the API, as RBAC names them. */
export type Verb = "get" | "list" | "watch" | "create" | "update" | "patch" | "delete" | "deletecollection";

/** A request for a resource, or (`resource` undefined) for another path. */
export interface Route {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly verb: Verb | "";
  readonly resource: Resource | undefined;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
}

const ON_ITEM: Readonly<Record<string, Verb>> = {
  GET: "get",
  HEAD: "get",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};
const ON_LIST: Readonly<Record<string, Verb>> = {
  GET: "list",
  HEAD: "list",
  POST: "create",
  DELETE: "deletecollection",
};

/** Never throws: a URL that cannot be read is a path without resource. `verb` is "" when the method does not fit. */
export function parseRoute(method: string, url: string): Route {
  const { pathname, searchParams: query } = parseUrl(url);
  const route = {
    path: pathname,
    query,
    verb: "",
    resource: undefined,
    namespace: "",
    name: "",
    subresource: "",
  } as const;
  const segments = pathname.split("/").slice(1).map(decode);
  const [root = ""] = segments;
  const isCore = root === "api";
  if (!isCore && root !== "apis") return route;
  const group = isCore ? "" : (segments[1] ?? "");
  const [version = "", ...rest] = segments.slice(isCore ? 1 : 2);

  // /namespaces/NAME and /namespaces/NAME/status are about the namespace itself.
  const isInside = rest[0] === "namespaces" && rest.length > 2 && !["status", "finalize"].includes(rest[2] ?? "");
  const namespace = isInside ? (rest[1] ?? "") : "";
  const [plural = "", name = "", subresource = "", ...more] = isInside ? rest.slice(2) : rest;
  const resource = findResource(group, version, plural);
  if (resource === undefined || more.length > 0) return route;
  if (isInside && !resource.namespaced) return route;
  if (name !== "" && resource.namespaced && !isInside) return route;
  if (subresource !== "" && !(subresource === "status" && resource.hasStatus)) return route;

  const verb = verbOf(method, name === "" ? ON_LIST : ON_ITEM, query, resource.namespaced && !isInside, subresource);
  return { ...route, verb, resource, namespace, name, subresource };
}

function verbOf(
  method: string,
  table: Readonly<Record<string, Verb>>,
  query: URLSearchParams,
  isAllNamespaces: boolean,
  subresource: string,
): Verb | "" {
  const verb = table[method] ?? "";
  if (isAllNamespaces && verb !== "list") return "";
  if (subresource !== "" && verb === "delete") return "";
  const watch = query.get("watch") ?? "";
  return verb === "list" && watch !== "" && watch !== "0" && watch.toLowerCase() !== "false" ? "watch" : verb;
}

function parseUrl(url: string): { readonly pathname: string; readonly searchParams: URLSearchParams } {
  const at = url.indexOf("?");
  return at < 0
    ? { pathname: url, searchParams: new URLSearchParams() }
    : { pathname: url.slice(0, at), searchParams: new URLSearchParams(url.slice(at + 1)) };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
