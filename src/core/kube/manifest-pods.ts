/**
 * The pods that a manifest would start: pods, pod templates of whatever owns them, lists of these, and the labels of the
 * namespaces that are in it. What the API server would add (a name's random end, a UID) is made up.
 */

import { isRecord } from "../json-value.ts";
import { KubeObjectError } from "./object-fields.ts";
import type { PlainYaml } from "./plain-yaml.ts";
import { type Pod, parsePod } from "./pod.ts";

export interface ManifestPod {
  /** Of the object in the manifest: "Deployment". */
  readonly kind: string;
  readonly namespace: string;
  /** Of that object. */
  readonly name: string;
  readonly pod: Pod;
}

export interface ManifestPods {
  readonly pods: readonly ManifestPod[];
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  /** Objects that start no pod of their own, as "Service web". */
  readonly others: readonly string[];
}

type Fields = { readonly [key: string]: PlainYaml };

/** Where a kind has its pod template. */
const TEMPLATES: Readonly<Record<string, readonly string[]>> = {
  Deployment: ["spec", "template"],
  StatefulSet: ["spec", "template"],
  DaemonSet: ["spec", "template"],
  ReplicaSet: ["spec", "template"],
  ReplicationController: ["spec", "template"],
  Job: ["spec", "template"],
  CronJob: ["spec", "jobTemplate", "spec", "template"],
  PodTemplate: ["template"],
};
const RANDOM_END = "xxxxx";
const MAX_OBJECTS = 2000;
const MAX_OTHERS = 50;

/** For messages. */
export const POD_KINDS: readonly string[] = ["Pod", ...Object.keys(TEMPLATES), "List"];

/**
 * @param fallbackNamespace of objects that name none
 * @throws KubeObjectError for an object that cannot be what its kind says, or too many of them
 */
export function readManifestPods(documents: readonly PlainYaml[], fallbackNamespace: string): ManifestPods {
  const objects = documents.flatMap((document) => listed(document, 0));
  if (objects.length > MAX_OBJECTS) throw wrong("List", "items", `has more than ${MAX_OBJECTS} objects`);
  const pods: ManifestPod[] = [];
  const namespaces = new Map<string, Readonly<Record<string, string>>>();
  const others: string[] = [];
  for (const object of objects) {
    const kind = textOf(object, "kind") ?? "";
    const metadata = fieldsOf(object, "metadata");
    const name = textOf(metadata, "name") ?? `${textOf(metadata, "generateName") ?? ""}${RANDOM_END}`;
    const namespace = textOf(metadata, "namespace") ?? fallbackNamespace;
    const path = Object.hasOwn(TEMPLATES, kind) ? TEMPLATES[kind] : undefined;
    if (kind === "Pod") pods.push({ kind, namespace, name, pod: podOf(object, { namespace, name }) });
    else if (path !== undefined) {
      const template = path.reduce(fieldsOf, object);
      if (Object.keys(template).length === 0) throw wrong(kind, path.join("."), "is missing");
      pods.push({ kind, namespace, name, pod: podOf(template, { namespace, name: `${name}-${RANDOM_END}` }) });
    } else if (kind === "Namespace") namespaces.set(name, labelsOf(metadata));
    else if (others.length < MAX_OTHERS) others.push(`${kind || "object without kind"} ${name}`);
  }
  return { pods, namespaces, others };
}

function listed(document: PlainYaml, depth: number): Fields[] {
  if (!isRecord(document)) throw wrong("manifest", "", "must be an object with kind, metadata and spec");
  const { kind } = document;
  const items = document["items"];
  if (typeof kind !== "string" || !kind.endsWith("List") || !isList(items) || depth > 1) return [document];
  return items.flatMap((item) => listed(item, depth + 1));
}

/** What parsePod() reads, with the types that the API server would have given. */
function podOf(template: Fields, identity: { readonly namespace: string; readonly name: string }): Pod {
  const metadata = fieldsOf(template, "metadata");
  const spec = fieldsOf(template, "spec");
  const status = fieldsOf(template, "status");
  return parsePod({
    metadata: {
      ...identity,
      uid: "manifest",
      resourceVersion: "0",
      labels: metadata["labels"],
      annotations: metadata["annotations"],
    },
    spec: {
      ...spec,
      hostNetwork: flag(spec["hostNetwork"]),
      hostUsers: flag(spec["hostUsers"]),
      securityContext: context(spec["securityContext"]),
      containers: containers(spec["containers"]),
      initContainers: containers(spec["initContainers"]),
    },
    // How a pod has fared is nothing that a manifest decides.
    status: { podIP: status["podIP"], podIPs: status["podIPs"] },
  });
}

function containers(value: PlainYaml | undefined): unknown {
  if (!isList(value)) return value;
  return value.map((entry) =>
    isRecord(entry) ? { ...entry, securityContext: context(entry["securityContext"]) } : entry,
  );
}

function context(value: PlainYaml | undefined): unknown {
  if (!isRecord(value)) return value;
  return { runAsUser: integer(value["runAsUser"]), runAsGroup: integer(value["runAsGroup"]) };
}

/** What is none stays as it is, for parsePod() to refuse by its path. */
function flag(value: PlainYaml | undefined): unknown {
  return value === "true" ? true : value === "false" ? false : value;
}

function integer(value: PlainYaml | undefined): unknown {
  return typeof value === "string" && /^-?(?:0|[1-9][0-9]{0,15})$/.test(value) ? Number(value) : value;
}

function labelsOf(metadata: Fields): Readonly<Record<string, string>> {
  const labels = Object.entries(fieldsOf(metadata, "labels"));
  return Object.fromEntries(labels.flatMap(([key, value]) => (typeof value === "string" ? [[key, value]] : [])));
}

function textOf(fields: Fields, key: string): string | undefined {
  const value = Object.hasOwn(fields, key) ? fields[key] : undefined;
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw wrong("manifest", key, "must be a string");
  return value === "" ? undefined : value;
}

/** Absent and null are an object without fields. */
function fieldsOf(fields: Fields, key: string): Fields {
  const value = Object.hasOwn(fields, key) ? fields[key] : undefined;
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) throw wrong("manifest", key, "must be an object");
  return value;
}

function isList(value: PlainYaml | undefined): value is readonly PlainYaml[] {
  return Array.isArray(value);
}

function wrong(kind: string, path: string, detail: string): KubeObjectError {
  return new KubeObjectError("KUBE_OBJECT_WRONG_TYPE", kind, path, detail);
}
