/**
 * The state file: what the plugin may know while no agent answers (plugin/CONTRACT.md, "State file"). Text from facts and
 * facts from text; who may have written the file is judged by whoever opens it. What cannot be trusted reads as absent, and
 * what is not known is left out: either makes the plugin wait for the agent, never pass a pod.
 */
import { findMember, type JsonNode, JsonScanError, scanJson } from "../cni/json-scan.ts";
import { NAMESPACE_NAME } from "../kube/object-name.ts";

/** Its name in the run directory, beside plugin.sock. */
export const STATE_FILE_NAME = "plugin-state";
/** Version of its format; the plugin takes no other. */
export const STATE_FILE_VERSION = 1;
/** Largest file the plugin reads: some 15,000 namespaces. */
export const MAX_STATE_BYTES = 1 << 20;

/** What an ambient pod gets whose namespace never enrolled anything, when no agent answers in time (ADR 8). */
export type WhenAway = "enroll-later" | "strict";

export interface PluginState {
  readonly mode: "sidecar" | "ambient";
  readonly whenAway: WhenAway;
  /** Pods of these pass. */
  readonly excludedNamespaces: readonly string[];
  /** Undefined: not known, because the agent has never seen all namespaces. Not the same as none. */
  readonly enrollment: Enrollment | undefined;
}

/** Where ambient pods come from. */
export interface Enrollment {
  /** Namespaces whose labels enrol their pods. */
  readonly byNamespace: readonly string[];
  /** Namespaces in which a pod was ever enrolled by its own label. */
  readonly byPod: readonly string[];
}

/** Deepest nesting that the plugin reads (plugin/src/json.h, JSON_DEPTH_MAX). */
const MAX_DEPTH = 64;

/** The file's bytes; equal for equal facts in whatever order. What no namespace can be called is dropped. Beyond
 * MAX_STATE_BYTES the enrolment goes first, as not known, then the end of the excluded list. */
export function renderPluginState(state: PluginState): Uint8Array {
  const excluded = sortedNames(state.excludedNamespaces);
  const { enrollment } = state;
  const enrolled =
    enrollment === undefined
      ? {}
      : {
          enrolling_namespaces: sortedNames(enrollment.byNamespace),
          pod_enrolling_namespaces: sortedNames(enrollment.byPod),
        };
  const whole = encode(state, excluded, enrolled);
  if (whole.length <= MAX_STATE_BYTES) return whole;
  const known = encode(state, excluded, {});
  if (known.length <= MAX_STATE_BYTES) return known;
  // A name has at most 63 bytes, and three more for quotes and comma.
  return encode(state, excluded.slice(0, Math.floor(MAX_STATE_BYTES / 66) - 10), {});
}

/** Reads a file back, as an agent does with its predecessor's. Undefined for anything the plugin would not take. */
export function parsePluginState(bytes: Uint8Array): PluginState | undefined {
  const root = scan(bytes);
  if (root === undefined || numberOf(root, "version") !== String(STATE_FILE_VERSION)) return undefined;
  const mode = textOf(root, "mode");
  const whenAway = textOf(root, "when_away");
  const excludedNamespaces = namesOf(root, "excluded_namespaces");
  if (mode !== "sidecar" && mode !== "ambient") return undefined;
  if (whenAway !== "enroll-later" && whenAway !== "strict") return undefined;
  if (!Array.isArray(excludedNamespaces)) return undefined;
  const byNamespace = namesOf(root, "enrolling_namespaces");
  const byPod = namesOf(root, "pod_enrolling_namespaces");
  if (byNamespace === "damaged" || byPod === "damaged") return undefined;
  const enrollment = byNamespace === undefined || byPod === undefined ? undefined : { byNamespace, byPod };
  return { mode, whenAway, excludedNamespaces, enrollment };
}

function encode(
  { mode, whenAway }: PluginState,
  excluded: readonly string[],
  enrolled: Readonly<Record<string, readonly string[]>>,
): Uint8Array {
  const file = { version: STATE_FILE_VERSION, mode, when_away: whenAway, excluded_namespaces: excluded, ...enrolled };
  return new TextEncoder().encode(`${JSON.stringify(file)}\n`);
}

function sortedNames(names: readonly string[]): readonly string[] {
  return [...new Set(names)].filter((name) => NAMESPACE_NAME.test(name)).sort();
}

function scan(bytes: Uint8Array): JsonNode | undefined {
  if (bytes.length > MAX_STATE_BYTES) return undefined;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
  try {
    const root = scanJson(bytes, MAX_DEPTH);
    return root.kind === "object" ? root : undefined;
  } catch (error) {
    if (error instanceof JsonScanError) return undefined;
    throw error;
  }
}

function numberOf(root: JsonNode, key: string): string | undefined {
  const node = findMember(root, key);
  return node?.kind === "number" ? node.text : undefined;
}

function textOf(root: JsonNode, key: string): string | undefined {
  const node = findMember(root, key);
  return node?.kind === "string" ? node.value : undefined;
}

function namesOf(root: JsonNode, key: string): readonly string[] | undefined | "damaged" {
  const node = findMember(root, key);
  if (node === undefined) return undefined;
  if (node.kind !== "array") return "damaged";
  const names: string[] = [];
  for (const item of node.items) {
    if (item.kind !== "string") return "damaged";
    names.push(item.value);
  }
  return names;
}
