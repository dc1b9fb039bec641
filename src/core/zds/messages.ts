// The messages of ZDS, by which the agent tells ztunnel of its node's workloads: exactly those of package
// istio.workload.zds (istio/istio pkg/zdsapi/zds.proto@1.30.3), in both directions, since the stand-in for ztunnel reads what
// the agent writes. One datagram holds one message; the namespace travels beside `add` as a descriptor.
import { joinBytes } from "../join-bytes.ts";
import { messageField, numberField, readFields, readText, textField, ZdsFormatError } from "./wire-format.ts";

/** What ztunnel's read buffer holds (ztunnel src/inpod/protocol.rs): a longer request can never be read. */
export const MAX_REQUEST_BYTES = 1024;
/** The one version there is (enum Version, V1). */
export const ZDS_VERSION = 1;

/** `uid` is the pod's, `serviceAccount` is spec.serviceAccountName. */
export interface WorkloadInfo {
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** What the agent says. */
export type WorkloadRequest =
  /** Serve this pod; exactly one descriptor, its network namespace, goes with it. ztunnel ends when `info` is missing. */
  | { readonly kind: "add"; readonly uid: string; readonly info: WorkloadInfo | undefined }
  /** Before the end of the snapshot: go on with this pod if you have it. */
  | { readonly kind: "keep"; readonly uid: string }
  | { readonly kind: "del"; readonly uid: string }
  /** What was neither added nor kept on this connection is no longer there. */
  | { readonly kind: "snapshot-sent" };

/** What ztunnel answers to every request; an empty `error` means done. */
export interface WorkloadResponse {
  readonly error: string;
}

/** Field numbers. */
const HELLO = { version: 1 } as const;
const REQUEST = { add: 1, del: 2, snapshotSent: 3, keep: 5 } as const;
const ADD = { uid: 1, info: 2 } as const;
const INFO = { name: 1, namespace: 2, serviceAccount: 3 } as const;
const KEEP_UID = 1;
const DEL_UID = 2;
const RESPONSE = { ack: 1 } as const;
const ACK = { error: 1 } as const;

/** ztunnel's first message. */
export function encodeHello(version: number): Uint8Array {
  return numberField(HELLO.version, version);
}

/** The version that ztunnel speaks; 0 when it does not say. @throws {ZdsFormatError} */
export function decodeHello(bytes: Uint8Array): number {
  let version = 0;
  for (const field of readFields(bytes)) {
    if (field.number === HELLO.version && field.kind === "varint") version = Number(BigInt.asIntN(32, field.value));
  }
  return version;
}

/** Any length is encoded; whether it can be read is for the sender to ask (`MAX_REQUEST_BYTES`). */
export function encodeRequest(request: WorkloadRequest): Uint8Array {
  switch (request.kind) {
    case "add": {
      const { uid, info } = request;
      const infoField = info === undefined ? [] : [messageField(ADD.info, ...infoFields(info))];
      return messageField(REQUEST.add, textField(ADD.uid, uid), ...infoField);
    }
    case "keep":
      return messageField(REQUEST.keep, textField(KEEP_UID, request.uid));
    case "del":
      return messageField(REQUEST.del, textField(DEL_UID, request.uid));
    case "snapshot-sent":
      return messageField(REQUEST.snapshotSent);
  }
}

/** Reads what the agent says, as strictly as ztunnel's own decoder. @throws {ZdsFormatError} */
export function decodeRequest(bytes: Uint8Array): WorkloadRequest {
  const { number, body } = decodeOneof(bytes, Object.values(REQUEST));
  const texts = new Map<number, string>();
  const uidField = number === REQUEST.del ? DEL_UID : KEEP_UID;
  let infoBytes: Uint8Array | undefined;
  for (const field of readFields(body)) {
    if (field.kind !== "bytes") continue;
    if (field.number === uidField && number !== REQUEST.snapshotSent) texts.set(uidField, readText(field.value));
    if (number === REQUEST.add && field.number === ADD.info)
      // Several parts of one nested message, joined, are that message merged (protobuf's encoding).
      infoBytes = joinBytes(infoBytes === undefined ? [field.value] : [infoBytes, field.value]);
  }
  const uid = texts.get(uidField) ?? "";
  if (number === REQUEST.add)
    return { kind: "add", uid, info: infoBytes === undefined ? undefined : decodeInfo(infoBytes) };
  if (number === REQUEST.keep) return { kind: "keep", uid };
  return number === REQUEST.del ? { kind: "del", uid } : { kind: "snapshot-sent" };
}

export function encodeResponse({ error }: WorkloadResponse): Uint8Array {
  return messageField(RESPONSE.ack, textField(ACK.error, error));
}

/** Reads ztunnel's answer. An error in bad UTF-8 is still an error. @throws {ZdsFormatError} */
export function decodeResponse(bytes: Uint8Array): WorkloadResponse {
  const { body } = decodeOneof(bytes, [RESPONSE.ack]);
  let error = "";
  for (const field of readFields(body)) {
    if (field.number === ACK.error && field.kind === "bytes")
      error = new TextDecoder("utf-8", { ignoreBOM: true }).decode(field.value);
  }
  return { error };
}

function infoFields({ name, namespace, serviceAccount }: WorkloadInfo): Uint8Array[] {
  return [
    textField(INFO.name, name),
    textField(INFO.namespace, namespace),
    textField(INFO.serviceAccount, serviceAccount),
  ];
}

function decodeInfo(bytes: Uint8Array): WorkloadInfo {
  const texts = new Map<number, string>();
  for (const field of readFields(bytes)) {
    const isKnown = field.number >= INFO.name && field.number <= INFO.serviceAccount;
    if (isKnown && field.kind === "bytes") texts.set(field.number, readText(field.value));
  }
  const text = (number: number): string => texts.get(number) ?? "";
  return { name: text(INFO.name), namespace: text(INFO.namespace), serviceAccount: text(INFO.serviceAccount) };
}

/** The member of the oneof that was set last; the same member twice is merged. */
function decodeOneof(bytes: Uint8Array, members: readonly number[]): { number: number; body: Uint8Array } {
  let last: { number: number; body: Uint8Array } | undefined;
  for (const field of readFields(bytes)) {
    if (field.kind !== "bytes" || !members.includes(field.number)) continue;
    const isSame = last?.number === field.number;
    last = { number: field.number, body: isSame && last ? joinBytes([last.body, field.value]) : field.value };
  }
  if (last === undefined) throw new ZdsFormatError("it has no payload that is known");
  return last;
}
