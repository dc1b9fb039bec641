/**
 * What `install-cni render` tells of a manifest, as JSON. The shapes are its schema, by the rules of
 * core/status/status-document.ts, whose words are meant.
 */

import { formatIp } from "../address.ts";
import type { ManifestPod } from "../kube/manifest-pods.ts";
import type { PodNetwork } from "../rules/model.ts";
import { podNetwork } from "../rules/pod-capture.ts";
import { describeCapture } from "../status/describe-capture.ts";
import { describeRules } from "../status/describe-rules.ts";
import { reasonInWords } from "../status/reason-words.ts";
import { exactly, listOf, object, oneOf, orNull, TEXT, type TypeOf } from "../status/shape.ts";
import { CAPTURE, DECISIONS, RULES } from "../status/status-document.ts";
import type { Preview } from "./preview-pod.ts";

export const PREVIEW_SCHEMA_VERSION = 1;

const PREVIEWED_POD = object({
  /** Of the object in the manifest. */
  kind: TEXT,
  namespace: TEXT,
  name: TEXT,
  decision: oneOf(DECISIONS),
  reason: TEXT,
  decisionInWords: orNull(TEXT),
  message: orNull(TEXT),
  hint: orNull(TEXT),
  notes: listOf(TEXT),
  capture: orNull(CAPTURE),
  /** Families with an address that would pass by the proxy. */
  bypassed: listOf(TEXT),
  rules: orNull(RULES),
  /** What the pod's namespace gets beside the rules, as commands that would do the same. */
  routing: listOf(object({ command: TEXT, intent: TEXT })),
});

export const PREVIEW_DOCUMENT = object({
  schemaVersion: exactly(PREVIEW_SCHEMA_VERSION),
  mode: oneOf(["sidecar", "ambient"]),
  /** Addresses that pods are taken to have, for want of a node. */
  families: listOf(oneOf(["ipv4", "ipv6"])),
  pods: listOf(PREVIEWED_POD),
  /** Objects of the manifest that start no pod, as "Service web". */
  others: listOf(TEXT),
});

export type PreviewDocument = TypeOf<typeof PREVIEW_DOCUMENT>;
export type PreviewedPodDocument = TypeOf<typeof PREVIEWED_POD>;

const MAX_ENTRIES = 1024;
/** An agent would wait for the API server to show them. */
const NAMESPACE_UNKNOWN = "it depends on the labels of its namespace, which are not told";

export function describePreview({ kind, namespace, name }: ManifestPod, preview: Preview): PreviewedPodDocument {
  const { capture, dialect, reason } = preview;
  return {
    kind,
    namespace,
    name,
    decision: preview.decision,
    reason,
    decisionInWords: (reason === "namespace-unknown" ? NAMESPACE_UNKNOWN : reasonInWords(reason)) ?? null,
    message: preview.message ?? null,
    hint: preview.hint ?? null,
    notes: preview.notes,
    capture: capture === undefined ? null : describeCapture(capture, MAX_ENTRIES),
    bypassed: preview.bypassed,
    rules: capture === undefined || dialect === undefined ? null : describeRules(capture, dialect),
    routing: capture === undefined ? [] : commandsOf(podNetwork(capture)),
  };
}

/** As iproute2 would do it. */
function commandsOf({ addresses, policyRules, routes }: PodNetwork): PreviewedPodDocument["routing"] {
  const ip = (family: 4 | 6): string => (family === 4 ? "ip" : "ip -6");
  const hex = (value: number): string => `0x${value.toString(16)}`;
  return [
    ...addresses.map(({ cidr, intent }) => ({
      command: `${ip(cidr.family)} address add ${formatIp(cidr)}/${cidr.prefixLength} dev lo`,
      intent,
    })),
    ...policyRules.map(({ family, fwmark, fwmask, table, priority, intent }) => ({
      command: `${ip(family)} rule add fwmark ${hex(fwmark)}/${hex(fwmask)} lookup ${table} priority ${priority}`,
      intent,
    })),
    ...routes.map(({ destination, table, intent }) => ({
      command: `${ip(destination.family)} route add local ${formatIp(destination)}/${destination.prefixLength} dev lo table ${table}`,
      intent,
    })),
  ];
}
