import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { plain } from "../../../testbed/random-matches.ts";
import {
  attributeMap,
  NetlinkFormatError,
  parseAttributes,
  parseMessages,
  readNumber,
  readString,
  readU32be,
} from "./message.ts";
import { NetlinkWriter, NLA_F_NESTED } from "./writer.ts";

test("a message is written with its length, padded to four bytes, and read back", () => {
  const writer = new NetlinkWriter();
  writer.message({ type: 20, flags: 5, sequence: 7 }, () => {
    writer.attributeString(1, "lo");
    writer.nested(2, () => writer.attributeU32be(3, 0x01020304));
    writer.attributeU8(4, 9);
  });
  writer.message({ type: 21, flags: 0, sequence: 8 }, () => writer.attributeU32(5, 0x01020304));
  const bytes = writer.finish();
  assert.equal(
    Buffer.from(bytes).toString("hex"),
    "2c000000140005000700000000000000070001006c6f00000c00028008000300010203040500040009000000" +
      "180000001500000008000000000000000800050004030201",
  );
  const [first, second] = parseMessages(bytes);
  assert.ok(first && second);
  assert.deepEqual([first.type, first.flags, first.sequence, second.type], [20, 5, 7, 21]);
  const attributes = attributeMap(first.payload);
  assert.equal(readString(attributes.get(1) ?? new Uint8Array()), "lo");
  const nested = attributeMap(attributes.get(2) ?? new Uint8Array());
  assert.equal(readU32be(nested.get(3) ?? new Uint8Array()), 0x01020304);
  assert.equal(readNumber(attributes.get(4) ?? new Uint8Array()), 9);
  assert.equal(readNumber(attributeMap(second.payload).get(5) ?? new Uint8Array()), 0x01020304);
});

test("a message grows the buffer beyond its first size and an attribute cannot be longer than its length field says", () => {
  const writer = new NetlinkWriter();
  const large = new Uint8Array(60_000).fill(7);
  writer.message({ type: 1, flags: 0, sequence: 1 }, () => writer.attributeBytes(1, large));
  const [message] = parseMessages(writer.finish());
  assert.deepEqual(attributeMap(message?.payload ?? new Uint8Array()).get(1), large);
  assert.throws(() => new NetlinkWriter().attributeBytes(1, new Uint8Array(65_533)), RangeError);
});

test("lengths that do not fit what is there are refused, whatever the bytes", () => {
  const refused = ["00", "0f000000000000000000000000000000", "11000000000000000000000000000000", "ffffffff".repeat(4)];
  for (const text of refused) assert.throws(() => parseMessages(Buffer.from(text, "hex")), NetlinkFormatError, text);
  for (const text of ["00", "03000000", "09000100", "ffff0100"]) {
    assert.throws(() => parseAttributes(Buffer.from(text, "hex")), NetlinkFormatError, text);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const parse of [parseMessages, parseAttributes]) {
        try {
          parse(bytes);
        } catch (error) {
          assert.ok(error instanceof NetlinkFormatError);
        }
      }
    }),
  );
});

test("attributes are read back as written, in order and without the flags of their types", () => {
  const attribute = plain({ type: fc.integer({ min: 0, max: 0x3fff }), payload: fc.uint8Array({ maxLength: 40 }) });
  fc.assert(
    fc.property(fc.array(attribute), (attributes) => {
      const writer = new NetlinkWriter();
      for (const { type, payload } of attributes) writer.attributeBytes(type | NLA_F_NESTED, payload);
      const read = parseAttributes(writer.finish()).map(({ type, payload }) => ({
        type,
        payload: new Uint8Array(payload),
      }));
      assert.deepEqual(read, attributes);
    }),
  );
});

test("of attributes of the same type the map has the last", () => {
  const writer = new NetlinkWriter();
  for (const value of [1, 2]) writer.attributeBytes(7, Uint8Array.of(value));
  assert.deepEqual([...attributeMap(writer.finish())], [[7, Uint8Array.of(2)]]);
});

test("numbers are read as a DataView reads them, in every width, whatever lies around them", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 12, maxLength: 12 }), fc.integer({ min: 0, max: 8 }), (around, offset) => {
      const view = new DataView(around.buffer);
      const bytes = (width: number): Uint8Array => around.subarray(offset, offset + width);
      assert.equal(readNumber(bytes(1)), view.getUint8(offset));
      assert.equal(readNumber(bytes(2)), view.getUint16(offset, true));
      assert.equal(readNumber(bytes(4)), view.getUint32(offset, true));
      assert.equal(readU32be(bytes(4)), view.getUint32(offset, false));
    }),
  );
  for (const width of [0, 3, 5]) {
    assert.throws(() => readNumber(new Uint8Array(width)), NetlinkFormatError);
    assert.throws(() => readU32be(new Uint8Array(width)), NetlinkFormatError);
  }
});

test("a name is read byte by byte and written as it was read, whatever its bytes", () => {
  const names = fc.uint8Array({ maxLength: 40 }).map((bytes) => bytes.filter((byte) => byte !== 0));
  fc.assert(
    fc.property(names, names, (left, right) => {
      const written = (name: Uint8Array): Uint8Array => {
        const writer = new NetlinkWriter();
        writer.attributeString(1, readString(name));
        return attributeMap(writer.finish()).get(1) ?? new Uint8Array();
      };
      assert.deepEqual(written(left), Uint8Array.of(...left, 0));
      assert.equal(readString(left) === readString(right), Buffer.compare(left, right) === 0);
    }),
  );
  assert.notEqual(readString(Uint8Array.of(0xef, 0xbb, 0xbf, 0x6c, 0x6f)), "lo");
  assert.throws(() => new NetlinkWriter().attributeString(1, "\u0141"), RangeError);
});
