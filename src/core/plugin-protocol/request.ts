// The request of the plugin and the agent's answer as values; fields as numbered in plugin/CONTRACT.md.
import { quoteText } from "../short-text.ts";
import {
  encodeFrame,
  FRAME_ANSWER,
  FRAME_VERSION_REFUSED,
  PROTOCOL_VERSION,
  ProtocolError,
  parseFields,
} from "./frame.ts";

/** What the runtime told the plugin, unparsed: text is what it put into the environment, `stdin` the bytes it wrote. */
export interface PluginRequest {
  readonly command: "ADD" | "DEL" | "CHECK";
  readonly containerId: string;
  readonly netnsPath: string;
  readonly ifname: string;
  readonly args: string;
  readonly stdin: Uint8Array;
  readonly pluginVersion: string;
  /** How long the plugin will still wait when it sends; undefined when it does not tell. */
  readonly remainingMs: number | undefined;
}

/** What the plugin does: exit with `exitCode`, print `stdout` (absent with 0: the previous result, unchanged). */
export interface PluginAnswer {
  readonly exitCode: number;
  readonly stdout?: string;
  /** A line for the plugin's stderr, which runtimes put into their log. */
  readonly logLine?: string;
}

const REQUEST_FIELD = {
  command: 1,
  containerId: 2,
  netnsPath: 3,
  ifname: 4,
  args: 5,
  stdin: 7,
  pluginVersion: 8,
  remainingMs: 9,
} as const;
/** Those of the contract; `CNI_PATH` (6) is sent and not needed. */
const KNOWN_FIELDS: ReadonlySet<number> = new Set([...Object.values(REQUEST_FIELD), 6]);
const ANSWER_FIELD = { exitCode: 1, stdout: 2, logLine: 3 } as const;
const COMMANDS: readonly string[] = ["ADD", "DEL", "CHECK"] satisfies PluginRequest["command"][];
const MAX_TEXT_LENGTH = 128 * 1024;

/** Reads the payload of a request frame. @throws {ProtocolError} */
export function parseRequest(payload: Uint8Array): PluginRequest {
  const fields = parseFields(payload, KNOWN_FIELDS);
  const text = (key: keyof typeof REQUEST_FIELD): string => {
    const bytes = fields.get(REQUEST_FIELD[key]);
    if (bytes === undefined) return "";
    if (bytes.length > MAX_TEXT_LENGTH) {
      throw new ProtocolError("bad-field", `Cannot read a plugin request: ${key} has ${bytes.length} bytes`);
    }
    // A byte order mark is no part of the encoding here: the plugin reads it as a character, and so it stays one.
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  };
  const command = text("command");
  if (!isCommand(command)) {
    throw new ProtocolError(
      "bad-field",
      `Cannot read a plugin request: command ${quoteText(command)} is none of ${COMMANDS.join(", ")}`,
    );
  }
  return {
    command,
    containerId: text("containerId"),
    netnsPath: text("netnsPath"),
    ifname: text("ifname"),
    args: text("args"),
    stdin: fields.get(REQUEST_FIELD.stdin) ?? new Uint8Array(0),
    pluginVersion: text("pluginVersion"),
    remainingMs: parseMilliseconds(text("remainingMs")),
  };
}

/** The frame that carries `answer`. */
export function encodeAnswer(answer: PluginAnswer): Uint8Array {
  const encoder = new TextEncoder();
  const fields = new Map([[ANSWER_FIELD.exitCode as number, encoder.encode(String(answer.exitCode))]]);
  if (answer.stdout !== undefined) fields.set(ANSWER_FIELD.stdout, encoder.encode(answer.stdout));
  if (answer.logLine !== undefined) fields.set(ANSWER_FIELD.logLine, encoder.encode(answer.logLine));
  return encodeFrame(FRAME_ANSWER, fields);
}

/** The frame that tells a plugin of another version what we speak. */
export function encodeVersionRefused(): Uint8Array {
  return encodeFrame(FRAME_VERSION_REFUSED, new Map([[1, new TextEncoder().encode(String(PROTOCOL_VERSION))]]));
}

/** Anything but 1 to 9 digits tells nothing. */
function parseMilliseconds(text: string): number | undefined {
  return /^[0-9]{1,9}$/.test(text) ? Number(text) : undefined;
}

function isCommand(text: string): text is PluginRequest["command"] {
  return COMMANDS.includes(text);
}
