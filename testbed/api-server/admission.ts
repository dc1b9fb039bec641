// What the server makes of an object before it is stored: metadata it fills in, defaults, checks, and what an update
// may not change. Responsible for the few rules our kinds need (k8s.io/kubernetes pkg/registry/core/*/strategy.go
// @v1.35); a field nobody here reads is neither defaulted nor checked.
import { randomBytes, randomUUID } from "node:crypto";
import { badRequest, type Cause, invalid } from "./api-error.ts";
import { isJsonObject, type KubeObject, readPath, readText, sameJson, withMeta } from "./kube-object.ts";
import { apiVersionOf, type Resource } from "./resources.ts";

/** Where a write goes: from the URL. `name` is "" for a create. */
export interface WriteTarget {
  readonly resource: Resource;
  readonly namespace: string;
  readonly name: string;
}

/** Reads a request body as an object of the target's kind. Throws ApiError 400 as Kubernetes' decoder and handler do. */
export function parseObject(value: unknown, target: WriteTarget): KubeObject {
  const { resource } = target;
  const expected = apiVersionOf(resource);
  if (!isJsonObject(value)) throw badRequest("couldn't get version/kind; json parse error: the body is not an object");
  const { apiVersion = expected, kind = resource.kind, metadata = {} } = value;
  if (apiVersion !== expected || kind !== resource.kind) {
    const goKind = `${resource.group === "apps" ? "apps" : "core"}.${resource.kind}`;
    throw badRequest(
      `${String(kind)} in version ${JSON.stringify(apiVersion)} cannot be handled as a ${resource.kind}: converting (${String(apiVersion).split("/").pop() ?? ""}.${String(kind)}) to (${goKind}): unknown conversion`,
    );
  }
  if (!isJsonObject(metadata))
    throw badRequest(`${kind} in version "${expected}" cannot be handled as a ${kind}: metadata is not an object`);
  const name = readText(metadata, "name");
  const namespace = readText(metadata, "namespace");
  if (resource.namespaced && namespace !== "" && namespace !== target.namespace) {
    throw badRequest(`the namespace of the provided object does not match the namespace sent on the request`);
  }
  if (target.name !== "" && name !== target.name) {
    if (name !== "")
      throw badRequest(`the name of the object (${name}) does not match the name on the URL (${target.name})`);
    throw badRequest("name must be provided");
  }
  const scoped = resource.namespaced ? { namespace: target.namespace } : {};
  return { ...value, apiVersion: expected, kind: resource.kind, metadata: { ...metadata, name, ...scoped } };
}

/** The object to store for a create: generated name, uid, creation time, defaults, no status. Throws ApiError 422. */
export function prepareCreate(sent: KubeObject, resource: Resource): KubeObject {
  const name = sent.metadata.name || generateName(sent.metadata.generateName);
  const { status: _ignored, ...rest } = sent;
  const bare: KubeObject = resource.hasStatus ? { ...rest, metadata: sent.metadata } : sent;
  const object = fillIn(
    withMeta(bare, { name, uid: undefined, creationTimestamp: undefined, deletionTimestamp: undefined }),
  );
  check(object, resource);
  return object;
}

/** The object to store when somebody in-process says so: what is missing is filled in, nothing is checked. */
export function fillIn(object: KubeObject, previous?: KubeObject): KubeObject {
  const { metadata } = object;
  const filled = withMeta(object, {
    uid: metadata.uid ?? previous?.metadata.uid ?? randomUUID(),
    creationTimestamp: metadata.creationTimestamp ?? previous?.metadata.creationTimestamp ?? now(),
  });
  return addDefaults(filled);
}

/**
 * The object to store for an update of `stored`: the server's own metadata cannot be changed; the main resource keeps
 * `status`, the status subresource keeps `spec` but may change labels and annotations. Throws ApiError 422.
 */
export function prepareUpdate(
  stored: KubeObject,
  sent: KubeObject,
  resource: Resource,
  subresource: string,
): KubeObject {
  const kept = {
    uid: stored.metadata.uid,
    creationTimestamp: stored.metadata.creationTimestamp,
    deletionTimestamp: stored.metadata.deletionTimestamp,
    deletionGracePeriodSeconds: stored.metadata.deletionGracePeriodSeconds,
    generation: stored.metadata.generation,
    generateName: sent.metadata.generateName ?? stored.metadata.generateName,
  };
  let object = withMeta(sent, kept);
  if (subresource === "status") object = withField(object, "spec", stored.spec);
  else if (resource.hasStatus) object = withField(object, "status", stored.status);
  object = addDefaults(object);
  check(object, resource);
  if (resource.kind === "Pod" && !sameJson(mutablePartsBlanked(stored), mutablePartsBlanked(object))) {
    const message =
      "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`," +
      "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)," +
      "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    throw invalid(resource, object.metadata.name, [{ reason: "FieldValueForbidden", message, field: "spec" }]);
  }
  const generation = stored.metadata.generation;
  if (generation !== undefined && !sameJson(stored.spec, object.spec))
    object = withMeta(object, { generation: generation + 1 });
  return object;
}

