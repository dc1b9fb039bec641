/**
 * Reads one page of a LIST. The page as a whole must be a list of the API; a single object in it that
 * cannot be read does not take the others down.
 */

import { excerpt, KubeApiError } from "./kube-api-error.ts";
import { isRecord, KubeObjectError } from "./object-fields.ts";

/** An object of a page or of a watch that could not be read; `uid` and `resourceVersion` are empty when even they could not. */
export type UnreadableObject = { readonly uid: string; readonly resourceVersion: string; readonly message: string };

/** One page. `continueToken` is empty on the last one. */
export type ListPage<T> = {
  readonly objects: readonly T[];
  readonly unreadable: readonly UnreadableObject[];
  readonly resourceVersion: string;
  readonly continueToken: string;
};

/**
 * A page from the body of a successful answer.
 * @param parseObject throws KubeObjectError for an object it refuses.
 * @throws KubeApiError `KUBE_API_GARBAGE` when the body is no list.
 */
export function parseListPage<T>(body: Uint8Array, parseObject: (value: unknown) => T): ListPage<T> {
  const list = parseJsonBody("read a list", body);
  const metadata = isRecord(list) ? list["metadata"] : undefined;
  // Go encodes a list of nothing as null.
  const items = isRecord(list) ? (list["items"] ?? []) : undefined;
  const version = isRecord(metadata) ? metadata["resourceVersion"] : undefined;
  if (!Array.isArray(items) || typeof version !== "string" || version === "") {
    const detail = "the answer is JSON without items and metadata.resourceVersion";
    throw new KubeApiError("KUBE_API_GARBAGE", `Cannot read a list: ${detail}`);
  }
  const token = isRecord(metadata) ? metadata["continue"] : undefined;
  const objects: T[] = [];
  const unreadable: UnreadableObject[] = [];
  for (const item of items) {
    const read = readObject(item, parseObject);
    if ("object" in read) objects.push(read.object);
    else unreadable.push(read.unreadable);
  }
  return { objects, unreadable, resourceVersion: version, continueToken: typeof token === "string" ? token : "" };
}

/** An object or why not; any other error than KubeObjectError passes through, as it is a defect of ours. */
export function readObject<T>(
  value: unknown,
  parseObject: (value: unknown) => T,
): { readonly object: T } | { readonly unreadable: UnreadableObject } {
  try {
    return { object: parseObject(value) };
  } catch (error) {
    if (!(error instanceof KubeObjectError)) throw error;
    const name = `${metadataText(value, "namespace")}/${metadataText(value, "name")}`;
    const message = `${error.message} (${name.slice(0, 320)})`;
    return {
      unreadable: { uid: metadataText(value, "uid"), resourceVersion: metadataText(value, "resourceVersion"), message },
    };
  }
}

/** A text field of an object's metadata, empty when it is not there or is no text. */
export function metadataText(value: unknown, key: string): string {
  const metadata = isRecord(value) ? value["metadata"] : undefined;
  const text = isRecord(metadata) ? metadata[key] : undefined;
  return typeof text === "string" ? text : "";
}

/** @throws KubeApiError `KUBE_API_GARBAGE` when the bytes are not JSON in UTF-8. */
export function parseJsonBody(action: string, body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    const begin = excerpt(new TextDecoder().decode(body.subarray(0, 400)));
    const detail = begin === "" ? "the answer is empty" : `the answer is not JSON, it begins with ${begin}`;
    throw new KubeApiError("KUBE_API_GARBAGE", `Cannot ${action}: ${detail}`, { cause });
  }
}
