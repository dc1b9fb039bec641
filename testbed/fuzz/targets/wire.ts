/** Targets: what the plugin, upstream's plugin, ztunnel and an agent before this one write (plugin-protocol, zds, pod-record). */
import assert from "node:assert/strict";
import {
  encodeFrame,
  FRAME_REQUEST,
  HEADER_LENGTH,
  ProtocolError,
  parseFields,
  parseHeader,
} from "../../../src/core/plugin-protocol/frame.ts";
import { parseRequest } from "../../../src/core/plugin-protocol/request.ts";
import { MAX_STATE_BYTES, parsePluginState, renderPluginState } from "../../../src/core/plugin-protocol/state-file.ts";
import { parseUpstreamAdd, UpstreamAddError } from "../../../src/core/plugin-protocol/upstream-add.ts";
import { parseUpstreamLog } from "../../../src/core/plugin-protocol/upstream-log.ts";
import { decodePodRecord, encodePodRecord } from "../../../src/core/pod-record/pod-record.ts";
import { SAMPLE_RECORDED_POD } from "../../../src/core/pod-record/testing.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../../../src/core/rules/sidecar-capture.ts";
import {
  decodeHello,
  decodeRequest,
  decodeResponse,
  encodeHello,
  encodeRequest,
  encodeResponse,
} from "../../../src/core/zds/messages.ts";
import { ZdsFormatError } from "../../../src/core/zds/wire-format.ts";
import { DEFAULT_AMBIENT_CAPTURE } from "../../ambient/ambient-cases.ts";
import { bytesOf, createTarget, type FuzzTarget } from "../fuzz-target.ts";
import { mutateBytes } from "../mutate-bytes.ts";
import { mutateJson } from "../mutate-json.ts";
import { holds } from "../oracle.ts";
import { NETCONF_SEEDS } from "./netconf-seeds.ts";
import { STATE_SEEDS, STATE_WORDS } from "./state-seeds.ts";

const REQUEST = encodeFrame(
  FRAME_REQUEST,
  new Map(
    ["ADD", "c1", "/var/run/netns/x", "eth0", "K8S_POD_NAME=a", "/opt/cni/bin"]
      .map((text, index): [number, Uint8Array] => [index + 1, bytesOf(text)])
      .concat([
        [7, NETCONF_SEEDS[0] ?? new Uint8Array()],
        [8, bytesOf("0.1.0")],
        [9, bytesOf("15000")],
        [99, bytesOf("later")],
      ]),
  ),
  1,
);

const pluginRequest = createTarget(
  {
    name: "request-frame",
    parsers: ["core/plugin-protocol/frame.ts", "core/plugin-protocol/request.ts"],
    mutators: [mutateBytes],
    words: ["ADD", "DEL", "CHECK", "ICNI", "\x01\0\0\0", "\0\0\0\0", "9", "\ufeff"],
    seeds: [REQUEST, encodeFrame(FRAME_REQUEST, new Map([[1, bytesOf("DEL")]]))],
  },
  [ProtocolError],
  (input) => {
    if (input.length < HEADER_LENGTH) return "short";
    const header = parseHeader(input.subarray(0, HEADER_LENGTH));
    const payload = input.subarray(HEADER_LENGTH);
    const fields = parseFields(payload);
    const again = parseFields(encodeFrame(FRAME_REQUEST, fields).subarray(HEADER_LENGTH));
    assert.deepEqual(again, fields, "What was read is written as it was read");
    return [header, parseRequest(payload)];
  },
);

const pluginState = createTarget(
  {
    name: "state-file",
    parsers: ["core/plugin-protocol/state-file.ts"],
    mutators: [mutateJson],
    words: STATE_WORDS,
    seeds: STATE_SEEDS,
  },
  [],
  (input) => {
    const read = parsePluginState(input);
    if (read === undefined) return undefined;
    const written = renderPluginState(read);
    holds(written.length <= MAX_STATE_BYTES, "A file that is too large is never written");
    const again = parsePluginState(written);
    holds(again !== undefined, "What is written reads back");
    assert.deepEqual(renderPluginState(again), written, "What is written reads back");
    return read;
  },
);

const upstreamAdd = createTarget(
  {
    name: "upstream-add",
    parsers: ["core/plugin-protocol/upstream-add.ts"],
    mutators: [mutateJson],
    words: ["Netns", "PodName", "PodNamespace", "IPs", "Address", "IP", "Mask", "netns", "..", "/", "::ffff:1.2.3.4"],
    seeds: [
      bytesOf(
        JSON.stringify({
          Netns: "/var/run/netns/x",
          PodName: "web",
          PodNamespace: "shop",
          IPs: [{ Interface: 2, Address: { IP: "10.0.0.5", Mask: "////AA==" }, Gateway: "10.0.0.1" }],
        }),
      ),
    ],
  },
  [UpstreamAddError],
  (input) => {
    const read = parseUpstreamAdd(input);
    holds(read.netnsPath.startsWith("/") && !read.netnsPath.includes("/../"), "A path leads nowhere else");
    return read;
  },
);

