// The verbs get and list. Responsible for consistency: which version a list shows, and how pages of one list show the
// same version (k8s.io/apiserver pkg/storage/continue.go). Watch is in watch.ts.
import { badRequest, expired, notFound, tooLargeResourceVersion } from "./api-error.ts";
import type { JsonObject, KubeObject } from "./kube-object.ts";
import type { ListOptions } from "./list-options.ts";
import { type Form, renderList, renderObject } from "./media.ts";
import { keyOf, type Resource } from "./resources.ts";
import type { Store } from "./store.ts";

/** Where a read looks: from the URL. `namespace` is "" for all namespaces. */
export interface ReadTarget {
  readonly resource: Resource;
  readonly namespace: string;
  readonly name: string;
}

/** The key of the target's object. */
export function keyOfTarget(target: ReadTarget): string {
  return target.namespace === "" ? target.name : `${target.namespace}/${target.name}`;
}

/** The object, or ApiError 404. */
export function getObject(store: Store, target: ReadTarget, form: Form): JsonObject {
  const stored = store.get(target.resource.storage, keyOfTarget(target));
  if (stored === undefined) throw notFound(target.resource, target.name);
  return renderObject(stored, target.resource, form);
}

/** True when the object lies in the namespace asked for. */
export function isInNamespace(object: KubeObject, namespace: string): boolean {
  return namespace === "" || object.metadata.namespace === namespace;
}

/** One page of a list. Throws ApiError 400 (bad continue), 410 (compacted) or 504 (a version not reached yet). */
export function listObjects(store: Store, target: ReadTarget, options: ListOptions, form: Form): JsonObject {
  const { revision, start } = pageOf(store, options);
  const { resource } = target;
  const snapshot =
    revision === store.revision() ? store.list(resource.storage) : store.listAt(resource.storage, revision);
  if (snapshot === undefined) throw compacted(store, options, start);

  const selected = snapshot.filter(
    (object) =>
      keyOf(object) > start && isInNamespace(object, target.namespace) && options.selects(resource.toWire(object)),
  );
  // Asked for "any version", the watch cache answers, and it does not page.
  const limit = options.resourceVersion === 0 || options.limit <= 0 ? selected.length : options.limit;
  const page = selected.slice(0, limit);
  const last = page.at(-1);
  const remaining = selected.length - page.length;
  const metadata = {
    resourceVersion: String(revision),
    ...(remaining > 0 && last !== undefined ? { continue: encodeContinue(revision, keyOf(last)) } : {}),
    ...(remaining > 0 && !options.hasSelector ? { remainingItemCount: remaining } : {}),
  };
  return renderList(page, metadata, resource, form);
}

function pageOf(store: Store, options: ListOptions): { readonly revision: number; readonly start: string } {
  const { resourceVersion: asked, match } = options;
  if (options.continueToken !== "") {
    if (asked !== undefined && asked !== 0)
      throw badRequest("specifying resource version is not allowed when using continue");
    const token = decodeContinue(options.continueToken);
    return { revision: token.rv === -1 ? store.revision() : token.rv, start: token.start };
  }
  if (asked === undefined || asked === 0) return { revision: store.revision(), start: "" };
  if (asked > store.revision()) throw tooLargeResourceVersion(asked, store.revision());
  const isExact = match === "Exact" || (match === "" && options.limit > 0);
  return { revision: isExact ? asked : store.revision(), start: "" };
}

function compacted(store: Store, options: ListOptions, start: string): Error {
  if (options.continueToken === "") {
    return expired("The resourceVersion for the provided list is too old.");
  }
  const message =
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, " +
    "or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent " +
    "list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
  return expired(message, { continue: encodeContinue(-1, start), resourceVersion: String(store.revision()) });
}

function encodeContinue(rv: number, start: string): string {
  return Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv, start })).toString("base64url");
}

function decodeContinue(token: string): { readonly rv: number; readonly start: string } {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
    if (typeof parsed === "object" && parsed !== null && "rv" in parsed && "start" in parsed) {
      const { rv, start } = parsed;
      if (typeof rv === "number" && Number.isSafeInteger(rv) && typeof start === "string") return { rv, start };
    }
  } catch {
    // Falls through to the same answer as a token of the wrong shape.
  }
  throw badRequest("invalid continue token: continue key is not valid: the token is not one this server gave out");
}
