/**
 * The log lines that upstream's plugin hands to its agent: the body of `POST /log` on `log.sock`, an array of texts, each a
 * JSON object with level, time, msg and labels (contract 3.10; cni/pkg/log/uds.go@1.30.3).
 */
import { isRecord, parseJson } from "../json-value.ts";
import type { LogLabels } from "../log.ts";

export interface UpstreamLogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  /** All other keys; what is no text, number or boolean, as JSON. The time is not among them: the log has its own. */
  readonly labels: LogLabels;
}

const LEVELS: readonly string[] = ["debug", "info", "warn", "error"] satisfies UpstreamLogLine["level"][];
/** One execution of the plugin writes about twenty. */
const MAX_LINES = 1000;
const MAX_LABELS = 32;

/** The lines in their order; those that lack level, time or msg are dropped, as upstream does. Undefined: it is no list. */
export function parseUpstreamLog(body: Uint8Array): readonly UpstreamLogLine[] | undefined {
  const lines = parseJson(new TextDecoder().decode(body));
  if (!Array.isArray(lines)) return undefined;
  return lines.slice(0, MAX_LINES).flatMap((line: unknown) => (typeof line === "string" ? parseLine(line) : []));
}

function parseLine(text: string): readonly UpstreamLogLine[] {
  const value = parseJson(text);
  if (!isRecord(value)) return [];
  const fields = new Map<string, unknown>(Object.entries(value));
  const [level, time, message] = [fields.get("level"), fields.get("time"), fields.get("msg")];
  if (!isLevel(level) || typeof time !== "string" || typeof message !== "string") return [];
  const labels: [string, string | number | boolean][] = [];
  for (const [key, field] of fields) {
    if (key === "level" || key === "time" || key === "msg" || labels.length === MAX_LABELS) continue;
    const isPlain = typeof field === "string" || typeof field === "number" || typeof field === "boolean";
    labels.push([key, isPlain ? field : renderJson(field)]);
  }
  return [{ level, message, labels: Object.fromEntries(labels) }];
}

function isLevel(value: unknown): value is UpstreamLogLine["level"] {
  return typeof value === "string" && LEVELS.includes(value);
}

/** JSON.parse() takes a nesting that JSON.stringify() does not: it throws RangeError when its stack is used up. */
function renderJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return "nested too deeply";
  }
}
