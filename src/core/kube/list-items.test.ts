import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createListItems, type ListItemsState } from "./list-items.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function cut(body: Uint8Array, size: number, maxBytes = 1000) {
  const list = createListItems(maxBytes);
  const items: string[] = [];
  for (let at = 0; at < body.length; at += size) items.push(...list.push(body.subarray(at, at + size)).map(decode));
  return { items, envelope: decode(list.envelope()), state: list.state() };
}

test("createListItems() gives the items one by one and the list without them, however the bytes are cut", () => {
  const body = encode(`{ "kind":"PodList", "metadata":{"items":[7],"resourceVersion":"1","x":"items"},
    "items" : [ {"a":"]}\\"\\\\"} , {"items":[1,{"b":2,"é":"\\u005c"}]},
{} ] , "tail":{"items":[{}]} }\n`);
  for (let size = 1; size <= body.length; size += 1) {
    const { items, envelope, state } = cut(body, size);
    assert.deepEqual(
      items.map((item) => JSON.parse(item)),
      [{ a: ']}"\\' }, { items: [1, { b: 2, é: "\\" }] }, {}],
      `cut into ${size}`,
    );
    assert.deepEqual(JSON.parse(envelope), {
      kind: "PodList",
      metadata: { items: [7], resourceVersion: "1", x: "items" },
      items: [],
      tail: { items: [{}] },
    });
    assert.equal(state, "complete");
  }
});

test("createListItems() leaves a list without items as it is", () => {
  for (const text of [
    "{}",
    '{"items":null}',
    '{"items":[]}',
    '{"item":[1]}',
    '{"s":"items","t":[1]}',
    '{"items":"items","a":[{}]}',
  ]) {
    assert.deepEqual(cut(encode(text), 3), { items: [], envelope: text, state: "complete" }, text);
  }
});

const states: readonly (readonly [text: string, state: ListItemsState])[] = [
  ["", "open"],
  [" {", "open"],
  ['{"items":[{"a":1}', "open"],
  ["<html>", "malformed"],
  ["[]", "malformed"],
  ["7", "malformed"],
  ['{"items":[1]}', "malformed"],
  ['{"items":["a"]}', "malformed"],
  ['{"items":[{},]}', "malformed"],
  ['{"items":[{},,{}]}', "malformed"],
  ['{"items":[,{}]}', "malformed"],
  ['{"items":[{} {}]}', "malformed"],
  ['{"items":[{}],"items":[{},{}]}', "complete"],
];
for (const [text, state] of states) {
  test(`createListItems() says of ${JSON.stringify(text)} that it is ${state}`, () => {
    for (const size of [1, 1000]) assert.equal(cut(encode(text), size).state, state);
  });
}

test("createListItems() leaves what follows the list to the parser of the envelope", () => {
  for (const text of ['{"items":[{}]}{}', "{} x"]) {
    const { state, envelope } = cut(encode(text), 3);
    assert.equal(state, "complete");
    assert.throws(() => JSON.parse(envelope), SyntaxError);
  }
});

test("createListItems() bounds each item and what is around them, not the list", () => {
  const item = JSON.stringify({ a: "x".repeat(40) });
  const many = encode(`{"items":[${Array.from({ length: 50 }, () => item).join(",")}]}`);
  assert.deepEqual([cut(many, 7, item.length).state, cut(many, 7, item.length).items.length], ["complete", 50]);
  assert.equal(cut(many, 7, item.length - 1).state, "too-large");
  assert.equal(cut(encode(`{"a":"${"x".repeat(100)}"}`), 7, 50).state, "too-large");
});

test("createListItems() ends for any bytes", () => {
  const nearly = fc
    .string({ unit: fc.constantFrom(...'{}[]",:\\ itemsn1') })
    .map((tail) => encode(`{"items":[${tail}`));
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 40 }), nearly);
  fc.assert(fc.property(bytes, fc.integer({ min: 1, max: 50 }), (body, size) => cut(body, size).state !== undefined));
});

test("createListItems() agrees with JSON.parse for every list of objects", () => {
  const item = fc.dictionary(fc.string(), fc.jsonValue());
  const list = fc.record({ before: fc.jsonValue(), items: fc.array(item), after: fc.jsonValue() });
  const indents = fc.constantFrom(0, 2, "\t");
  fc.assert(
    fc.property(list, indents, fc.integer({ min: 1, max: 50 }), (value, indent, size) => {
      const text = JSON.stringify(value, null, indent);
      const expected: { items: unknown[] } = JSON.parse(text);
      const { items, envelope, state } = cut(encode(text), size, 100_000);
      assert.equal(state, "complete");
      assert.deepEqual(JSON.parse(envelope), { ...expected, items: [] });
      assert.deepEqual(
        items.map((part) => JSON.parse(part)),
        expected.items,
      );
    }),
  );
});
