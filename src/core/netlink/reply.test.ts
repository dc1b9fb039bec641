import assert from "node:assert/strict";
import { test } from "node:test";
import { NetlinkFormatError } from "./message.ts";
import { describeRefused, encodeBatch, parseBatchOutcome } from "./nfnetlink.ts";
import { addTable, createOwnChain } from "./nft-message.ts";
import { addNamedSet, createElements, deleteElements, deleteNamedSet } from "./nft-set.ts";
import { collectDump, KernelRefusalError, parseReplies } from "./reply.ts";
import { NetlinkWriter } from "./writer.ts";

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const DUMP_INTERRUPTED = 0x10;
const CAPPED = 0x100;
const ACK_TLVS = 0x200;
const NEWRULE = 0x0a06;

/** An NLMSG_ERROR as a kernel writes it; `request` bytes follow the echoed header unless the message is capped. */
function errorMessage(
  errno: number,
  options: { sequence?: number; request?: number; capped?: boolean; text?: string } = {},
): Uint8Array {
  const { sequence = 1, request = 0, capped = false, text } = options;
  const writer = new NetlinkWriter();
  const flags = (capped ? CAPPED : 0) | (text === undefined ? 0 : ACK_TLVS);
  writer.message({ type: NLMSG_ERROR, flags, sequence }, () => {
    writer.u32(-errno >>> 0);
    writer.u32(16 + request);
    writer.u16(NEWRULE);
    writer.u16(5);
    writer.u32(sequence);
    writer.u32(0);
    if (!capped) writer.raw(new Uint8Array(request));
    if (text !== undefined) {
      writer.attributeString(1, text);
      writer.attributeU32(2, 44);
    }
  });
  return writer.finish();
}

function plain(type: number, flags: number, payload: readonly number[]): Uint8Array {
  const writer = new NetlinkWriter();
  writer.message({ type, flags, sequence: 3 }, () => writer.raw(Uint8Array.from(payload)));
  return writer.finish();
}

const DONE = plain(NLMSG_DONE, 0, [0, 0, 0, 0]);

test("an acknowledgement is an error without number", () => {
  assert.deepEqual(parseReplies(errorMessage(0, { sequence: 9 })), [{ kind: "ack", sequence: 9 }]);
});

test("a refusal carries number, request, and the kernel's own words, whether the request is echoed or capped", () => {
  for (const capped of [true, false]) {
    const bytes = errorMessage(2, { sequence: 4, request: 20, capped, text: "no such chain" });
    const refusal = { sequence: 4, requestType: NEWRULE, errno: 2, text: "no such chain", offset: 44 };
    assert.deepEqual(parseReplies(bytes), [{ kind: "refused", ...refusal }]);
  }
  assert.throws(() => parseReplies(plain(NLMSG_ERROR, 0, [1, 2, 3])), NetlinkFormatError);
});

test("a dump is gathered to its end and not further, and says when it was interrupted", () => {
  const data = plain(20, 2, [1, 2, 3, 4]);
  let taken = 0;
  function* datagrams(): Generator<Uint8Array> {
    for (const datagram of [data, Buffer.concat([data, DONE]), data]) {
      taken += 1;
      yield datagram;
    }
  }
  const dump = collectDump("list", datagrams());
  assert.deepEqual([dump.messages.length, dump.interrupted, taken], [2, false, 2]);
  assert.equal(collectDump("list", [plain(20, 2 | DUMP_INTERRUPTED, []), DONE]).interrupted, true);
  assert.equal(collectDump("list", [plain(NLMSG_DONE, DUMP_INTERRUPTED, [0, 0, 0, 0])]).interrupted, true);
});

test("a dump that is refused, fails at its end or never ends is an error that says what was asked", () => {
  assert.throws(
    () => collectDump("list the rules", [errorMessage(1)]),
    /^KernelRefusalError: Cannot list the rules: kernel answers errno 1$/,
  );
  assert.throws(
    () => collectDump("list", [plain(NLMSG_DONE, 0, [0xf0, 0xff, 0xff, 0xff])]),
    (error) => {
      return error instanceof KernelRefusalError && error.refusal.errno === 16;
    },
  );
  assert.throws(() => collectDump("list", [plain(20, 2, [])]), NetlinkFormatError);
});

test("a batch is committed when its last message is acknowledged, refused when any message is, and open until then", () => {
  assert.deepEqual(parseBatchOutcome([errorMessage(0)]), { kind: "committed" });
  const outcome = parseBatchOutcome([errorMessage(17, { sequence: 3 }), errorMessage(0, { sequence: 4 })]);
  assert.equal(outcome?.kind === "refused" ? outcome.refusals[0]?.errno : undefined, 17);
  assert.equal(parseBatchOutcome([]), undefined);
  assert.throws(() => encodeBatch([]), RangeError);
});

test("the refused message of a batch is named", () => {
  const ref = { family: 6, table: "nat", chain: "ISTIO_OUTPUT" } as const;
  const batch = encodeBatch([addTable(6, "nat"), createOwnChain(ref)]);
  const refusal = { requestType: 0, errno: 17 };
  assert.equal(describeRefused(batch, { ...refusal, sequence: 2 }), "table ip6 nat");
  assert.equal(describeRefused(batch, { ...refusal, sequence: 3 }), "chain ip6 nat ISTIO_OUTPUT");
  assert.equal(describeRefused(batch, { ...refusal, sequence: 1 }), "batch");
});

test("a set that is refused, or what is to be in it, is named as a set", () => {
  const ref = { family: "inet", table: "istio-ambient-nat", set: "istio-inpod-probes-v4" } as const;
  const ip = { family: 4, bytes: Uint8Array.of(10, 0, 0, 1) } as const;
  const messages = [
    addNamedSet(ref, 4, 1, "why"),
    ...createElements(ref, [{ ip, comment: "" }]),
    ...deleteElements(ref, [ip]),
    deleteNamedSet(ref),
  ];
  const batch = encodeBatch(messages);
  for (const index of messages.keys()) {
    const refusal = { requestType: 0, errno: 16, sequence: index + 2 };
    assert.equal(describeRefused(batch, refusal), "set inet istio-ambient-nat istio-inpod-probes-v4");
  }
});

test("a refusal that claims a longer request than there is has no words, and one with a positive number is none", () => {
  const bytes = errorMessage(2, { request: 20, text: "no such chain" });
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(20, 0xffff_fff0, true);
  assert.deepEqual(parseReplies(bytes), [{ kind: "refused", sequence: 1, requestType: NEWRULE, errno: 2 }]);
  assert.throws(() => parseReplies(errorMessage(-2)), NetlinkFormatError);
});
