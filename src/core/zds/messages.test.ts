import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import protobuf from "protobufjs";
import {
  decodeHello,
  decodeRequest,
  decodeResponse,
  encodeHello,
  encodeRequest,
  encodeResponse,
  type WorkloadInfo,
  type WorkloadRequest,
} from "./messages.ts";
import { ZdsFormatError } from "./wire-format.ts";

/** The independent implementation, told by the protocol definition alone. */
const definition = protobuf.loadSync(join(import.meta.dirname, "../../../testbed/ztunnel/zds.proto"));
const theirs = (name: string): protobuf.Type => definition.lookupType(`istio.workload.zds.${name}`);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));

/** Our names as the definition's; that implementation would write an empty text that is set, where proto3 leaves it out. */
function toTheirs(request: WorkloadRequest): Record<string, unknown> {
  const set = (fields: object): object =>
    Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ""));
  if (request.kind === "snapshot-sent") return { snapshotSent: {} };
  if (request.kind !== "add") return { [request.kind]: set({ uid: request.uid }) };
  return {
    add: { ...set({ uid: request.uid }), ...(request.info === undefined ? {} : { workloadInfo: set(request.info) }) },
  };
}

function fromTheirs(message: protobuf.Message): WorkloadRequest {
  const value = theirs("WorkloadRequest").toObject(message) as Record<string, Record<string, unknown>>;
  const uidOf = (key: string): string => String(value[key]?.["uid"] ?? "");
  if (value["snapshotSent"] !== undefined) return { kind: "snapshot-sent" };
  if (value["keep"] !== undefined) return { kind: "keep", uid: uidOf("keep") };
  if (value["del"] !== undefined) return { kind: "del", uid: uidOf("del") };
  const info = value["add"]?.["workloadInfo"] as Partial<WorkloadInfo> | undefined;
  return {
    kind: "add",
    uid: uidOf("add"),
    info: info === undefined ? undefined : { name: "", namespace: "", serviceAccount: "", ...info },
  };
}

const plain = { noNullPrototype: true } as const;
const text = fc.string({ unit: "binary", maxLength: 40 });
const uid = text;
const info = fc.option(fc.record({ name: text, namespace: text, serviceAccount: text }, plain), { nil: undefined });
const request: fc.Arbitrary<WorkloadRequest> = fc.oneof(
  fc.record({ kind: fc.constant("add" as const), uid, info }, plain),
  fc.record({ kind: fc.constant("keep" as const), uid }, plain),
  fc.record({ kind: fc.constant("del" as const), uid }, plain),
  fc.constant({ kind: "snapshot-sent" as const }),
);
/** Fields that the definition does not know, of every wire type, one of them a group. */
const UNKNOWN = "c23e03 616263 c03e 9601 c13e 0102030405060708 c53e 01020304 c33e 0801 c43e";

test("messages have the bytes that the contract tells", () => {
  assert.equal(hex(encodeHello(1)), "0801");
  assert.equal(hex(encodeHello(0)), "");
  assert.equal(hex(encodeResponse({ error: "" })), "0a00");
  assert.equal(hex(encodeResponse({ error: "no" })), "0a040a026e6f");
  assert.equal(hex(encodeRequest({ kind: "snapshot-sent" })), "1a00");
  assert.equal(hex(encodeRequest({ kind: "keep", uid: "u" })), "2a030a0175");
  assert.equal(hex(encodeRequest({ kind: "del", uid: "u" })), "1203120175");
  const workload = { name: "a", namespace: "b", serviceAccount: "c" };
  assert.equal(hex(encodeRequest({ kind: "add", uid: "u", info: workload })), "0a0e0a017512090a01611201621a0163");
  const nameless = { name: "", namespace: "", serviceAccount: "" };
  assert.equal(hex(encodeRequest({ kind: "add", uid: "u", info: nameless })), "0a050a01751200");
});

