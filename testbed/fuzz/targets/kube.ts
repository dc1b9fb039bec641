/** Targets: what the Kubernetes API, a kubeconfig and a manifest hold (core/kube). */
import assert from "node:assert/strict";
import { parseDaemonSet } from "../../../src/core/kube/daemonset.ts";
import { KubeApiError, statusError } from "../../../src/core/kube/kube-api-error.ts";
import { parseKubeconfig } from "../../../src/core/kube/kubeconfig.ts";
import { createListPageReader, type ListPage } from "../../../src/core/kube/list-page.ts";
import { readManifestPods } from "../../../src/core/kube/manifest-pods.ts";
import { parseManifestText } from "../../../src/core/kube/manifest-yaml.ts";
import { parseNamespace } from "../../../src/core/kube/namespace.ts";
import { matchesNodeTerms } from "../../../src/core/kube/node-affinity.ts";
import { KubeObjectError } from "../../../src/core/kube/object-fields.ts";
import { PlainYamlError, parsePlainYaml } from "../../../src/core/kube/plain-yaml.ts";
import { type Pod, parsePod } from "../../../src/core/kube/pod.ts";
import { parseWatchEvent } from "../../../src/core/kube/watch-event.ts";
import { createWatchFrames } from "../../../src/core/kube/watch-frames.ts";
import { decideSidecar } from "../../../src/core/policy/sidecar-decision.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../../../src/core/rules/sidecar-capture.ts";
import { bytesOf, createTarget, type FuzzTarget, textOf } from "../fuzz-target.ts";
import { mutateJson } from "../mutate-json.ts";
import { mutateText } from "../mutate-text.ts";
import { holds } from "../oracle.ts";
import { DAEMON_SET, KUBE_WORDS, KUBECONFIG, MANIFEST, NAMESPACE, POD, YAML_WORDS } from "./kube-seeds.ts";

const SETTINGS = {
  excludedNamespaces: ["kube-system"],
  agentNamespace: "istio-system",
  ownerGroups: DEFAULT_SIDECAR_CAPTURE.ownerGroups,
  loopbackCidrV4: DEFAULT_SIDECAR_CAPTURE.loopbackCidrV4,
};
const MAX_ITEM = 16 * 1024;
const bounds = { maxItemBytes: MAX_ITEM, maxItems: 200 };

/** The parsed JSON; what is none is refused before any of these readers. */
function jsonOf(input: Uint8Array): unknown {
  try {
    return JSON.parse(textOf(input));
  } catch {
    return undefined;
  }
}

const objects = createTarget(
  {
    name: "kube-objects",
    parsers: [
      "core/kube/pod.ts",
      "core/kube/namespace.ts",
      "core/kube/daemonset.ts",
      "core/kube/node-affinity.ts",
      "core/kube/object-fields.ts",
      "core/policy/sidecar-decision.ts",
    ],
    mutators: [mutateJson],
    words: KUBE_WORDS,
    seeds: [POD, NAMESPACE, DAEMON_SET].map((value) => bytesOf(JSON.stringify(value))),
  },
  [KubeObjectError],
  (input) => {
    const value = jsonOf(input);
    if (textOf(input).includes("template")) {
      const read = parseDaemonSet(value);
      matchesNodeTerms(read.nodeTerms ?? [], { name: "n", labels: { a: "1" } });
      return read;
    }
    if (!textOf(input).includes("spec")) return parseNamespace(value);
    const pod = parsePod(value);
    holds(JSON.stringify(decideSidecar(pod, SETTINGS)).length < 200_000, "Unbounded: a decision");
    holds(
      Object.getPrototypeOf(pod.labels) === null && Object.getPrototypeOf(pod.annotations) === null,
      "Records have no prototype",
    );
    return pod;
  },
);

