import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { IpAddress } from "../address.ts";
import { NetlinkFormatError, type NetlinkMessage, parseMessages } from "./message.ts";
import { encodeBatch, NFT_MSG } from "./nfnetlink.ts";
import {
  addNamedSet,
  createElements,
  deleteElements,
  encodeGetElements,
  encodeGetSets,
  type SetElement,
} from "./nft-set.ts";
import { decodeElements, decodeSets } from "./nft-set-dump.ts";

const REF = { family: "inet", table: "istio-ambient-nat", set: "istio-inpod-probes-v4" } as const;

/** What a batch creates looks to the decoders like a dump. */
function asDump(batch: Uint8Array): NetlinkMessage[] {
  return parseMessages(batch).filter(({ payload }) => payload.length > 4);
}

test("a set and its elements read as if they were a dump are what they were made of", () => {
  const address = (family: 4 | 6): fc.Arbitrary<IpAddress> =>
    fc
      .uint8Array({ minLength: family === 4 ? 4 : 16, maxLength: family === 4 ? 4 : 16 })
      .map((bytes) => ({ family, bytes }));
  const comment = fc.stringMatching(/^[\x20\x21\x23-\x7e]{0,127}$/);
  const sets = fc.constantFrom<4 | 6>(4, 6).chain((family) =>
    fc.record({
      family: fc.constant(family),
      elements: fc.array(fc.record({ ip: address(family), comment }, { noNullPrototype: true }), {
        minLength: 1,
        maxLength: 600,
      }),
    }),
  );
  fc.assert(
    fc.property(sets, ({ family, elements }) => {
      const messages = asDump(encodeBatch([addNamedSet(REF, family, 1, "why"), ...createElements(REF, elements)]));
      assert.deepEqual(decodeSets(messages), [{ name: REF.set, keys: family }]);
      assert.deepEqual(decodeElements(messages), elements);
    }),
    { numRuns: 50 },
  );
});

test("a set of anything but single addresses is told as such", () => {
  const [made] = asDump(encodeBatch([addNamedSet(REF, 4, 1, "")]));
  assert.ok(made);
  // NFTA_SET_FLAGS: the attribute of type 3.
  const payload = made.payload.slice();
  const at = payload.findIndex((_, index) => [8, 0, 3, 0].every((byte, offset) => payload[index + offset] === byte));
  payload[at + 7] = 4; // NFT_SET_INTERVAL
  assert.deepEqual(decodeSets([{ ...made, payload }]), [{ name: REF.set, keys: undefined }]);
});

test("elements without user data, and with some that nobody understands, have no comment", () => {
  const [made] = asDump(encodeBatch(createElements(REF, [element(1, "abc")])));
  assert.ok(made);
  const at = indexOf(made.payload, [0, 4, 0x61, 0x62, 0x63, 0]);
  for (const [change, expected] of [
    [[0, 4], "abc"],
    [[1, 4], ""],
    [[0, 200], ""],
    [[0, 0], ""],
  ] as const) {
    const payload = made.payload.slice();
    payload.set(change, at);
    assert.deepEqual(
      decodeElements([{ ...made, payload }]).map(({ comment }) => comment),
      [expected],
    );
  }
});

test("a damaged dump gives no more elements than there are, or an error", () => {
  const [made] = asDump(encodeBatch(createElements(REF, [element(1, "abc"), element(2, "def")])));
  assert.ok(made);
  fc.assert(
    fc.property(fc.nat(made.payload.length - 1), fc.nat(255), (at, value) => {
      const payload = made.payload.slice();
      payload[at] = value;
      try {
        assert.ok(decodeElements([{ ...made, payload }]).length <= 2);
        decodeSets([{ ...made, type: NFT_MSG.NEWSET, payload }]);
      } catch (error) {
        assert.ok(error instanceof NetlinkFormatError, String(error));
      }
    }),
  );
});

test("comments that nft would not print, or not whole, are refused", () => {
  for (const comment of ['"', "x".repeat(128), "a\nb", "ü"]) {
    assert.throws(() => encodeBatch(createElements(REF, [element(1, comment)])), /comment of \d+ characters.*127/);
  }
});

test("no elements make no message, and what is asked for is one request each", () => {
  assert.deepEqual([...createElements(REF, []), ...deleteElements(REF, [])], []);
  assert.equal(deleteElements(REF, new Array(257).fill(element(1, "").ip)).length, 2);
  assert.equal(parseMessages(encodeGetSets("inet", REF.table)).length, 1);
  assert.equal(parseMessages(encodeGetElements(REF)).length, 1);
});

function element(last: number, comment: string): SetElement {
  return { ip: { family: 4, bytes: Uint8Array.of(10, 0, 0, last) }, comment };
}

function indexOf(bytes: Uint8Array, part: readonly number[]): number {
  const at = bytes.findIndex((_, index) => part.every((byte, offset) => bytes[index + offset] === byte));
  assert.ok(at >= 0);
  return at;
}
