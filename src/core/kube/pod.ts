/**
 * The pod as this product reads it: the fields that a decision, a rule, a status line or a repair
 * needs, and no others, because the agent keeps one of these for every pod of its node.
 * Field names are those of the API (core/v1 Pod); what the API leaves out is left out here.
 */

import {
  childObject,
  type ObjectFields,
  objectList,
  openObject,
  optionalBoolean,
  optionalInteger,
  optionalString,
  requiredString,
  stringList,
  stringRecord,
} from "./object-fields.ts";

/** Of `spec.containers[]` and `spec.initContainers[]`. */
export type Container = {
  readonly name: string;
  /** Kept for containers named `istio-*` only; empty for the others. */
  readonly args: readonly string[];
  /**
   * By name; the value is undefined when it comes by `valueFrom`, the empty string when the entry has neither.
   * Kept for containers named `istio-*` only; a record without prototype.
   */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `securityContext` of the container only; the pod's own is `Pod.runAsUser`. */
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  /** "Always" on an init container makes it a native sidecar. */
  readonly restartPolicy?: string;
};

/** How a container ended. */
export type Terminated = { readonly reason: string; readonly exitCode: number; readonly message: string };

/** Of `status.initContainerStatuses[]`: `state` and `lastState` are present only when that state is `terminated`. */
export type ContainerStatus = {
  readonly name: string;
  readonly restartCount: number;
  readonly state?: Terminated;
  readonly lastState?: Terminated;
};

/** A pod; see each field for what it means when the API leaves it out. */
export type Pod = {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly resourceVersion: string;
  /** RFC 3339 with seconds, so that text order is time order; empty when absent. */
  readonly creationTimestamp: string;
  readonly deletionTimestamp?: string;
  /** A record without prototype: look-ups find only what is there. */
  readonly labels: Readonly<Record<string, string>>;
  /** Like labels; foreign bulk is left out, see `keepsAnnotation()`. */
  readonly annotations: Readonly<Record<string, string>>;
  /** Empty when not yet scheduled. */
  readonly nodeName: string;
  readonly hostNetwork: boolean;
  /** False: the pod has a user namespace of its own. Absent means true. */
  readonly hostUsers?: boolean;
  readonly serviceAccountName: string;
  readonly restartPolicy?: string;
  readonly runtimeClassName?: string;
  /** `spec.securityContext` of the pod, which a container's own overrides. */
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly containers: readonly Container[];
  readonly initContainers: readonly Container[];
  /** Empty when the kubelet has not reported yet. */
  readonly phase: string;
  /** `status.podIPs`, or `status.podIP` alone when only that is set; text as the API gave it. */
  readonly podIps: readonly string[];
  readonly initContainerStatuses: readonly ContainerStatus[];
};

const MAX_FOREIGN_ANNOTATION_LENGTH = 4096;
const NO_ENV: Container["env"] = Object.freeze(Object.create(null));

/**
 * A pod from the JSON of the API.
 * @throws KubeObjectError naming the field when the value cannot be a pod.
 */
export function parsePod(value: unknown): Pod {
  const object = openObject("Pod", value);
  const metadata = childObject(object, "metadata");
  const spec = childObject(object, "spec");
  const status = childObject(object, "status");
  const deletionTimestamp = optionalString(metadata, "deletionTimestamp");
  const hostUsers = optionalBoolean(spec, "hostUsers");
  const restartPolicy = optionalString(spec, "restartPolicy");
  const runtimeClassName = optionalString(spec, "runtimeClassName");
  return {
    uid: requiredString(metadata, "uid"),
    namespace: requiredString(metadata, "namespace"),
    name: requiredString(metadata, "name"),
    resourceVersion: requiredString(metadata, "resourceVersion"),
    creationTimestamp: optionalString(metadata, "creationTimestamp") ?? "",
    ...(deletionTimestamp !== undefined && { deletionTimestamp }),
    labels: stringRecord(metadata, "labels"),
    annotations: stringRecord(metadata, "annotations", keepsAnnotation),
    nodeName: optionalString(spec, "nodeName") ?? "",
    hostNetwork: optionalBoolean(spec, "hostNetwork") ?? false,
    ...(hostUsers !== undefined && { hostUsers }),
    serviceAccountName: optionalString(spec, "serviceAccountName") ?? "",
    ...(restartPolicy !== undefined && { restartPolicy }),
    ...(runtimeClassName !== undefined && { runtimeClassName }),
    ...parseSecurityContext(spec),
    containers: objectList(spec, "containers").map(parseContainer),
    initContainers: objectList(spec, "initContainers").map(parseContainer),
    phase: optionalString(status, "phase") ?? "",
    podIps: parsePodIps(status),
    initContainerStatuses: objectList(status, "initContainerStatuses").map(parseContainerStatus),
  };
}