const upstreamLog = createTarget(
  {
    name: "upstream-log",
    parsers: ["core/plugin-protocol/upstream-log.ts"],
    mutators: [mutateJson],
    words: [
      "level",
      "info",
      "error",
      "time",
      "msg",
      '{"level":"info","time":"t","msg":"m","a":{}}',
      '{"level":"warn","time":"t","msg":"m","__proto__":[1]}',
      `{"level":"warn","time":"t","msg":"m","a":${"[".repeat(20_000)}${"]".repeat(20_000)}}`,
    ],
    seeds: [
      bytesOf(JSON.stringify([JSON.stringify({ level: "info", time: "t", msg: "m", pod: "p", n: 1, o: { a: 1 } })])),
    ],
    maxBytes: 256 * 1024,
  },
  [],
  (input) => parseUpstreamLog(input),
);

const podRecord = createTarget(
  {
    name: "pod-record",
    parsers: ["core/pod-record/pod-record.ts", "core/pod-record/capture-fields.ts", "core/pod-record/record-fields.ts"],
    mutators: [mutateJson],
    words: [
      "sidecar",
      "ambient",
      "REDIRECT",
      "TPROXY",
      "*",
      "10.0.0.0/8",
      "not-injected",
      "eth0",
      "18446744073709551615",
      "capture",
      "null",
    ],
    seeds: [
      encodePodRecord({
        ...SAMPLE_RECORDED_POD,
        mode: "sidecar",
        reason: "sidecar",
        capture: DEFAULT_SIDECAR_CAPTURE,
      }) ?? assert.fail(),
      encodePodRecord({
        ...SAMPLE_RECORDED_POD,
        mode: "ambient",
        reason: "enrolled",
        capture: DEFAULT_AMBIENT_CAPTURE,
      }) ?? assert.fail(),
      encodePodRecord({
        ...SAMPLE_RECORDED_POD,
        containerId: undefined,
        mode: "sidecar",
        reason: "not-injected",
        capture: undefined,
      }) ?? assert.fail(),
    ],
  },
  [],
  (input) => {
    const read = decodePodRecord(input);
    if (read.kind === "damaged") holds(read.why.length < 1000, "Why a record is damaged is short");
    if (read.kind !== "record") return read;
    const written = encodePodRecord(read.record);
    holds(written !== undefined, "What was read can be written");
    assert.deepEqual(decodePodRecord(written), read, "What is written reads back");
    return read;
  },
);

const INFO = { name: "web-0", namespace: "shop", serviceAccount: "default" };

const zds = createTarget(
  {
    name: "zds",
    parsers: ["core/zds/wire-format.ts", "core/zds/messages.ts"],
    mutators: [mutateBytes],
    words: [
      "\x0a\x00",
      "\x12\x02",
      "\x08\x01",
      "\x0b\x0c",
      "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
      "\x1a\0",
      "\x2a\x03\x0a\x01a",
    ],
    seeds: [
      encodeHello(1),
      encodeRequest({ kind: "add", uid: "u", info: INFO }),
      encodeRequest({ kind: "keep", uid: "u" }),
      encodeRequest({ kind: "del", uid: "u" }),
      encodeRequest({ kind: "snapshot-sent" }),
      encodeResponse({ error: "no" }),
    ],
    maxBytes: 4096,
  },
  [ZdsFormatError],
  (input) => {
    const read: unknown[] = [];
    const errors: ZdsFormatError[] = [];
    const attempt = <T>(decode: (bytes: Uint8Array) => T, encode: (value: T) => Uint8Array): void => {
      try {
        const value = decode(input);
        assert.deepEqual(decode(encode(value)), value, "What is written reads back");
        read.push(value);
      } catch (error) {
        if (!(error instanceof ZdsFormatError)) throw error;
        errors.push(error);
      }
    };
    attempt(decodeRequest, encodeRequest);
    attempt(decodeResponse, encodeResponse);
    // A version that is none is told apart from one only by whoever speaks it: any number comes back as it was read.
    const version = ((): number | undefined => {
      try {
        return decodeHello(input);
      } catch (error) {
        if (error instanceof ZdsFormatError) return undefined;
        throw error;
      }
    })();
    holds(version === undefined || Number.isInteger(version), "A version is a whole number");
    if (read.length === 0 && errors[0] !== undefined) throw errors[0];
    return [read, version];
  },
);

export const WIRE_TARGETS: readonly FuzzTarget[] = [
  pluginRequest,
  pluginState,
  upstreamAdd,
  upstreamLog,
  podRecord,
  zds,
];
