/**
 * What was decided on one pod, as the agent leaves it for its successor: JSON of one version, one file for each pod. What
 * cannot be trusted to the last byte reads as absent; whose file it is and of which sandbox is judged by whoever reads it.
 */
import { NAMESPACE_NAME, OBJECT_NAME } from "../kube/object-name.ts";
import type { NetnsIdentity } from "../netns/netns-id.ts";
import type { SidecarReason } from "../policy/sidecar-decision.ts";
import type { AmbientCapture } from "../rules/ambient-capture.ts";
import type { SidecarCapture } from "../rules/sidecar-capture.ts";
import { readAmbientCapture, readSidecarCapture, renderCapture } from "./capture-fields.ts";
import { DamagedRecordError, openRecord, type RecordFields } from "./record-fields.ts";

/** Raised with every change of meaning, and when running pods must be decided on anew: other versions read as absent. */
export const POD_RECORD_VERSION = 1;
/** The largest capture that policy takes has some 150 KB. */
export const MAX_POD_RECORD_BYTES = 256 * 1024;

/** Both kinds. */
export interface RecordedPod {
  readonly podUid: string;
  readonly podNamespace: string;
  readonly podName: string;
  /** The sandbox; undefined where an agent came later than the sandbox. */
  readonly containerId: string | undefined;
  readonly netns: NetnsIdentity;
  /** Of the kernel that had this namespace: `/proc/sys/kernel/random/boot_id`. */
  readonly bootId: string;
  /** At the ADD of the sandbox, or from the annotations when an agent first saw the pod. */
  readonly decidedBy: "add" | "annotations";
  /** What was decided was once seen in place: from then on a difference is somebody's doing. */
  readonly wasInPlace: boolean;
  /** Milliseconds since 1970; for people only. */
  readonly decidedAtMs: number;
}

export interface SidecarPodRecord extends RecordedPod {
  readonly mode: "sidecar";
  readonly reason: SidecarReason;
  /** Undefined: not in the mesh. */
  readonly capture: SidecarCapture | undefined;
}

export interface AmbientPodRecord extends RecordedPod {
  readonly mode: "ambient";
  /** A word of ambient policy. */
  readonly reason: string;
  readonly capture: AmbientCapture | undefined;
}

/** Which of the modes decided tells `mode`. */
export type PodRecord = SidecarPodRecord | AmbientPodRecord;

export type DecodedRecord =
  | { readonly kind: "record"; readonly record: PodRecord }
  /** Of an agent that is newer or older: as good as none, and not ours to remove. */
  | { readonly kind: "other-version" }
  | { readonly kind: "damaged"; readonly why: string };

/** The compiler sees to it that none is forgotten. A refused pod does not run. */
const SIDECAR_REASONS: Readonly<Record<SidecarReason, "in" | "out" | "never">> = {
  sidecar: "in",
  "host-network": "out",
  "excluded-namespace": "out",
  "own-agent": "out",
  "istio-init": "out",
  "proxy-disabled": "out",
  "no-proxy-container": "out",
  "proxy-not-sidecar": "out",
  "inject-disabled": "out",
  "not-injected": "out",
  "interception-mode-none": "out",
  "bad-annotation": "never",
  "bad-proxy-id": "never",
};
const FORM = {
  podUid: /^[0-9A-Za-z][0-9A-Za-z-]{0,63}$/,
  containerId: /^[0-9A-Za-z][0-9A-Za-z_.-]{0,255}$/,
  bootId: /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  reason: /^[a-z][a-z0-9-]{0,62}$/,
} as const;
const FILE_NAME = /^(?<podUid>[0-9A-Za-z][0-9A-Za-z-]{0,63})\.json$/;

/** The name of a pod's file. A UID that is not of letters, digits and dashes (the API's are) has none: no name can lead
 * anywhere else. */
export function recordFileName(podUid: string): string | undefined {
  return FORM.podUid.test(podUid) ? `${podUid}.json` : undefined;
}