/**
 * Whether an annotation is kept: everything of Istio and Kubernetes' own `kubernetes.io/*`, and any other up to
 * 4096 characters. Left out is what tools store in bulk (`kubectl.kubernetes.io/last-applied-configuration` can
 * be 256 KiB, the API's limit), which no decision reads.
 */
export function keepsAnnotation(name: string, value: string): boolean {
  const domain = name.slice(0, Math.max(0, name.indexOf("/")));
  if (domain === "istio.io" || domain.endsWith(".istio.io") || domain === "kubernetes.io") return true;
  return name !== "kubectl.kubernetes.io/last-applied-configuration" && value.length <= MAX_FOREIGN_ANNOTATION_LENGTH;
}

function parseContainer(container: ObjectFields): Container {
  const name = requiredString(container, "name");
  // Application containers bring hundreds of variables, and nothing of theirs is ever read.
  const isOfMesh = name.startsWith("istio-");
  const restartPolicy = optionalString(container, "restartPolicy");
  return {
    name,
    args: isOfMesh ? stringList(container, "args") : [],
    env: isOfMesh ? parseEnv(container) : NO_ENV,
    ...parseSecurityContext(container),
    ...(restartPolicy !== undefined && { restartPolicy }),
  };
}

/** A name given twice: the last one holds, as in the container. */
function parseEnv(container: ObjectFields): Container["env"] {
  const env: Record<string, string | undefined> = Object.create(null);
  for (const entry of objectList(container, "env")) {
    const isReference = Object.keys(childObject(entry, "valueFrom").fields).length > 0;
    env[requiredString(entry, "name")] = isReference ? undefined : (optionalString(entry, "value") ?? "");
  }
  return env;
}

function parseSecurityContext(owner: ObjectFields): { runAsUser?: number; runAsGroup?: number } {
  const context = childObject(owner, "securityContext");
  const runAsUser = optionalInteger(context, "runAsUser");
  const runAsGroup = optionalInteger(context, "runAsGroup");
  return { ...(runAsUser !== undefined && { runAsUser }), ...(runAsGroup !== undefined && { runAsGroup }) };
}

function parsePodIps(status: ObjectFields): string[] {
  const ips = objectList(status, "podIPs")
    .map((entry) => optionalString(entry, "ip") ?? "")
    .filter((ip) => ip !== "");
  if (ips.length > 0) return ips;
  const podIp = optionalString(status, "podIP") ?? "";
  return podIp === "" ? [] : [podIp];
}

function parseContainerStatus(status: ObjectFields): ContainerStatus {
  const state = parseTerminated(childObject(status, "state"));
  const lastState = parseTerminated(childObject(status, "lastState"));
  return {
    name: requiredString(status, "name"),
    restartCount: optionalInteger(status, "restartCount") ?? 0,
    ...(state !== undefined && { state }),
    ...(lastState !== undefined && { lastState }),
  };
}

function parseTerminated(state: ObjectFields): Terminated | undefined {
  const terminated = childObject(state, "terminated");
  if (Object.keys(terminated.fields).length === 0) return undefined;
  return {
    reason: optionalString(terminated, "reason") ?? "",
    exitCode: optionalInteger(terminated, "exitCode") ?? 0,
    message: optionalString(terminated, "message") ?? "",
  };
}