test("requests are the same for an implementation made from the protocol definition", () => {
  fc.assert(
    fc.property(request, (message) => {
      const type = theirs("WorkloadRequest");
      const encoded = type.encode(type.fromObject(toTheirs(message))).finish();
      assert.equal(hex(encodeRequest(message)), hex(encoded));
      assert.deepEqual(decodeRequest(encoded), message);
      assert.deepEqual(fromTheirs(type.decode(encodeRequest(message))), message);
    }),
  );
});

test("hello and answers are the same for an implementation made from the protocol definition", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 0x7fffffff }), text, (version, error) => {
      const hello = theirs("ZdsHello");
      assert.equal(hex(encodeHello(version)), hex(hello.encode({ version }).finish()));
      assert.equal(decodeHello(encodeHello(version)), version);
      const response = theirs("WorkloadResponse");
      const encoded = response.encode(response.fromObject({ ack: { error } })).finish();
      if (error !== "") assert.equal(hex(encodeResponse({ error })), hex(encoded));
      assert.deepEqual(decodeResponse(encoded), { error });
    }),
  );
});

test("unknown fields are skipped wherever they stand", () => {
  assert.equal(decodeHello(bytesOf(`${UNKNOWN} 0801 ${UNKNOWN}`)), 1);
  assert.deepEqual(decodeResponse(bytesOf(`${UNKNOWN} 0a00`)), { error: "" });
  const body = bytesOf(`${UNKNOWN} 0a0175 ${UNKNOWN}`);
  const keep = bytesOf(`2a ${body.length.toString(16).padStart(2, "0")} ${hex(body)}`);
  assert.deepEqual(decodeRequest(keep), { kind: "keep", uid: "u" });
});

test("the last payload counts, and one that comes in two parts is merged", () => {
  assert.deepEqual(decodeRequest(bytesOf("1203120175 2a030a0176")), { kind: "keep", uid: "v" });
  const merged = { kind: "add", uid: "u", info: { name: "a", namespace: "b", serviceAccount: "" } };
  assert.deepEqual(decodeRequest(bytesOf("0a030a0175 0a0512030a0161 0a051203120162")), merged);
});

test("a known field of another type is unknown", () => {
  assert.equal(decodeHello(encodeResponse({ error: "" })), 0);
  assert.throws(() => decodeResponse(encodeHello(1)), ZdsFormatError);
});

for (const [what, bytes] of [
  ["an empty message", ""],
  ["a number that does not end", "08 ff"],
  ["a number without end", "08 ffffffffffffffffffffff01"],
  ["a length beyond the end", "0a 05 0a"],
  ["a length beyond all numbers", "0a ffffffffffffffffff01"],
  ["field number 0", "02 00"],
  ["a field number beyond 29 bits", "f2ffffffffff7f 00"],
  ["wire type 6", "0e 00"],
  ["a group that does not end", "0b 0801"],
  ["a group that ends as another", "0b 14"],
  ["the end of a group that did not begin", "0c"],
  ["groups in groups without end", "0b".repeat(200)],
  ["a cut fixed number", "0d 0102"],
  ["an answer of an unknown kind", "12 00"],
] as const)
  test(`${what} is refused as an answer and as a request`, () => {
    assert.throws(() => decodeResponse(bytesOf(bytes)), ZdsFormatError);
    assert.throws(() => decodeRequest(bytesOf(what.includes("unknown kind") ? "22 00" : bytes)), ZdsFormatError);
  });

test("a request in bad UTF-8 is refused, an error in bad UTF-8 stays an error", () => {
  assert.throws(() => decodeRequest(bytesOf("2a030a01ff")), ZdsFormatError);
  assert.equal(decodeResponse(bytesOf("0a030a01ff")).error, "\ufffd");
});

test("no bytes make a decoder throw anything but its own error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1100 }), (bytes) => {
      for (const decode of [decodeHello, decodeRequest, decodeResponse]) {
        try {
          decode(bytes);
        } catch (error) {
          assert.ok(error instanceof ZdsFormatError, String(error));
        }
      }
    }),
    { numRuns: 2000 },
  );
});
