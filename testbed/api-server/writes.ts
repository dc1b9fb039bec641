// The verbs create, update, patch, delete and deletecollection. Responsible for conflicts, preconditions, finalizers and
// what the namespace controller would do at once; fields and defaults are admission.ts.
import { fillIn, now, parseObject, prepareCreate, prepareUpdate } from "./admission.ts";
import { ApiError, alreadyExists, conflict, forbidden, invalid, notFound } from "./api-error.ts";
import { isJsonObject, type JsonObject, type KubeObject, readPath, readText, withMeta } from "./kube-object.ts";
import { applyPatch } from "./patch.ts";
import { keyOfTarget, type ReadTarget } from "./reads.ts";
import { keyOf } from "./resources.ts";
import type { Store } from "./store.ts";

/** Where a write goes. */
export interface WriteRequest extends ReadTarget {
  readonly subresource: string;
  /** `dryRun=All`: everything is checked and answered, nothing stored. */
  readonly dryRun: boolean;
}

/** Options of a delete, from its body and query. */
export interface DeleteOptions {
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly gracePeriodSeconds?: number;
}

/** The verbs that write, upon one store. Each throws ApiError. */
export interface Writes {
  create(request: WriteRequest, body: unknown): KubeObject;
  update(request: WriteRequest, body: unknown): { readonly object: KubeObject; readonly created: boolean };
  patch(request: WriteRequest, body: unknown, contentType: string): KubeObject;
  remove(request: WriteRequest, options: DeleteOptions): KubeObject;
}

/**
 * With `gracefulPods`, a pod on a node stays, with a deletionTimestamp, until it is deleted with grace period 0: what
 * the real server does and a kubelet then ends. Without it, that kubelet is taken as infinitely fast.
 */
