// The two forms of an Event: core v1 (stored) and events.k8s.io/v1. Responsible for renaming the fields
// (k8s.io/kubernetes pkg/apis/events/v1/conversion.go@v1.35); for nothing else about events.
import type { KubeObject } from "./kube-object.ts";

const NAMES: readonly (readonly [core: string, events: string])[] = [
  ["involvedObject", "regarding"],
  ["message", "note"],
  ["source", "deprecatedSource"],
  ["firstTimestamp", "deprecatedFirstTimestamp"],
  ["lastTimestamp", "deprecatedLastTimestamp"],
  ["count", "deprecatedCount"],
  ["reportingComponent", "reportingController"],
];

/** The events.k8s.io/v1 form of a stored Event. */
export function convertEventFromV1(stored: KubeObject): KubeObject {
  const event = rename(stored, "events.k8s.io/v1", new Map(NAMES));
  // Only the core form writes these two when they are empty.
  const { reportingController, reportingInstance, ...rest } = event;
  return {
    ...rest,
    ...(reportingController === "" ? {} : { reportingController }),
    ...(reportingInstance === "" ? {} : { reportingInstance }),
    apiVersion: event.apiVersion,
    kind: event.kind,
    metadata: event.metadata,
  };
}

/** The stored form of an events.k8s.io/v1 Event. */
export function convertEventToV1(sent: KubeObject): KubeObject {
  return rename(sent, "v1", new Map(NAMES.map(([core, events]) => [events, core])));
}

function rename(event: KubeObject, apiVersion: string, names: ReadonlyMap<string, string>): KubeObject {
  const renamed = Object.fromEntries(Object.entries(event).map(([field, value]) => [names.get(field) ?? field, value]));
  return { ...renamed, apiVersion, kind: event.kind, metadata: event.metadata };
}