/** The pod whose file is called so; undefined for any other name. */
export function podUidOfFile(name: string): string | undefined {
  return FILE_NAME.exec(name)?.groups?.["podUid"];
}

/** Whether `text` is the kernel's name for the time since it started. */
export function isBootId(text: string): boolean {
  return FORM.bootId.test(text);
}

/** The file's bytes; equal for equal records. Undefined: this record would not be read back, because of its size or of
 * names that no pod has. */
export function encodePodRecord(record: PodRecord): Uint8Array | undefined {
  const { netns, capture } = record;
  const file = {
    version: POD_RECORD_VERSION,
    mode: record.mode,
    podUid: record.podUid,
    podNamespace: record.podNamespace,
    podName: record.podName,
    containerId: record.containerId ?? null,
    netns: { dev: String(netns.dev), ino: String(netns.ino), cookie: netns.cookie?.toString() ?? null },
    bootId: record.bootId,
    decidedBy: record.decidedBy,
    reason: record.reason,
    wasInPlace: record.wasInPlace,
    decidedAtMs: record.decidedAtMs,
    capture: capture === undefined ? null : renderCapture(capture),
  };
  const bytes = new TextEncoder().encode(`${JSON.stringify(file)}\n`);
  return decodePodRecord(bytes).kind === "record" ? bytes : undefined;
}

/** Reads any bytes. Never throws. */
export function decodePodRecord(bytes: Uint8Array): DecodedRecord {
  if (bytes.length > MAX_POD_RECORD_BYTES) {
    return { kind: "damaged", why: `it has ${bytes.length} bytes, accepted are ${MAX_POD_RECORD_BYTES}` };
  }
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
    const fields = openRecord(value);
    if (fields.number("version", 0, Number.MAX_SAFE_INTEGER) !== POD_RECORD_VERSION) return { kind: "other-version" };
    return { kind: "record", record: readRecord(fields) };
  } catch (error) {
    // The other errors are those of JSON.parse and TextDecoder, whose texts may hold anything from the file.
    return { kind: "damaged", why: error instanceof DamagedRecordError ? error.message : "it is no JSON" };
  }
}

function readRecord(fields: RecordFields): PodRecord {
  const netns = fields.object("netns");
  const pod: RecordedPod = {
    podUid: fields.text("podUid", FORM.podUid),
    podNamespace: fields.text("podNamespace", NAMESPACE_NAME),
    podName: fields.text("podName", OBJECT_NAME),
    containerId: fields.orNull("containerId", (key) => fields.text(key, FORM.containerId)),
    netns: { dev: netns.bits64("dev"), ino: netns.bits64("ino"), cookie: netns.orNull("cookie", netns.bits64) },
    bootId: fields.text("bootId", FORM.bootId),
    decidedBy: fields.word("decidedBy", ["add", "annotations"]),
    wasInPlace: fields.flag("wasInPlace"),
    decidedAtMs: fields.number("decidedAtMs", 0, Number.MAX_SAFE_INTEGER),
  };
  if (fields.word("mode", ["sidecar", "ambient"]) === "ambient") {
    const capture = fields.orNull("capture", (key) => readAmbientCapture(fields.object(key)));
    return { ...pod, mode: "ambient", reason: fields.text("reason", FORM.reason), capture };
  }
  const capture = fields.orNull("capture", (key) => readSidecarCapture(fields.object(key)));
  const reason = fields.text("reason", FORM.reason);
  if (!isSidecarReason(reason) || SIDECAR_REASONS[reason] !== (capture === undefined ? "out" : "in")) {
    throw new DamagedRecordError("record.reason is none for this capture");
  }
  return { ...pod, mode: "sidecar", reason, capture };
}

function isSidecarReason(text: string): text is SidecarReason {
  return Object.hasOwn(SIDECAR_REASONS, text);
}
