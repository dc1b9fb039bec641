/**
 * The namespace as this product reads it: metadata only, so the agent asks the API for
 * PartialObjectMetadata (meta.k8s.io/v1) and never sees spec or status. No decision reads a namespace's annotations, and a
 * cluster has thousands of namespaces.
 */

import { childObject, openObject, requiredString, stringRecord } from "./object-fields.ts";

/** A namespace; its labels enrol pods, its name excludes them. */
export type Namespace = {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** A record without prototype: look-ups find only what is there. */
  readonly labels: Readonly<Record<string, string>>;
};

/**
 * A namespace from the JSON of the API, be it a Namespace or its PartialObjectMetadata.
 * @throws KubeObjectError naming the field when the value cannot be a namespace.
 */
export function parseNamespace(value: unknown): Namespace {
  const metadata = childObject(openObject("Namespace", value), "metadata");
  return {
    name: requiredString(metadata, "name"),
    uid: requiredString(metadata, "uid"),
    resourceVersion: requiredString(metadata, "resourceVersion"),
    labels: stringRecord(metadata, "labels"),
  };
}