export function createWrites(store: Store, options: { readonly gracefulPods: boolean }): Writes {
  const commit = (request: WriteRequest, object: KubeObject): KubeObject => {
    if (request.dryRun) return object;
    const isFreed = object.metadata.deletionTimestamp !== undefined && (object.metadata.finalizers ?? []).length === 0;
    const isWaiting = options.gracefulPods && (object.metadata.deletionGracePeriodSeconds ?? 0) > 0;
    if (
      isFreed &&
      !isWaiting &&
      object.kind !== "Namespace" &&
      store.get(request.resource.storage, keyOf(object)) !== undefined
    ) {
      store.remove(request.resource.storage, keyOf(object));
      return object;
    }
    return store.put(request.resource.storage, object);
  };

  const mustGet = (request: WriteRequest): KubeObject => {
    const stored = store.get(request.resource.storage, keyOfTarget(request));
    if (stored === undefined) throw notFound(request.resource, request.name);
    return stored;
  };

  const replace = (request: WriteRequest, stored: KubeObject, sent: KubeObject): KubeObject => {
    const { resource, name } = request;
    const { resourceVersion, uid } = sent.metadata;
    if (uid !== undefined && uid !== "" && uid !== stored.metadata.uid) {
      const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${stored.metadata.uid ?? ""}`;
      const key = `/registry/${resource.kind === "Node" ? "minions" : resource.plural}/${keyOf(stored)}`;
      throw conflict(
        resource,
        name,
        `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, AdditionalErrorMsg: ${why}`,
      );
    }
    if (
      resourceVersion !== undefined &&
      resourceVersion !== "" &&
      resourceVersion !== stored.metadata.resourceVersion
    ) {
      throw conflict(resource, name);
    }
    return commit(request, prepareUpdate(stored, resource.fromWire(sent), resource, request.subresource));
  };

  const create: Writes["create"] = (request, body) => {
    const { resource, namespace } = request;
    const object = prepareCreate(resource.fromWire(parseObject(body, request)), resource);
    if (resource.namespaced) checkNamespace(store, request, object.metadata.name);
    if (readText(body, "metadata", "resourceVersion") !== "") {
      throw new ApiError(500, "", "resourceVersion should not be set on objects to be created");
    }
    const key = keyOfTarget({ resource, namespace, name: object.metadata.name });
    if (store.get(resource.storage, key) !== undefined) throw alreadyExists(resource, object.metadata.name);
    return commit(request, object);
  };

  const removeNow = (object: KubeObject, request: WriteRequest): KubeObject => {
    if (object.kind === "Namespace") emptyNamespace(store, object.metadata.name);
    return store.remove(request.resource.storage, keyOf(object)) ?? object;
  };

  return {
    create,

    update(request, body) {
      const sent = parseObject(body, request);
      const stored = store.get(request.resource.storage, keyOfTarget(request));
      if (stored !== undefined) return { object: replace(request, stored, sent), created: false };
      if (!request.resource.createsOnUpdate) throw notFound(request.resource, request.name);
      return { object: create({ ...request, name: "" }, body), created: true };
    },

    patch(request, body, contentType) {
      const stored = mustGet(request);
      const patched = applyPatch(request.resource.toWire(stored), body, contentType);
      const sent = parseObject(patched, request);
      // Only a patch that names a version asks for one: what it inherited from the stored object always fits.
      return replace(request, stored, sent);
    },

    remove(request, asked) {
      const { resource, name } = request;
      const stored = mustGet(request);
      checkPreconditions(stored, request, asked);
      if (request.dryRun) return stored;
      if (resource.kind === "Namespace") {
        if (["default", "kube-system", "kube-public"].includes(name))
          throw forbidden(resource, name, "this namespace may not be deleted");
        const status: JsonObject = { ...stored.status, phase: "Terminating" };
        store.put(
          "namespaces",
          withMeta({ ...stored, status }, { deletionTimestamp: stored.metadata.deletionTimestamp ?? now() }),
        );
        return removeNow(stored, request);
      }
      const isPod = resource.kind === "Pod";
      const graceSeconds = isPod && options.gracefulPods ? graceOf(stored, asked.gracePeriodSeconds) : 0;
      const hasFinalizers = (stored.metadata.finalizers ?? []).length > 0;
      if (!isPod && !hasFinalizers) return removeNow(stored, request);
      // A pod is marked before it goes, even when it goes at once: watchers see MODIFIED, then DELETED.
      const deletionTimestamp = stored.metadata.deletionTimestamp ?? later(graceSeconds);
      const changes = { deletionTimestamp, deletionGracePeriodSeconds: graceSeconds };
      const marked = store.put(resource.storage, withMeta(stored, changes));
      return graceSeconds === 0 && !hasFinalizers ? removeNow(marked, request) : marked;
    },
  };
}

/** Writes an object as somebody inside the cluster did: no checks, the server's metadata kept from the stored one. */
export function putTrusted(store: Store, request: Pick<WriteRequest, "resource">, object: KubeObject): KubeObject {
  const stored = request.resource.fromWire(object);
  return store.put(request.resource.storage, fillIn(stored, store.get(request.resource.storage, keyOf(stored))));
}

/** A stored object with a merge patch laid over it, as somebody inside the cluster would. */
export function mergeInto(stored: KubeObject, patch: JsonObject): KubeObject {
  const merged = applyPatch(stored, patch, "application/merge-patch+json");
  const { apiVersion, kind } = stored;
  const metadata = isJsonObject(merged["metadata"]) ? merged["metadata"] : {};
  return { ...merged, apiVersion, kind, metadata: { ...metadata, name: stored.metadata.name } };
}

/** Removes all that lies in a namespace, as the namespace controller does. */
function emptyNamespace(store: Store, namespace: string): void {
  for (const storage of ["pods", "daemonsets", "configmaps", "events"] as const) {
    for (const object of store.list(storage)) {
      if (object.metadata.namespace === namespace) store.remove(storage, keyOf(object));
    }
  }
}

function checkNamespace(store: Store, request: WriteRequest, name: string): void {
  const namespace = store.get("namespaces", request.namespace);
  if (namespace === undefined) {
    throw notFound({ ...request.resource, group: "", plural: "namespaces" }, request.namespace);
  }
  if (namespace.metadata.deletionTimestamp !== undefined) {
    throw forbidden(
      request.resource,
      name,
      `unable to create new content in namespace ${request.namespace} because it is being terminated`,
    );
  }
}

function checkPreconditions(stored: KubeObject, request: WriteRequest, asked: DeleteOptions): void {
  const { uid, resourceVersion } = stored.metadata;
  // The real server names the kind here where elsewhere it names the resource.
  const byKind = { ...request.resource, plural: request.resource.kind };
  if (asked.uid !== undefined && asked.uid !== uid) {
    const why = `the UID in the precondition (${asked.uid}) does not match the UID in record (${uid ?? ""}). The object might have been deleted and then recreated`;
    throw conflict(byKind, request.name, why);
  }
  if (asked.resourceVersion !== undefined && asked.resourceVersion !== resourceVersion) {
    const why = `the ResourceVersion in the precondition (${asked.resourceVersion}) does not match the ResourceVersion in record (${resourceVersion ?? ""}). The object might have been modified`;
    throw conflict(byKind, request.name, why);
  }
  if (asked.gracePeriodSeconds !== undefined && asked.gracePeriodSeconds < 0) {
    const cause = {
      reason: "FieldValueInvalid",
      message: `Invalid value: ${asked.gracePeriodSeconds}: must be non-negative`,
      field: "gracePeriodSeconds",
    };
    throw invalid({ kind: "DeleteOptions", group: "meta.k8s.io" }, "", [cause]);
  }
}

// pkg/registry/core/pod/strategy.go@v1.35 CheckGracefulDelete: nobody has to end a pod that has no node or has ended.
function graceOf(pod: KubeObject, asked: number | undefined): number {
  if (readText(pod, "spec", "nodeName") === "" || ["Succeeded", "Failed"].includes(readText(pod, "status", "phase")))
    return 0;
  const own = readPath(pod, "spec", "terminationGracePeriodSeconds");
  return asked ?? (typeof own === "number" ? own : 30);
}

function later(seconds: number): string {
  return `${new Date(Date.now() + seconds * 1000).toISOString().slice(0, 19)}Z`;
}
