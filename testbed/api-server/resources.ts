// The resources this server knows, as one table: names, scope, and the fields a field selector may ask for
// (k8s.io/kubernetes pkg/apis/*/v1/conversion.go@v1.35). Responsible for no behaviour beyond the two forms of an Event.
import { convertEventFromV1, convertEventToV1 } from "./event-forms.ts";
import { type KubeObject, readPath, readText } from "./kube-object.ts";

/** A kind of thing in the store. Two resources (events of two groups) may share one. */
export type StorageName = "pods" | "namespaces" | "nodes" | "events" | "daemonsets" | "configmaps";

/** One row of the table. */
export interface Resource {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly kind: string;
  readonly namespaced: boolean;
  readonly storage: StorageName;
  /** Has a `/status` subresource; the main resource then cannot change `status`. */
  readonly hasStatus: boolean;
  /** PUT may create (events only). */
  readonly createsOnUpdate: boolean;
  /** DELETE answers with the object instead of a Status (pods, namespaces). */
  readonly answersDeleted: boolean;
  readonly fields: Readonly<Record<string, (object: KubeObject) => string>>;
  /** Fields refused with the wording of the default conversion instead of "field label not supported". */
  readonly usesDefaultFields: boolean;
  readonly toWire: (stored: KubeObject) => KubeObject;
  readonly fromWire: (sent: KubeObject) => KubeObject;
}

type Field = (object: KubeObject) => string;
const field =
  (...path: readonly string[]): Field =>
  (object) =>
    readText(object, ...path);
const NAME = { "metadata.name": field("metadata", "name") };
const NAMESPACED = { ...NAME, "metadata.namespace": field("metadata", "namespace") };
const same = (object: KubeObject): KubeObject => object;
const falseIfUnset =
  (...path: readonly string[]): Field =>
  (object) =>
    readText(object, ...path) || "false";

const POD_FIELDS: Record<string, Field> = {
  ...NAMESPACED,
  "spec.nodeName": field("spec", "nodeName"),
  "spec.restartPolicy": field("spec", "restartPolicy"),
  "spec.schedulerName": field("spec", "schedulerName"),
  "spec.serviceAccountName": field("spec", "serviceAccountName"),
  "spec.hostNetwork": falseIfUnset("spec", "hostNetwork"),
  "status.phase": field("status", "phase"),
  "status.podIP": field("status", "podIP"),
  "status.nominatedNodeName": field("status", "nominatedNodeName"),
};

const EVENT_FIELDS: Record<string, Field> = {
  ...NAMESPACED,
  "involvedObject.kind": field("involvedObject", "kind"),
  "involvedObject.namespace": field("involvedObject", "namespace"),
  "involvedObject.name": field("involvedObject", "name"),
  "involvedObject.uid": field("involvedObject", "uid"),
  "involvedObject.apiVersion": field("involvedObject", "apiVersion"),
  "involvedObject.resourceVersion": field("involvedObject", "resourceVersion"),
  "involvedObject.fieldPath": field("involvedObject", "fieldPath"),
  reason: field("reason"),
  reportingComponent: field("reportingComponent"),
  source: (object) => readText(object, "source", "component") || readText(object, "reportingComponent"),
  type: field("type"),
};

const NEW_EVENT_FIELDS = Object.fromEntries(
  Object.entries(EVENT_FIELDS)
    .filter(([label]) => label !== "source")
    .map(([label, read]) => [
      label.replace(/^involvedObject\./, "regarding.").replace(/^reportingComponent$/, "reportingController"),
      read,
    ]),
);

const CORE = {
  group: "",
  version: "v1",
  shortNames: [],
  namespaced: true,
  hasStatus: false,
  createsOnUpdate: false,
  answersDeleted: false,
  usesDefaultFields: false,
  toWire: same,
  fromWire: same,
} as const;

const PODS: Resource = {
  ...CORE,
  plural: "pods",
  singular: "pod",
  shortNames: ["po"],
  kind: "Pod",
  storage: "pods",
  hasStatus: true,
  answersDeleted: true,
  fields: POD_FIELDS,
};

const NAMESPACES: Resource = {
  ...CORE,
  plural: "namespaces",
  singular: "namespace",
  shortNames: ["ns"],
  kind: "Namespace",
  storage: "namespaces",
  namespaced: false,
  hasStatus: true,
  answersDeleted: true,
  fields: { ...NAME, "status.phase": field("status", "phase") },
};

const NODES: Resource = {
  ...CORE,
  plural: "nodes",
  singular: "node",
  shortNames: ["no"],
  kind: "Node",
  storage: "nodes",
  namespaced: false,
  hasStatus: true,
  fields: { ...NAME, "spec.unschedulable": falseIfUnset("spec", "unschedulable") },
};

const EVENTS: Resource = {
  ...CORE,
  plural: "events",
  singular: "event",
  shortNames: ["ev"],
  kind: "Event",
  storage: "events",
  createsOnUpdate: true,
  fields: EVENT_FIELDS,
};

/** Every resource served, in the order discovery lists them. */
export const RESOURCES: readonly Resource[] = [
  {
    ...CORE,
    plural: "configmaps",
    singular: "configmap",
    shortNames: ["cm"],
    kind: "ConfigMap",
    storage: "configmaps",
    usesDefaultFields: true,
    fields: NAMESPACED,
  },
  EVENTS,
  NAMESPACES,
  NODES,
  PODS,
  {
    ...CORE,
    group: "apps",
    plural: "daemonsets",
    singular: "daemonset",
    shortNames: ["ds"],
    kind: "DaemonSet",
    storage: "daemonsets",
    hasStatus: true,
    usesDefaultFields: true,
    fields: NAMESPACED,
  },
  {
    ...EVENTS,
    group: "events.k8s.io",
    fields: NEW_EVENT_FIELDS,
    toWire: convertEventFromV1,
    fromWire: convertEventToV1,
  },
];

/** `v1` or `apps/v1`. */
export function apiVersionOf(resource: { readonly group: string; readonly version: string }): string {
  return resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
}

/** The resource at a URL's group, version and plural. */
export function findResource(group: string, version: string, plural: string): Resource | undefined {
  return RESOURCES.find((row) => row.group === group && row.version === version && row.plural === plural);
}

/** The resource an object says it is; undefined for a kind this server does not keep. */
export function resourceOfObject(object: { readonly apiVersion: string; readonly kind: string }): Resource | undefined {
  return RESOURCES.find((row) => row.kind === object.kind && apiVersionOf(row) === object.apiVersion);
}

/** `namespace/name`, or `name` for a cluster-wide object: the key in the store and the order of lists. */
export function keyOf(object: KubeObject): string {
  const namespace = readPath(object, "metadata", "namespace");
  return typeof namespace === "string" && namespace !== ""
    ? `${namespace}/${object.metadata.name}`
    : object.metadata.name;
}
