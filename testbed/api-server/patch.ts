// The three patch forms: JSON merge (RFC 7386), JSON patch (RFC 6902), strategic merge for the lists our kinds have.
// Pure: document and patch in, new document out. Server-side apply is deliberately absent (answered 415).
import { ApiError, badRequest } from "./api-error.ts";
import { isJsonObject, type JsonObject, sameJson } from "./kube-object.ts";

/** Patch content types in the order Kubernetes names them in a 415. */
export const PATCH_TYPES = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
];

/** Applies `patch` of the given content type. Throws ApiError 400 (form) or 422 (a JSON patch that does not apply). */
export function applyPatch(document: JsonObject, patch: unknown, contentType: string): JsonObject {
  if (contentType === "application/json-patch+json") return applyJsonPatch(document, patch);
  if (!isJsonObject(patch)) throw badRequest("error decoding patch: json: cannot unmarshal the body into an object");
  const merged =
    contentType === "application/merge-patch+json" ? mergePatch(document, patch) : strategicMerge(document, patch);
  return isJsonObject(merged) ? merged : {};
}

/** RFC 7386: null removes, objects merge, all else replaces. */
export function mergePatch(document: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return patch;
  const result: Record<string, unknown> = isJsonObject(document) ? { ...document } : {};
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) delete result[field];
    else result[field] = mergePatch(result[field], value);
  }
  return result;
}

/** Fields whose lists merge by key (patchMergeKey tags of k8s.io/api/core/v1/types.go@v1.35); other lists are replaced. */
const MERGE_KEYS: Readonly<Record<string, string>> = {
  addresses: "type",
  conditions: "type",
  containers: "name",
  env: "name",
  ephemeralContainers: "name",
  hostAliases: "ip",
  hostIPs: "ip",
  imagePullSecrets: "name",
  initContainers: "name",
  ownerReferences: "uid",
  podIPs: "ip",
  ports: "containerPort",
  topologySpreadConstraints: "topologyKey",
  volumeMounts: "mountPath",
  volumes: "name",
};

function strategicMerge(document: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return patch;
  const result: Record<string, unknown> =
    isJsonObject(document) && patch["$patch"] !== "replace" ? { ...document } : {};
  for (const [field, value] of Object.entries(patch)) {
    if (field === "$patch" || field.startsWith("$setElementOrder/") || field.startsWith("$retainKeys")) continue;
    if (field.startsWith("$deleteFromPrimitiveList/")) {
      const list = field.slice("$deleteFromPrimitiveList/".length);
      result[list] = asList(result[list]).filter((item) => !asList(value).includes(item));
    } else if (value === null) delete result[field];
    else if (Array.isArray(value) && Object.hasOwn(MERGE_KEYS, field)) {
      result[field] = mergeList(asList(result[field]), value, MERGE_KEYS[field] ?? "name");
    } else if (Array.isArray(value) && field === "finalizers") {
      result[field] = [...new Set([...asList(result[field]), ...value])];
    } else result[field] = strategicMerge(result[field], value);
  }
  return result;
}

/** Merges by key. New items come before the existing ones they were not ordered against, as in apimachinery's
 * strategicpatch normalizeElementOrder. */
function mergeList(existing: readonly unknown[], patch: readonly unknown[], key: string): readonly unknown[] {
  if (patch.some((item) => isJsonObject(item) && item["$patch"] === "replace")) {
    return patch.filter((item) => !(isJsonObject(item) && item["$patch"] === "replace"));
  }
  const patched: { readonly at: number; readonly item: unknown }[] = [];
  const touched = new Set<number>();
  for (const item of patch) {
    if (!isJsonObject(item) || item[key] === undefined) {
      throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
    }
    const at = existing.findIndex((candidate) => isJsonObject(candidate) && candidate[key] === item[key]);
    touched.add(at);
    if (item["$patch"] !== "delete") patched.push({ at, item: strategicMerge(at < 0 ? {} : existing[at], item) });
  }
  const result: unknown[] = [];
  const untouched = [...existing.entries()].filter(([at]) => !touched.has(at));
  for (const { at, item } of patched) {
    while (untouched[0] !== undefined && untouched[0][0] < at) result.push(untouched.shift()?.[1]);
    result.push(item);
  }
  return [...result, ...untouched.map(([, item]) => item)];
}

function applyJsonPatch(document: JsonObject, patch: unknown): JsonObject {
  if (!Array.isArray(patch))
    throw badRequest(
      "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
    );
  let current: unknown = structuredClone(document);
  for (const operation of patch) current = applyOperation(current, operation);
  return isJsonObject(current) ? current : {};
}

function applyOperation(document: unknown, operation: unknown): unknown {
  const { op, path, from, value } = isJsonObject(operation) ? operation : {};
  if (typeof path !== "string") throw doesNotApply();
  switch (op) {
    case "add":
      return editAt(document, path, (parent, last) => insert(parent, last, value));
    case "remove":
      return editAt(document, path, take);
    case "replace":
      return editAt(document, path, (parent, last) => {
        take(parent, last);
        insert(parent, last, value);
      });
    case "test":
      if (!sameJson(read(document, path) ?? null, value ?? null)) throw doesNotApply();
      return document;
    case "copy":
    case "move": {
      if (typeof from !== "string") throw doesNotApply();
      const moved = structuredClone(read(document, from));
      if (moved === undefined) throw doesNotApply();
      const rest = op === "move" ? editAt(document, from, take) : document;
      return editAt(rest, path, (parent, last) => insert(parent, last, moved));
    }
    default:
      throw doesNotApply();
  }
}

type Container = Record<string, unknown> | unknown[];

const segmentsOf = (path: string): readonly string[] =>
  path
    .split("/")
    .slice(1)
    .map((segment) => segment.replaceAll("~1", "/").replaceAll("~0", "~"));

function editAt(document: unknown, path: string, edit: (parent: Container, last: string) => void): unknown {
  const segments = segmentsOf(path);
  const last = segments.at(-1);
  if (last === undefined) throw doesNotApply();
  let parent: unknown = document;
  for (const segment of segments.slice(0, -1)) parent = step(parent, segment);
  if (!isContainer(parent)) throw doesNotApply();
  edit(parent, last);
  return document;
}

const read = (document: unknown, path: string): unknown => segmentsOf(path).reduce(step, document);

function step(parent: unknown, segment: string): unknown {
  if (Array.isArray(parent)) return /^\d+$/.test(segment) ? parent[Number(segment)] : undefined;
  return isJsonObject(parent) && Object.hasOwn(parent, segment) ? parent[segment] : undefined;
}

function isContainer(value: unknown): value is Container {
  return Array.isArray(value) || isJsonObject(value);
}

function insert(parent: Container, last: string, value: unknown): void {
  if (!Array.isArray(parent)) parent[last] = value;
  else if (last === "-") parent.push(value);
  else if (/^\d+$/.test(last) && Number(last) <= parent.length) parent.splice(Number(last), 0, value);
  else throw doesNotApply();
}

function take(parent: Container, last: string): void {
  if (step(parent, last) === undefined) throw doesNotApply();
  if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else delete parent[last];
}

const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** What kube-apiserver answers to a JSON patch that does not apply, a failed test included. */
function doesNotApply(): ApiError {
  return new ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {});
}
