// A core/v1 Event as the API takes it, and the patch that tells of its repetition. Pure text and numbers.
import { printable } from "../../core/text-columns.ts";

/** The pod an Event is about; what kubectl looks Events up by. */
export interface EventSubject {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly resourceVersion?: string;
}

/** One thing that happened to a pod. */
export interface PodEventInput {
  readonly pod: EventSubject;
  readonly type: "Normal" | "Warning";
  /** CamelCase, of a closed set: Events of one pod are told apart by it. */
  readonly reason: string;
  /** For people; cut at 1024 bytes, the API's limit. */
  readonly message: string;
  /** Who says so. @default "istio-cni-node" */
  readonly component?: string;
}

/** How often it happened, and when, in milliseconds since 1970. */
export interface Occurrences {
  readonly count: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

export const DEFAULT_COMPONENT = "istio-cni-node";

/** core/v1 validation (pkg/apis/core/validation/events.go: NoteLengthLimit). */
const MAX_MESSAGE_BYTES = 1024;
/** The API's limit for names, of which the suffix takes its part. */
const MAX_NAME_LENGTH = 253;

/** The object to create. `suffix`: lower-case letters and digits that make the name unique within the namespace. */
export function renderEvent(
  event: PodEventInput,
  { count, firstMs, lastMs }: Occurrences,
  { nodeName, suffix }: { readonly nodeName: string; readonly suffix: string },
): Record<string, unknown> {
  const { pod, type, reason, message, component = DEFAULT_COMPONENT } = event;
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: eventName(pod.name, suffix), namespace: pod.namespace },
    involvedObject: {
      apiVersion: "v1",
      kind: "Pod",
      namespace: pod.namespace,
      name: pod.name,
      uid: pod.uid,
      ...(pod.resourceVersion !== undefined && { resourceVersion: pod.resourceVersion }),
    },
    type,
    reason,
    message: cutMessage(message),
    source: { component, host: nodeName },
    reportingComponent: component,
    reportingInstance: nodeName,
    firstTimestamp: timestamp(firstMs),
    lastTimestamp: timestamp(lastMs),
    count,
  };
}

/** The merge patch for an Event that happened again. */
export function renderRepetition(message: string, { count, lastMs }: Occurrences): Record<string, unknown> {
  return { count, lastTimestamp: timestamp(lastMs), message: cutMessage(message) };
}

/** As client-go names them: the pod's name, a dot, something unique. */
export function eventName(podName: string, suffix: string): string {
  return `${podName.slice(0, MAX_NAME_LENGTH - suffix.length - 1).replace(/[.-]+$/, "")}.${suffix}`;
}

/** Whole characters only, and none that a terminal would obey: people read Events there. */
function cutMessage(whole: string): string {
  const message = printable(whole);
  const bytes = new TextEncoder().encode(message);
  if (bytes.length <= MAX_MESSAGE_BYTES) return message;
  const ellipsis = "…";
  const kept = new TextDecoder().decode(bytes.subarray(0, MAX_MESSAGE_BYTES - 3));
  return `${kept.replace(/\uFFFD$/, "")}${ellipsis}`;
}

/** RFC 3339 with seconds (metav1.Time). */
function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
