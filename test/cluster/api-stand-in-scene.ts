// What every part of the script shares: the recorder, the clients, a namespace and a node of its own.
import { readPath, readText } from "../../testbed/api-server/kube-object.ts";
import type { WireClient } from "../../testbed/api-server/wire-client.ts";
import type { Recorder } from "./api-stand-in-transcript.ts";

/** Clients of the server under comparison: one that may do everything, one with a token nobody knows, one with none. */
export interface ScriptClients {
  readonly admin: WireClient;
  readonly stranger: WireClient;
  readonly anonymous: WireClient;
}

/** What a part of the script works with. */
export interface Scene extends Recorder {
  readonly clients: ScriptClients;
  readonly namespace: string;
  /** Path of the namespace's core resources. */
  readonly core: string;
  /** A pod on the script's own node. */
  readonly pod: (name: string, labels?: Readonly<Record<string, string>>, more?: object) => object;
}

/** Headers of a merge patch. */
export const MERGE = { "Content-Type": "application/merge-patch+json" };

/** Headers of a strategic merge patch. */
export const STRATEGIC = { "Content-Type": "application/strategic-merge-patch+json" };

/** Headers of a JSON patch. */
export const JSON_PATCH = { "Content-Type": "application/json-patch+json" };

/** Headers that ask for the metadata of one object. */
export const ONE_METADATA = { Accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1" };

/** Headers that ask for the metadata of a list. */
export const LIST_METADATA = {
  Accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
};

/** Makes pods on the node. The node exists (a controller removes pods of unknown nodes) but has no kubelet that would touch its pods. */
export const podOn =
  (nodeName: string): Scene["pod"] =>
  (name, labels = {}, more = {}) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels, ...more },
    spec: { nodeName, containers: [{ name: "app", image: "example.com/app:1" }] },
  });

/** An object's resourceVersion. */
export const versionOf = (object: unknown): string => readText(object, "metadata", "resourceVersion");

/** The names in a list, in its order. */
export function namesOf(list: unknown): readonly string[] {
  const items = readPath(list, "items");
  return Array.isArray(items) ? items.map((item) => readText(item, "metadata", "name")) : [];
}
