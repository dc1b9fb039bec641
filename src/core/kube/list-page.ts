/**
 * Reads one page of a LIST. The page as a whole must be a list of the API; a single object in it that
 * cannot be read does not take the others down.
 */

import { isRecord } from "../json-value.ts";
import { excerpt, KubeApiError } from "./kube-api-error.ts";
import { createListItems } from "./list-items.ts";
import { KubeObjectError } from "./object-fields.ts";

/** An object of a page or of a watch that could not be read; `uid` and `resourceVersion` are empty when even they could not. */
export type UnreadableObject = { readonly uid: string; readonly resourceVersion: string; readonly message: string };

/** One page. `continueToken` is empty on the last one. */
export type ListPage<T> = {
  readonly objects: readonly T[];
  readonly unreadable: readonly UnreadableObject[];
  readonly resourceVersion: string;
  readonly continueToken: string;
};

/** Reads a page while it arrives. */
export interface ListPageReader<T> {
  /** @throws KubeApiError `KUBE_API_GARBAGE` or `KUBE_API_TOO_LARGE`; the page is lost. */
  push(chunk: Uint8Array): void;
  /** @throws KubeApiError `KUBE_API_GARBAGE` when the body was no list, or not a whole one. */
  end(): ListPage<T>;
}

/** `maxItemBytes` of one object's JSON, `maxItems` of the page. */
export type ListPageBounds = { readonly maxItemBytes: number; readonly maxItems: number };

/** @param parseObject throws KubeObjectError for an object it refuses. */
export function createListPageReader<T>(
  parseObject: (value: unknown) => T,
  { maxItemBytes, maxItems }: ListPageBounds,
): ListPageReader<T> {
  const list = createListItems(maxItemBytes);
  const objects: T[] = [];
  const unreadable: UnreadableObject[] = [];
  return {
    push(chunk) {
      for (const item of list.push(chunk)) {
        const read = readObject(parseJsonBody("read an item of a list", item), parseObject);
        if ("object" in read) objects.push(read.object);
        else unreadable.push(read.unreadable);
      }
      if (list.state() === "too-large") throw tooLarge(`an item is larger than ${maxItemBytes} bytes`);
      if (objects.length + unreadable.length > maxItems) throw tooLarge(`it has more than ${maxItems} items`);
      if (list.state() === "malformed") throw notList(list.envelope());
    },
    end() {
      if (list.state() !== "complete") throw notList(list.envelope());
      const envelope = parseJsonBody("read a list", list.envelope());
      const metadata = isRecord(envelope) ? envelope["metadata"] : undefined;
      const version = isRecord(metadata) ? metadata["resourceVersion"] : undefined;
      if (!isRecord(envelope) || !isEmptied(envelope["items"]) || typeof version !== "string" || version === "") {
        throw notList(list.envelope());
      }
      const token = isRecord(metadata) ? metadata["continue"] : undefined;
      return { objects, unreadable, resourceVersion: version, continueToken: typeof token === "string" ? token : "" };
    },
  };
}

function tooLarge(detail: string): KubeApiError {
  return new KubeApiError("KUBE_API_TOO_LARGE", `Cannot read a list: ${detail}`);
}

function notList(envelope: Uint8Array): KubeApiError {
  const begin = excerpt(new TextDecoder().decode(envelope.subarray(0, 400)));
  const detail = begin === "" ? "the answer is empty" : `without its items the answer is ${begin}`;
  return new KubeApiError("KUBE_API_GARBAGE", `Cannot read a list with metadata.resourceVersion: ${detail}`);
}

/** Go encodes a list of nothing as null. */
function isEmptied(items: unknown): boolean {
  return items === undefined || items === null || (Array.isArray(items) && items.length === 0);
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
