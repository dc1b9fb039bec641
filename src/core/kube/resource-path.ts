/**
 * URL paths of the resources this product touches. Names reach us from CNI_ARGS and other people's
 * objects, so whatever could leave the path (slash, dots, query) is refused here, not escaped.
 */

import { quoteText } from "../short-text.ts";
import { OBJECT_NAME } from "./object-name.ts";

/** What the agent has business with; the keys are the API's plural names. */
const PREFIXES = {
  pods: "/api/v1",
  namespaces: "/api/v1",
  nodes: "/api/v1",
  events: "/api/v1",
  daemonsets: "/apis/apps/v1",
  selfsubjectaccessreviews: "/apis/authorization.k8s.io/v1",
} as const;

export type ResourcePlural = keyof typeof PREFIXES;

/** A collection (no name) or one object of it. Cluster-scoped kinds and "all namespaces" have no namespace. */
export type ResourceRef = {
  readonly plural: ResourcePlural;
  readonly namespace?: string;
  readonly name?: string;
  readonly subresource?: "status";
};

/** A reference that cannot be a URL path. */
export class ResourceRefError extends Error {
  readonly code = "KUBE_RESOURCE_NAME";

  constructor(field: string, value: string) {
    super(
      `Cannot address a resource by ${field} ${quoteText(value)}: it must be at most 253 lower-case letters, digits, "-" and "."`,
    );
    this.name = "ResourceRefError";
  }
}

/**
 * The path below the server's base URL.
 * @throws ResourceRefError when a name is none that Kubernetes accepts (RFC 1123 subdomain).
 */
export function resourcePath(ref: ResourceRef): string {
  let path: string = PREFIXES[ref.plural];
  if (ref.namespace !== undefined) path += `/namespaces/${checkName("namespace", ref.namespace)}`;
  path += `/${ref.plural}`;
  if (ref.name !== undefined) path += `/${checkName("name", ref.name)}`;
  if (ref.subresource !== undefined) path += `/${ref.subresource}`;
  return path;
}

function checkName(field: string, value: string): string {
  if (!OBJECT_NAME.test(value)) throw new ResourceRefError(field, value);
  return value;
}
