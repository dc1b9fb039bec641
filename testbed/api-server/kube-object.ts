// The JSON shape every Kubernetes object shares. Responsible for telling a Kubernetes object from other JSON;
// knows nothing about kinds (resources.ts) or rules for writing them (admission.ts).

/** Any JSON object, fields still unknown. */
export type JsonObject = { readonly [field: string]: unknown };

/** `metadata` of an object. Only the fields the server itself touches are named. */
export interface ObjectMeta {
  readonly name: string;
  readonly generateName?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly [field: string]: unknown;
}

/** A Kubernetes object, of any kind. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly spec?: JsonObject;
  readonly status?: JsonObject;
  readonly [field: string]: unknown;
}

/** True for a JSON object (not null, not an array). */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value below `path`, or undefined as soon as one step is no object. */
export function readPath(value: unknown, ...path: readonly string[]): unknown {
  let current = value;
  for (const step of path) {
    if (!isJsonObject(current)) return undefined;
    current = current[step];
  }
  return current;
}

/** The text below `path`; "" when there is none, as Go's zero value is. Booleans become "true" or "false". */
export function readText(value: unknown, ...path: readonly string[]): string {
  const found = readPath(value, ...path);
  return typeof found === "string" ? found : typeof found === "boolean" ? String(found) : "";
}

/** `object` with `changes` laid over its metadata; a change to undefined removes the field. */
export function withMeta(object: KubeObject, changes: { readonly [field: string]: unknown }): KubeObject {
  const entries = Object.entries({ ...object.metadata, ...changes }).filter(([, value]) => value !== undefined);
  return { ...object, metadata: { name: object.metadata.name, ...Object.fromEntries(entries) } };
}

/** True when both values are the same JSON, whatever the order of their fields. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => sameJson(item, b[index]));
  }
  if (!isJsonObject(a) || !isJsonObject(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => key in b && sameJson(a[key], b[key]));
}
