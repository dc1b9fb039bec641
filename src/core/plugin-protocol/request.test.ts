import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeFrame, FRAME_REQUEST, HEADER_LENGTH, parseFields, parseHeader } from "./frame.ts";
import { encodeAnswer, encodeVersionRefused, parseRequest } from "./request.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined): string => new TextDecoder().decode(value);

test("parseRequest() reads what the contract numbers, and skips fields it does not know", () => {
  const frame = encodeFrame(
    FRAME_REQUEST,
    new Map([
      [1, bytes("ADD")],
      [2, bytes("c1")],
      [3, bytes("/var/run/netns/x")],
      [4, bytes("eth0")],
      [5, bytes("K8S_POD_NAME=a")],
      [7, bytes("{}")],
      [8, bytes("0.1.0")],
      [99, bytes("later")],
    ]),
    1,
  );
  const header = parseHeader(frame);
  assert.deepEqual(header, { version: 1, type: 1, payloadLength: frame.length - HEADER_LENGTH, flags: 1 });
  const { stdin, ...request } = parseRequest(frame.subarray(HEADER_LENGTH));
  assert.deepEqual(request, {
    command: "ADD",
    containerId: "c1",
    netnsPath: "/var/run/netns/x",
    ifname: "eth0",
    args: "K8S_POD_NAME=a",
    pluginVersion: "0.1.0",
    remainingMs: undefined,
  });
  assert.equal(text(stdin), "{}");
});

test("encodeAnswer() leaves stdout out when the previous result is to be printed", () => {
  const frame = encodeAnswer({ exitCode: 0 });
  assert.deepEqual(
    [...parseFields(frame.subarray(HEADER_LENGTH))].map(([key, value]) => [key, text(value)]),
    [[1, "0"]],
  );
});

test("encodeVersionRefused() names the version we speak", () => {
  const frame = encodeVersionRefused();
  assert.equal(parseHeader(frame).type, 3);
  assert.equal(text(parseFields(frame.subarray(HEADER_LENGTH)).get(1)), "1");
});

const badPayloads: [string, Uint8Array, RegExp][] = [
  ["a field cut in its head", new Uint8Array([1, 0, 0]), /cut at byte 0/],
  ["a field that runs over the end", new Uint8Array([1, 0, 0, 0, 9, 0, 0, 0, 65]), /claims 9 bytes and 1 are left/],
  ["a field twice", encodeFrame(1, new Map([[1, bytes("ADD")]])).subarray(HEADER_LENGTH), /./],
  ["an unknown command", encodeFrame(1, new Map([[1, bytes("RUN")]])).subarray(HEADER_LENGTH), /"RUN" is none of ADD/],
  ["no command", new Uint8Array(0), /"" is none of/],
];
for (const [name, payload, message] of badPayloads) {
  test(`parseRequest() refuses ${name}`, () => {
    const doubled = name === "a field twice" ? new Uint8Array([...payload, ...payload]) : payload;
    assert.throws(() => parseRequest(doubled), { name: "ProtocolError", message });
  });
}

test("parseHeader() refuses what is no frame, and a length above the bound before it is allocated", () => {
  assert.throws(() => parseHeader(bytes("GET / HTTP/1.1\r\n")), { code: "bad-magic" });
  const frame = encodeFrame(1, new Map());
  new DataView(frame.buffer).setUint32(8, 0xffffffff, true);
  assert.throws(() => parseHeader(frame), { code: "too-large" });
});

test("parseRequest() skips a field it does not know also when it comes twice, as the contract has it", () => {
  const field = (key: number, text: string): Uint8Array =>
    encodeFrame(FRAME_REQUEST, new Map([[key, bytes(text)]])).subarray(HEADER_LENGTH);
  const payload = new Uint8Array([...field(1, "DEL"), ...field(99, "a"), ...field(99, "b")]);
  assert.equal(parseRequest(payload).command, "DEL");
  assert.throws(
    () => parseRequest(new Uint8Array([...payload, ...field(6, "/a"), ...field(6, "/b")])),
    /6 is there twice/,
  );
});

test("parseRequest() leaves a byte order mark in CNI_ARGS, which the plugin takes for a character", () => {
  const fields = new Map([
    [1, bytes("ADD")],
    [5, bytes("\ufeffK8S_POD_NAME=a")],
  ]);
  const { args } = parseRequest(encodeFrame(FRAME_REQUEST, fields).subarray(HEADER_LENGTH));
  assert.equal(args, "\ufeffK8S_POD_NAME=a");
});
