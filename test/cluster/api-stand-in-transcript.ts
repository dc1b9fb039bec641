// Turns answers of an API server into a transcript that two servers can share: what differs from run to run (uids,
// versions, times, generated names) is masked, what only the real one has (managedFields, most defaults) is left out.
import { isJsonObject, type JsonObject, readPath } from "../../testbed/api-server/kube-object.ts";
import type { WireAnswer, WireClient, WireWatch } from "../../testbed/api-server/wire-client.ts";

/** One asked and answered thing. */
export interface TranscriptEntry {
  readonly step: string;
  readonly answer: unknown;
}

/** Asks and writes down. */
export interface Recorder {
  readonly entries: readonly TranscriptEntry[];
  /** Asks through `client` and records the answer under `step`. */
  ask(
    step: string,
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<WireAnswer>;
  /** Asks and does not record: for setting the scene. */
  quietly(
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<WireAnswer>;
  watch(step: string, path: string, headers?: Readonly<Record<string, string>>): Promise<RecordedWatch>;
  /** Records a fact the script worked out itself. */
  note(step: string, fact: unknown): void;
}

/** A watch whose events are written down as they are read. */
export interface RecordedWatch extends Disposable {
  readonly expect: (count: number) => Promise<void>;
  readonly expectEnd: () => Promise<void>;
}

/** A recorder that masks `namespace`, a name of this run only. */
export function createRecorder(client: WireClient, namespace: string): Recorder {
  const entries: TranscriptEntry[] = [];
  const masked = (value: unknown): unknown => maskJson(value, namespace);
  const note = (step: string, fact: unknown): void =>
    void entries.push({ step: String(masked(step)), answer: masked(fact) });
  return {
    entries,
    note,
    quietly: (method, path, body, headers) => client.request(method, path, body, headers),
    async ask(step, method, path, body, headers) {
      const answer = await client.request(method, path, body, headers);
      const type = String(answer.headers["content-type"] ?? "").split(",")[0];
      const retryAfter = answer.headers["retry-after"];
      const shown = answer.json["kind"] === undefined ? answer.text : showObject(answer.json);
      note(step, { status: answer.status, type, ...(retryAfter === undefined ? {} : { retryAfter }), body: shown });
      return answer;
    },
    async watch(step, path, headers) {
      const watch = await client.watch(path, headers);
      note(step, { status: watch.status, type: watch.headers["content-type"] });
      return recordWatch(watch, step, (event) => note(step, event));
    },
  };
}

function recordWatch(watch: WireWatch, step: string, note: (event: unknown) => void): RecordedWatch {
  // Bookmarks may come at any time; only the one that ends the initial events is part of the meaning.
  const isNoise = (event: JsonObject): boolean =>
    event["type"] === "BOOKMARK" &&
    readPath(event, "object", "metadata", "annotations", "k8s.io/initial-events-end") !== "true";
  const seen: string[] = [];
  const read = async (): Promise<JsonObject | undefined> => {
    for (;;) {
      const event = await watch.next().catch((cause: unknown) => {
        throw new Error(`Cannot read on in "${step}" after ${seen.join(", ") || "nothing"}`, { cause });
      });
      seen.push(`${String(event?.["type"])} ${String(readPath(event, "object", "metadata", "name"))}`);
      if (event === undefined || !isNoise(event)) return event;
    }
  };
  return {
    async expect(count) {
      for (let index = 0; index < count; index += 1) {
        const event = await read();
        note(event === undefined ? "ended" : { type: event["type"], object: showObject(event["object"]) });
      }
    },
    async expectEnd() {
      const event = await read();
      note(event === undefined ? "ended" : event);
    },
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  };
}

/** The parts of an object both servers answer for. Status objects are shown whole. */
function showObject(object: unknown): unknown {
  if (!isJsonObject(object)) return object;
  const { kind, apiVersion, metadata, items, spec, status, ...rest } = object;
  if (kind === "Status") return object;
  const shownMeta = showMetadata(metadata);
  if (Array.isArray(items)) return { kind, apiVersion, metadata: shownMeta, items: items.map(showObject) };
  return {
    ...(kind === undefined ? {} : { kind, apiVersion }),
    metadata: shownMeta,
    ...(isJsonObject(spec) ? { spec: pick(spec, ["nodeName", "taints", "finalizers"]), images: imagesOf(spec) } : {}),
    ...(isJsonObject(status) ? { status: pick(status, ["phase", "conditions", "podIP", "podIPs"]) } : {}),
    ...pick(rest, ["data", "reason", "type", "action", ...EVENT_FIELDS]),
  };
}

const EVENT_FIELDS = [
  ...["involvedObject", "regarding", "message", "note", "source", "deprecatedSource", "count", "deprecatedCount"],
  ...["reportingComponent", "reportingController", "reportingInstance"],
];

function showMetadata(metadata: unknown): unknown {
  if (!isJsonObject(metadata)) return metadata;
  const present = ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "continue"];
  return {
    ...pick(metadata, [
      "name",
      "generateName",
      "namespace",
      "labels",
      "annotations",
      "finalizers",
      "deletionGracePeriodSeconds",
      "remainingItemCount",
    ]),
    has: present
      .filter((field) => metadata[field] !== undefined && metadata[field] !== null && metadata[field] !== "")
      .join(" "),
  };
}

function imagesOf(spec: JsonObject): unknown {
  const containers = spec["containers"] ?? readPath(spec, "template", "spec", "containers");
  return Array.isArray(containers) ? containers.map((container) => readPath(container, "image")) : undefined;
}

function pick(object: JsonObject, fields: readonly string[]): JsonObject {
  return Object.fromEntries(
    fields.filter((field) => object[field] !== undefined).map((field) => [field, object[field]]),
  );
}

function maskJson(value: unknown, namespace: string): unknown {
  const text = JSON.stringify(value)
    .replaceAll(namespace, "NAMESPACE")
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "UID")
    .replaceAll(/"generated-[a-z0-9]{5}"/g, '"generated-RANDOM"')
    .replaceAll(/"resourceVersion":"\d+"/g, '"resourceVersion":"VERSION"')
    .replaceAll(/"continue":"[\w=-]+"/g, '"continue":"TOKEN"')
    .replaceAll(/resource version: \d+(?:(, current:)? \(?\d+\)?)?/g, "resource version: VERSION$1")
    .replaceAll(
      /(json parse error|continue key is not valid|error decoding patch: invalid)[: ](?:[^"\\]|\\.)*/g,
      "$1: WHY",
    )
    .replaceAll(/in record \(\d+\)/g, "in record (VERSION)")
    .replaceAll(/\b20\d\d-\d\d-\d\dT[\d:.]+Z/g, "TIME");
  return JSON.parse(text);
}
