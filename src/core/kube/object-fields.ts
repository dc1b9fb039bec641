/**
 * Reads fields of Kubernetes objects that arrived as JSON. Whatever the API server (or somebody in
 * its place) sends is treated as hostile: a wrong type is an error that names the path; null means
 * absent, as in Go's decoder; records have no prototype, so a label called "constructor" is only
 * found when it is there.
 */

import { isRecord } from "../json-value.ts";
import { quoteText } from "../short-text.ts";

/** Why an object was refused. */
export type KubeObjectErrorCode = "KUBE_OBJECT_NOT_OBJECT" | "KUBE_OBJECT_MISSING_FIELD" | "KUBE_OBJECT_WRONG_TYPE";

/** An object of the API that cannot be what its kind says; `path` is the field at fault ("spec.containers[0].name"). */
export class KubeObjectError extends Error {
  readonly code: KubeObjectErrorCode;
  readonly kind: string;
  readonly path: string;

  constructor(code: KubeObjectErrorCode, kind: string, path: string, detail: string) {
    super(`Cannot read ${kind}: ${path === "" ? "the object" : path} ${detail}`);
    this.name = "KubeObjectError";
    this.code = code;
    this.kind = kind;
    this.path = path;
  }
}

/** A JSON object on its way to a type: the fields, where it was found and what it belongs to. */
export type ObjectFields = {
  readonly kind: string;
  readonly path: string;
  readonly fields: Readonly<Record<string, unknown>>;
};

const NO_FIELDS: Readonly<Record<string, unknown>> = Object.freeze(Object.create(null));

/** The empty record shared by all objects without labels or annotations. */
export const EMPTY_RECORD: Readonly<Record<string, string>> = Object.freeze(Object.create(null));

/** @throws KubeObjectError when `value` is not a JSON object. */
export function openObject(kind: string, value: unknown, path = ""): ObjectFields {
  if (!isRecord(value)) {
    throw new KubeObjectError("KUBE_OBJECT_NOT_OBJECT", kind, path, `must be a JSON object: it is ${describe(value)}`);
  }
  return { kind, path, fields: value };
}

/** The object under `key`; absent or null gives one without fields. */
export function childObject(parent: ObjectFields, key: string): ObjectFields {
  const value = ownField(parent, key);
  const path = pathOf(parent, key);
  if (value === undefined) return { kind: parent.kind, path, fields: NO_FIELDS };
  return openObject(parent.kind, value, path);
}

/** Undefined when absent or null. @throws KubeObjectError when it is not a string. */
export function optionalString(parent: ObjectFields, key: string): string | undefined {
  const value = ownField(parent, key);
  if (value === undefined || typeof value === "string") return value;
  throw wrongType(parent, key, "a string", value);
}

/** @throws KubeObjectError when it is absent, empty or not a string. */
export function requiredString(parent: ObjectFields, key: string): string {
  const value = optionalString(parent, key);
  if (value === undefined || value === "") {
    throw new KubeObjectError(
      "KUBE_OBJECT_MISSING_FIELD",
      parent.kind,
      pathOf(parent, key),
      "is required: it is absent",
    );
  }
  return value;
}

/** Undefined when absent or null. @throws KubeObjectError when it is not a boolean. */
export function optionalBoolean(parent: ObjectFields, key: string): boolean | undefined {
  const value = ownField(parent, key);
  if (value === undefined || typeof value === "boolean") return value;
  throw wrongType(parent, key, "a boolean", value);
}

/** Undefined when absent or null. @throws KubeObjectError when it is not an integer that a double holds exactly. */
export function optionalInteger(parent: ObjectFields, key: string): number | undefined {
  const value = ownField(parent, key);
  if (value === undefined || (typeof value === "number" && Number.isSafeInteger(value))) return value;
  throw wrongType(parent, key, "an integer", value);
}

/** The objects of a list; absent or null is the empty list. @throws KubeObjectError when an entry is not an object. */
export function objectList(parent: ObjectFields, key: string): ObjectFields[] {
  return list(parent, key).map((item, index) => openObject(parent.kind, item, `${pathOf(parent, key)}[${index}]`));
}

/** The strings of a list; absent or null is the empty list. @throws KubeObjectError when an entry is not a string. */
export function stringList(parent: ObjectFields, key: string): string[] {
  return list(parent, key).map((item, index) => {
    if (typeof item === "string") return item;
    throw wrongType(parent, `${key}[${index}]`, "a string", item);
  });
}

/**
 * A map of strings (labels, annotations) as a record without prototype, only of the keys that `keep` wants.
 * @throws KubeObjectError when a value is not a string.
 */
export function stringRecord(
  parent: ObjectFields,
  key: string,
  keep: (name: string, value: string) => boolean = () => true,
): Readonly<Record<string, string>> {
  const { fields } = childObject(parent, key);
  const record: Record<string, string> = Object.create(null);
  let kept = 0;
  for (const [name, value] of Object.entries(fields)) {
    if (value === null) continue;
    if (typeof value !== "string") throw wrongType(parent, `${key}[${quoteText(name, 320)}]`, "a string", value);
    if (!keep(name, value)) continue;
    record[name] = value;
    kept += 1;
  }
  return kept === 0 ? EMPTY_RECORD : record;
}

function list(parent: ObjectFields, key: string): readonly unknown[] {
  const value = ownField(parent, key);
  if (value === undefined) return [];
  if (Array.isArray(value)) return value;
  throw wrongType(parent, key, "a list", value);
}

function ownField(parent: ObjectFields, key: string): unknown {
  const value = Object.hasOwn(parent.fields, key) ? parent.fields[key] : undefined;
  return value === null ? undefined : value;
}

function pathOf(parent: ObjectFields, key: string): string {
  return parent.path === "" ? key : `${parent.path}.${key}`;
}

function wrongType(parent: ObjectFields, key: string, wanted: string, value: unknown): KubeObjectError {
  const path = pathOf(parent, key);
  return new KubeObjectError(
    "KUBE_OBJECT_WRONG_TYPE",
    parent.kind,
    path,
    `must be ${wanted}: it is ${describe(value)}`,
  );
}

function describe(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  if (value === undefined) return "absent";
  return `${typeof value} ${JSON.stringify(value).slice(0, 64)}`;
}