/** In pieces whose sizes the input decides, so that the same input is always cut alike. */
function cut(input: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < input.length; ) {
    const size = 1 + ((input[at] ?? 0) % 13);
    pieces.push(input.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

type Read<T> = { readonly read: T } | { readonly error: KubeApiError };

function readPage(pieces: readonly Uint8Array[]): Read<ListPage<Pod>> {
  const reader = createListPageReader(parsePod, bounds);
  try {
    // A chunk's memory is used again by the socket behind it.
    for (const piece of pieces) {
      const chunk = piece.slice();
      reader.push(chunk);
      chunk.fill(0x5a);
    }
    return { read: reader.end() };
  } catch (error) {
    if (error instanceof KubeApiError) return { error };
    throw error;
  }
}

const listPage = createTarget(
  {
    name: "list-page",
    parsers: ["core/kube/list-page.ts", "core/kube/list-items.ts", "core/kube/byte-hold.ts"],
    mutators: [mutateJson],
    words: [...KUBE_WORDS, '"items"', '"it\\u0065ms"', '"items":[', "continue", "\\", '\\"'],
    seeds: [
      { kind: "PodList", metadata: { resourceVersion: "7", continue: "c" }, items: [POD, NAMESPACE, {}] },
      { items: null, metadata: { resourceVersion: "1" } },
      { metadata: { resourceVersion: "1" }, a: { items: [1] }, items: [] },
    ].map((value) => bytesOf(JSON.stringify(value))),
  },
  [KubeApiError],
  (input) => {
    const [whole, inPieces] = [readPage([input]), readPage(cut(input))];
    // A message tells what had come by then, so only whether there is one is the same.
    holds("error" in whole === "error" in inPieces, "Chunks: what is read depends on how it arrives");
    if ("error" in whole) throw whole.error;
    if ("read" in inPieces)
      assert.deepEqual(inPieces.read, whole.read, "Chunks: what is read depends on how it arrives");
    const value = jsonOf(input);
    holds(value !== undefined, "Accepts: a list that is no JSON");
    const items: unknown = typeof value === "object" && value !== null && "items" in value ? value.items : undefined;
    const count = Array.isArray(items) ? items.length : 0;
    // Of a key that comes twice JSON.parse takes the last list, and this reader both.
    holds(whole.read.objects.length + whole.read.unreadable.length >= count, "Loses: an item of the list");
    return whole.read;
  },
);

function readFrames(pieces: readonly Uint8Array[]): {
  readonly lines: string[];
  readonly isLost: boolean;
  readonly pending: number;
} {
  const frames = createWatchFrames(1024);
  const lines: string[] = [];
  for (const piece of pieces) {
    const chunk = piece.slice();
    const read = frames.push(chunk);
    if (read === undefined) return { lines: [], isLost: true, pending: 0 };
    lines.push(...read.map((line) => new TextDecoder("latin1").decode(line)));
    chunk.fill(0x0a);
  }
  return { lines, isLost: false, pending: frames.pendingBytes() };
}

const watchFrames = createTarget(
  {
    name: "watch-frames",
    parsers: ["core/kube/watch-frames.ts"],
    mutators: [mutateText],
    words: ["\n", "\r\n", "\r", "a".repeat(1023), "a".repeat(1024), "{}"],
    seeds: [bytesOf('{"a":1}\n\n{"b":2}\r\n{"c"')],
  },
  [],
  (input) => {
    const [whole, inPieces] = [readFrames([input]), readFrames(cut(input))];
    assert.deepEqual(inPieces, whole, "Chunks: what is read depends on how it arrives");
    if (whole.isLost) return "lost";
    const text = new TextDecoder("latin1").decode(input);
    const expected = text
      .split("\n")
      .slice(0, -1)
      .map((line) => line.replace(/\r$/, ""))
      .filter((line) => line !== "");
    assert.deepEqual(whole.lines, expected, "Lines are what stands between newlines");
    holds(whole.pending === text.length - (text.lastIndexOf("\n") + 1), "What is held is the last line");
    return whole;
  },
);

const watchEvent = createTarget(
  {
    name: "watch-event",
    parsers: ["core/kube/watch-event.ts", "core/kube/kube-api-error.ts"],
    mutators: [mutateJson],
    words: [
      ...KUBE_WORDS,
      "type",
      "object",
      "ADDED",
      "MODIFIED",
      "DELETED",
      "BOOKMARK",
      "ERROR",
      "Status",
      "code",
      "reason",
      "message",
      "details",
      "retryAfterSeconds",
    ],
    seeds: [
      { type: "ADDED", object: POD },
      { type: "DELETED", object: POD },
      { type: "BOOKMARK", object: { metadata: { resourceVersion: "9" } } },
      {
        type: "ERROR",
        object: { kind: "Status", code: 410, reason: "Expired", message: "m", details: { retryAfterSeconds: 3 } },
      },
    ].map((value) => bytesOf(JSON.stringify(value))),
  },
  [KubeApiError],
  (input) => {
    const refused = statusError("list pods", 500, textOf(input), 0);
    holds(refused.message.length < 2000, "Unbounded: the error for an answer of the API");
    const event = parseWatchEvent(input, parsePod);
    if (event.type === "unreadable")
      holds(event.unreadable.message.length <= 2000, "Unbounded: why an object is unreadable");
    return event.type === "error" ? { ...event, error: event.error.message } : event;
  },
);

const kubeconfig = createTarget(
  {
    name: "kubeconfig",
    parsers: ["core/kube/kubeconfig.ts", "core/kube/plain-yaml.ts"],
    mutators: [mutateText, mutateJson],
    words: YAML_WORDS,
    seeds: [bytesOf(KUBECONFIG), bytesOf(JSON.stringify(parsePlainYaml(KUBECONFIG)))],
  },
  [KubeApiError],
  (input) => {
    const read = parseKubeconfig(textOf(input), "/etc/kubeconfig");
    holds(
      /^https?:\/\//.test(read.server) && URL.canParse(`${read.server}/`) === URL.canParse(read.server),
      "A server is a URL",
    );
    return read;
  },
);

const yaml = createTarget(
  {
    name: "plain-yaml",
    parsers: ["core/kube/plain-yaml.ts"],
    mutators: [mutateText],
    words: YAML_WORDS,
    seeds: [bytesOf(KUBECONFIG), bytesOf("a: {b: [1, 'x', \"y\"], c: }\nd:\n- e: f\n  g: h\n-\n  - i\n")],
    maxBytes: 256 * 1024,
  },
  [PlainYamlError],
  (input) => {
    const text = textOf(input);
    const read = parsePlainYaml(text);
    const again = parsePlainYaml(JSON.stringify(read));
    assert.deepEqual(again, read, "What is written as JSON reads back");
    parsePlainYaml(text, { refusesAmbiguous: true });
    return read;
  },
);

const manifest = createTarget(
  {
    name: "manifest",
    parsers: ["core/kube/manifest-yaml.ts", "core/kube/manifest-pods.ts"],
    mutators: [mutateText],
    words: [
      ...YAML_WORDS,
      ...KUBE_WORDS,
      "---",
      "|",
      ">-",
      "|2+",
      "\\x41",
      "\\\n",
      "List",
      "items",
      "Deployment",
      "CronJob",
    ],
    seeds: [bytesOf(MANIFEST), bytesOf(JSON.stringify({ kind: "List", items: [POD] }))],
    maxBytes: 256 * 1024,
  },
  [PlainYamlError, KubeObjectError],
  (input) => readManifestPods(parseManifestText(textOf(input)), "default"),
);

export const KUBE_TARGETS: readonly FuzzTarget[] = [
  objects,
  listPage,
  watchFrames,
  watchEvent,
  kubeconfig,
  yaml,
  manifest,
];
