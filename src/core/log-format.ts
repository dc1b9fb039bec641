/**
 * One log line as text, in the two shapes of upstream's (contract 8.6, pkg/log/config.go and scope.go@1.30.3). Names that
 * come from outside cannot forge or split a line: what is not seen, turns the direction of writing or makes lines is escaped.
 */

import type { LogLabels, LogSeverity } from "./log.ts";
import { escapeUnseen } from "./text-columns.ts";

export interface LogRecord {
  readonly epochMicros: number;
  readonly level: LogSeverity;
  /** "default" is not shown. */
  readonly scope: string;
  readonly message: string;
  readonly labels?: LogLabels;
}

/** A pipe to the container runtime takes 64 KiB; no line may come near it. */
const MESSAGE_MAX = 8192;
const LABEL_MAX = 2048;
const LABELS_MAX = 32;

const SHORT_ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
const RESERVED_KEYS = ["level", "time", "scope", "caller", "msg", "stack"];

/** `TIME<TAB>level<TAB>scope<TAB>message<TAB>k=v k=v` without a line break. Values with blanks, `=` or quotes are quoted. */
export function renderConsoleLine({ epochMicros, level, scope, message, labels = {} }: LogRecord): string {
  const columns = [renderLogTime(epochMicros), level];
  if (scope !== "default") columns.push(escapeText(scope));
  columns.push(escapeText(abridge(message, MESSAGE_MAX)));
  const pairs = Object.entries(labels).slice(0, LABELS_MAX);
  if (pairs.length > 0) columns.push(pairs.map(([key, value]) => `${escapeText(key)}=${renderValue(value)}`).join(" "));
  return columns.join("\t");
}

/** One JSON object: level, time, scope, msg, then labels as top-level keys; a label named like one of those gets a "_". */
export function renderJsonLine({ epochMicros, level, scope, message, labels = {} }: LogRecord): string {
  const fields: [string, string | number | boolean][] = [
    ["level", level],
    ["time", renderLogTime(epochMicros)],
  ];
  if (scope !== "default") fields.push(["scope", scope]);
  fields.push(["msg", abridge(message, MESSAGE_MAX)]);
  for (const [key, value] of Object.entries(labels).slice(0, LABELS_MAX)) {
    const shown = typeof value === "string" ? abridge(value, LABEL_MAX) : value;
    fields.push([RESERVED_KEYS.includes(key) ? `${key}_` : key, shown]);
  }
  const pairs = fields.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(jsonValue(value))}`);
  return escapeUnseen(`{${pairs.join(",")}}`);
}

/** `YYYY-MM-DDTHH:MM:SS.ffffffZ`. */
export function renderLogTime(epochMicros: number): string {
  const date = new Date(Math.floor(epochMicros / 1000));
  const micros = Math.floor(epochMicros % 1_000_000);
  const seconds = Number.isNaN(date.getTime()) ? "0000-00-00T00:00:00" : date.toISOString().slice(0, 19);
  return `${seconds}.${String(micros).padStart(6, "0")}Z`;
}

/** Text that stays on its line and shows what is in it. */
function escapeText(text: string): string {
  return escapeUnseen(text.replace(/[\n\r\t]/g, (found) => SHORT_ESCAPES[found] ?? found));
}

function renderValue(value: string | number | boolean): string {
  if (typeof value !== "string") return String(value);
  const shown = abridge(value, LABEL_MAX);
  return /[\s="]/.test(shown) ? escapeUnseen(JSON.stringify(shown)) : escapeText(shown);
}

function jsonValue(value: string | number | boolean): string | number | boolean {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

function abridge(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max)}… (${text.length - max} more)`;
}
