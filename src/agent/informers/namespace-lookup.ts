/**
 * Finds the namespace of a pod that starts. Namespace and pod may be seconds old, and the watches of the two run apart: the pod
 * may be known before its namespace. "Not found" never means that the pod is not in the mesh (DESIGN 3.3).
 */

import { type Namespace, parseNamespace } from "../../core/kube/namespace.ts";
import { type ResourceRef, ResourceRefError, resourcePath } from "../../core/kube/resource-path.ts";
import type { NamespaceStore } from "./informers.ts";
import { type AskDeps, watchOrAsk } from "./watch-or-ask.ts";

export type NamespaceLookupResult =
  | { readonly found: true; readonly namespace: Namespace; readonly source: "store" | "watch" | "api" }
  /** `message` is a sentence for people. */
  | { readonly found: false; readonly message: string };

export interface NamespaceLookup {
  /**
   * Waits until the signal aborts, which is the caller's deadline and ends in `found: false`. Makes no request when the store
   * has the namespace; otherwise asks until the API has answered once.
   */
  findNamespace(name: string, signal: AbortSignal): Promise<NamespaceLookupResult>;
}

export type NamespaceLookupDeps = AskDeps & { readonly namespaces: Pick<NamespaceStore, "get" | "waitFor"> };

export function createNamespaceLookup(
  deps: NamespaceLookupDeps,
  { patienceMs }: { readonly patienceMs: number },
): NamespaceLookup {
  return {
    async findNamespace(name, signal) {
      const known = deps.namespaces.get(name);
      if (known !== undefined) return { found: true, namespace: known, source: "store" };
      const ref: ResourceRef = { plural: "namespaces", name };
      try {
        resourcePath(ref);
      } catch (error) {
        if (!(error instanceof ResourceRefError)) throw error;
        return { found: false, message: error.message };
      }
      const accepts = (namespace: Namespace): boolean => namespace.name === name;
      const result = await watchOrAsk(
        deps,
        {
          ref,
          patienceMs,
          watched: (ending) => deps.namespaces.waitFor(accepts, ending),
          parse: parseNamespace,
          accepts,
        },
        signal,
      );
      if (result.found) return { found: true, namespace: result.object, source: result.source };
      const { asked } = result;
      if (asked instanceof Error)
        return { found: false, message: `namespace ${name} is not known yet: ${asked.message}` };
      const detail = asked === "not-asked" ? "the API server was not asked in time" : "the API server does not know it";
      return { found: false, message: `namespace ${name} is not known yet: ${detail}` };
    },
  };
}
