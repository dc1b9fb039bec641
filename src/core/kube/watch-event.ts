/**
 * Reads one event of a watch (meta/v1 WatchEvent): {"type": "ADDED", "object": {...}}.
 * ADDED and MODIFIED are one thing here: after a resumed watch nobody can tell them apart.
 */

import { isRecord } from "../json-value.ts";
import { quoteText } from "../short-text.ts";
import { KubeApiError, parseKubeStatus } from "./kube-api-error.ts";
import { metadataText, parseJsonBody, readObject, type UnreadableObject } from "./list-page.ts";

export type WatchEvent<T> =
  | { readonly type: "upsert"; readonly object: T; readonly resourceVersion: string }
  /** `object` is the last state, when it could be read. */
  | { readonly type: "delete"; readonly uid: string; readonly object?: T; readonly resourceVersion: string }
  | { readonly type: "bookmark"; readonly resourceVersion: string }
  /** The server ends the watch, e.g. with status 410 when our resourceVersion is too old. */
  | { readonly type: "error"; readonly error: KubeApiError }
  /** An event that does not tell what to do; the stream goes on. */
  | { readonly type: "unreadable"; readonly unreadable: UnreadableObject };

/**
 * An event from one line of the stream.
 * @throws KubeApiError `KUBE_API_GARBAGE` when the line is no event: what follows cannot be trusted either.
 */
export function parseWatchEvent<T>(line: Uint8Array, parseObject: (value: unknown) => T): WatchEvent<T> {
  const event = parseJsonBody("read a watch event", line);
  if (!isRecord(event) || typeof event["type"] !== "string" || !isRecord(event["object"])) {
    throw new KubeApiError("KUBE_API_GARBAGE", "Cannot read a watch event: the line is JSON without type and object");
  }
  const object = event["object"];
  const resourceVersion = metadataText(object, "resourceVersion");
  switch (event["type"]) {
    case "ADDED":
    case "MODIFIED": {
      const read = readObject(object, parseObject);
      if ("unreadable" in read) return { type: "unreadable", unreadable: read.unreadable };
      return { type: "upsert", object: read.object, resourceVersion };
    }
    case "DELETED": {
      const uid = metadataText(object, "uid");
      const read = readObject(object, parseObject);
      if (uid === "" && "unreadable" in read) return { type: "unreadable", unreadable: read.unreadable };
      return { type: "delete", uid, ...("object" in read && { object: read.object }), resourceVersion };
    }
    case "BOOKMARK":
      return { type: "bookmark", resourceVersion };
    case "ERROR":
      return { type: "error", error: streamError(object) };
    default: {
      const message = `Cannot read a watch event: its type is ${quoteText(event["type"])}`;
      return { type: "unreadable", unreadable: { uid: "", resourceVersion, message } };
    }
  }
}

function streamError(object: unknown): KubeApiError {
  const status = parseKubeStatus(object);
  if (status === undefined) {
    return new KubeApiError("KUBE_API_GARBAGE", "Cannot go on watching: the server sent an error that is no Status");
  }
  return new KubeApiError("KUBE_API_STATUS", `Cannot go on watching: ${status.code} ${status.message}`.trimEnd(), {
    status: status.code,
    reason: status.reason,
    ...(status.retryAfterSeconds > 0 && { retryAfterMs: status.retryAfterSeconds * 1000 }),
  });
}
