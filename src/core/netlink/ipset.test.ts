import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatIp, type IpAddress, parseIpAddress } from "../address.ts";
import { decodeIndex, encodeIndexRequest } from "./ip-set-index.ts";
import {
  describeIpsetErrno,
  encodeIpsetAdd,
  encodeIpsetCreate,
  encodeIpsetDelete,
  encodeIpsetDestroy,
  encodeIpsetList,
  IPSET_CMD,
  type IpsetEntry,
  ipsetRefusal,
} from "./ipset.ts";
import { decodeIpset } from "./ipset-dump.ts";
import { NetlinkFormatError, type NetlinkMessage, parseMessages } from "./message.ts";

const NAME = "istio-inpod-probes-v4";
const HEADER = (length: string, type: string, flags: string): string =>
  `${length}000000${type}06${flags}0100000000000000`;
const PROTOCOL = "0500010006000000";
const SETNAME = "1a000200697374696f2d696e706f642d70726f6265732d7634000000";

/** `key` in hex, for each request its bytes as ipset 7.17 sends them, but for protocol 6, revision 2 and no error line. */
const GOLDEN: readonly [string, Uint8Array, string][] = [
  [
    "create",
    encodeIpsetCreate(NAME, 4),
    `${HEADER("60", "02", "0504")}02000000${PROTOCOL}${SETNAME}` +
      "0c000300686173683a69700005000400020000000500050002000000" +
      "0c0007800800084000000010",
  ],
  [
    "add",
    only(encodeIpsetAdd(NAME, [{ ip: ip("10.0.0.1"), comment: "abc" }])),
    `${HEADER("5c", "09", "0500")}02000000${PROTOCOL}${SETNAME}` +
      "1c000880180007800c000180080001400a00000108001a0061626300" +
      "0800094000000000",
  ],
  ["destroy", encodeIpsetDestroy(NAME), `${HEADER("38", "03", "0500")}02000000${PROTOCOL}${SETNAME}`],
  ["list", encodeIpsetList(NAME), `${HEADER("38", "07", "0503")}02000000${PROTOCOL}${SETNAME}`],
];

for (const [name, bytes, expected] of GOLDEN) {
  test(`the request to ${name} has these bytes`, () => {
    assert.equal(hex(bytes), expected);
    const [message] = parseMessages(bytes);
    assert.equal(bytes.length, (message?.payload.length ?? 0) + 16);
  });
}

test("what is put into a set and read as if it were a dump is the same, in whatever number of messages", () => {
  const address = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes): IpAddress => ({ family: 4, bytes })),
    fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes): IpAddress => ({ family: 6, bytes })),
  );
  const comment = fc.stringMatching(/^[\x20\x21\x23-\x7e]{0,255}$/);
  const entry: fc.Arbitrary<IpsetEntry> = fc.record({ ip: address, comment }, { noNullPrototype: true });
  fc.assert(
    fc.property(fc.constantFrom<4 | 6>(4, 6), fc.array(entry, { maxLength: 300 }), (family, entries) => {
      const held = decodeIpset(asDump([encodeIpsetCreate(NAME, family), ...encodeIpsetAdd(NAME, entries)]));
      assert.deepEqual(held, { name: NAME, type: "hash:ip", family, hasComments: true, hasTimeout: false, entries });
    }),
    { numRuns: 50 },
  );
});

test("five hundred addresses go in a few messages, each short enough for one attribute", () => {
  const entries = Array.from({ length: 500 }, (_, index) => ({
    ip: { family: 6 as const, bytes: new Uint8Array(16).fill(index & 0xff) },
    comment: "x".repeat(255),
  }));
  const messages = encodeIpsetAdd(NAME, entries);
  assert.equal(messages.length, 4);
  assert.ok(messages.every(({ length }) => length < 0xffff));
  assert.deepEqual(encodeIpsetDelete(NAME, []), []);
});

test("names and comments that a set cannot have are refused by name, value and what is accepted", () => {
  for (const name of ["", "a b", "x".repeat(32), "ü", "a\0"]) {
    assert.throws(() => encodeIpsetList(name), /Cannot name an ipset .*1 to 31 printable characters/);
  }
  for (const comment of ['say "no"', "x".repeat(256), "a\nb", "\0"]) {
    assert.throws(() => encodeIpsetAdd(NAME, [{ ip: ip("10.0.0.1"), comment }]), /comment of \d+ characters.*255/);
  }
  for (const name of ["", "x".repeat(32), "a\0b"]) assert.throws(() => encodeIndexRequest(name), /1 to 31 bytes/);
});

test("a dump of something else, and a damaged one, give no set or an error, and never more than there is", () => {
  assert.equal(decodeIpset([]), undefined);
  const whole = only(asDump([encodeIpsetCreate(NAME, 4)]));
  assert.equal(decodeIpset([{ ...whole, type: IPSET_CMD.ADD }]), undefined);
  const bytes = asDump([encodeIpsetCreate(NAME, 4), ...encodeIpsetAdd(NAME, [{ ip: ip("10.0.0.1"), comment: "a" }])]);
  fc.assert(
    fc.property(fc.nat(200), fc.nat(255), fc.nat(1), (at, value, which) => {
      const damaged = bytes.map((message, index) => {
        const payload = message.payload.slice();
        if (index === which && at < payload.length) payload[at] = value;
        return { ...message, payload };
      });
      try {
        assert.ok((decodeIpset(damaged)?.entries.length ?? 0) <= 1);
      } catch (error) {
        assert.ok(error instanceof NetlinkFormatError, String(error));
      }
    }),
  );
});

test("the number of a set is asked by its name, and 65535 is none", () => {
  const request = encodeIndexRequest(NAME);
  assert.equal(request.length, 40);
  assert.equal(hex(request).slice(0, 16), "0600000006000000");
  const answered = (index: number): Uint8Array => {
    const filled = request.slice();
    new DataView(filled.buffer).setUint16(8, index, true);
    return filled;
  };
  assert.equal(decodeIndex(answered(0)), 0);
  assert.equal(decodeIndex(answered(517)), 517);
  assert.equal(decodeIndex(answered(0xffff)), undefined);
  assert.equal(decodeIndex(new Uint8Array(4)), undefined);
});

test("refusals are told apart by what can be done about them", () => {
  assert.deepEqual([2, 17, 22, 4100, 4108, 4352, 12].map(ipsetRefusal), [
    ...["no-set", "other-definition", "no-ipset", "in-use", "in-use", "full", "other"],
  ]);
  assert.equal(describeIpsetErrno(4100), "a rule looks into the set");
  assert.equal(describeIpsetErrno(12), undefined);
});

function ip(text: string): IpAddress {
  const parsed = parseIpAddress(text) ?? assert.fail(text);
  assert.equal(formatIp(parsed), text);
  return parsed;
}

function only<T>(items: readonly T[]): T {
  assert.equal(items.length, 1);
  return items[0] ?? assert.fail();
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** Requests that make and fill look to the decoder like a dump, but for their type. */
function asDump(requests: readonly Uint8Array[]): NetlinkMessage[] {
  return requests.flatMap(parseMessages).map((message) => ({ ...message, type: IPSET_CMD.LIST }));
}