/** Kubernetes writes times without fractions of a second. */
export function now(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}

// k8s.io/apiserver pkg/storage/names: five characters without vowels and look-alikes.
function generateName(base: string | undefined): string {
  if (base === undefined || base === "") return "";
  const alphabet = "bcdfghjklmnpqrstvwxz2456789";
  const suffix = [...randomBytes(5)].map((byte) => alphabet[byte % alphabet.length] ?? "b").join("");
  return base.slice(0, 58) + suffix;
}

function withField(object: KubeObject, field: "spec" | "status", value: unknown): KubeObject {
  const { [field]: _replaced, ...rest } = object;
  return { ...rest, metadata: object.metadata, ...(value === undefined ? {} : { [field]: value }) };
}

// Go leaves empty maps and lists out, and writes zero times and some empty structures.
function withoutEmptyMeta(object: KubeObject): KubeObject {
  const isEmpty = (value: unknown): boolean =>
    value === null || (typeof value === "object" && Object.keys(value).length === 0);
  const empty = Object.entries(object.metadata).filter(([, value]) => isEmpty(value));
  return withMeta(object, Object.fromEntries(empty.map(([field]) => [field, undefined])));
}

function addDefaults(sent: KubeObject): KubeObject {
  const object = withoutEmptyMeta(sent);
  switch (object.kind) {
    case "Pod": {
      const spec = {
        restartPolicy: "Always",
        dnsPolicy: "ClusterFirst",
        terminationGracePeriodSeconds: 30,
        serviceAccountName: "default",
        securityContext: {},
        schedulerName: "default-scheduler",
        enableServiceLinks: true,
        ...object.spec,
      };
      const { conditions } = object.status ?? {};
      const timed = (condition: unknown): unknown =>
        isJsonObject(condition) ? { lastProbeTime: null, lastTransitionTime: null, ...condition } : condition;
      const status = {
        phase: "Pending",
        qosClass: "BestEffort",
        ...object.status,
        ...(Array.isArray(conditions) ? { conditions: conditions.map(timed) } : {}),
      };
      return { ...object, spec, status };
    }
    case "Namespace": {
      const labels = { ...object.metadata.labels, "kubernetes.io/metadata.name": object.metadata.name };
      return {
        ...withMeta(object, { labels }),
        spec: { finalizers: ["kubernetes"], ...object.spec },
        status: { phase: "Active", ...object.status },
      };
    }
    case "Event":
      return { ...EMPTY_EVENT, ...object };
    case "DaemonSet":
      return withMeta(object, { generation: object.metadata.generation ?? 1 });
    default:
      return object;
  }
}

const EMPTY_EVENT = {
  ...{ source: {}, firstTimestamp: null, lastTimestamp: null, eventTime: null },
  ...{ reportingComponent: "", reportingInstance: "" },
};

const DNS_1123_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const DNS_1123_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

function check(object: KubeObject, resource: Resource): void {
  const causes: Cause[] = [];
  const { name } = object.metadata;
  if (name === "") {
    causes.push({
      reason: "FieldValueRequired",
      message: "Required value: name or generateName is required",
      field: "metadata.name",
    });
  } else {
    const isLabel = resource.kind === "Namespace";
    if (name.length > (isLabel ? 63 : 253) || !(isLabel ? DNS_1123_LABEL : DNS_1123_SUBDOMAIN).test(name)) {
      const rule = isLabel
        ? "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        : "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
      causes.push({
        reason: "FieldValueInvalid",
        message: `Invalid value: ${JSON.stringify(name)}: ${rule}`,
        field: "metadata.name",
      });
    }
  }
  if (resource.kind === "Pod") {
    const containers = readPath(object, "spec", "containers");
    if (!Array.isArray(containers) || containers.length === 0) {
      causes.push({ reason: "FieldValueRequired", message: "Required value", field: "spec.containers" });
    }
  }
  if (causes.length > 0) throw invalid(resource, name, causes);
}

function mutablePartsBlanked(pod: KubeObject): unknown {
  const { activeDeadlineSeconds: _a, tolerations: _b, terminationGracePeriodSeconds: _c, ...spec } = pod.spec ?? {};
  const withoutImages = (list: unknown): unknown =>
    Array.isArray(list) ? list.map((item) => (isJsonObject(item) ? { ...item, image: "" } : item)) : list;
  return {
    ...spec,
    containers: withoutImages(spec["containers"]),
    initContainers: withoutImages(spec["initContainers"]),
  };
}
