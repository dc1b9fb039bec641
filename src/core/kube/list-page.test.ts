import assert from "node:assert/strict";
import { test } from "node:test";
import { KubeApiError } from "./kube-api-error.ts";
import { createListPageReader, type ListPage, type ListPageBounds } from "./list-page.ts";
import { type Namespace, parseNamespace } from "./namespace.ts";

const bytes = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const shop = { metadata: { name: "shop", uid: "u1", resourceVersion: "5" } };
const broken = { metadata: { name: "broken", uid: "u2", resourceVersion: "6", labels: [] } };

function read(
  body: Uint8Array,
  bounds: Partial<ListPageBounds> = {},
  parse: (value: unknown) => Namespace = parseNamespace,
): ListPage<Namespace> {
  const reader = createListPageReader(parse, { maxItemBytes: 1000, maxItems: 10, ...bounds });
  for (let at = 0; at < body.length; at += 7) reader.push(body.subarray(at, at + 7));
  return reader.end();
}

test("createListPageReader() reads objects, version and continue token", () => {
  const page = read(bytes({ kind: "NamespaceList", metadata: { resourceVersion: "9", continue: "t" }, items: [shop] }));
  assert.deepEqual(
    page.objects.map(({ name }) => name),
    ["shop"],
  );
  assert.deepEqual([page.resourceVersion, page.continueToken, page.unreadable], ["9", "t", []]);
});

test("createListPageReader() reads a list whose items are null or absent as empty", () => {
  for (const items of [null, undefined, []]) {
    assert.deepEqual(read(bytes({ metadata: { resourceVersion: "1" }, items })).objects, []);
  }
});

test("createListPageReader() names an object it cannot read and reads the others", () => {
  const page = read(bytes({ metadata: { resourceVersion: "9" }, items: [broken, shop, {}] }));
  assert.deepEqual(
    page.objects.map(({ name }) => name),
    ["shop"],
  );
  assert.deepEqual(
    page.unreadable.map(({ uid }) => uid),
    ["u2", ""],
  );
  assert.match(page.unreadable[0]?.message ?? "", /metadata.labels must be a JSON object.*\/broken/);
});

test("createListPageReader() lets a defect of the parser through", () => {
  const defective = (): never => {
    throw new TypeError("defect");
  };
  assert.throws(() => read(bytes({ metadata: { resourceVersion: "9" }, items: [shop] }), {}, defective), TypeError);
});

test("createListPageReader() refuses an item and a number of items above its bounds", () => {
  const body = bytes({ items: [shop, shop], metadata: { resourceVersion: "9" } });
  assert.equal(read(body, { maxItems: 2 }).objects.length, 2);
  const code = "KUBE_API_TOO_LARGE";
  assert.throws(() => read(body, { maxItems: 1 }), { code, message: /more than 1 items/ });
  assert.throws(() => read(body, { maxItemBytes: 50 }), { code, message: /larger than 50 bytes/ });
});

const garbage: readonly (readonly [what: string, body: Uint8Array, message: RegExp])[] = [
  ["nothing", bytes(""), /the answer is empty/],
  ["HTML", bytes("<html>\n<body>502 Bad Gateway"), /the answer is "<html>/],
  ["half a list", bytes('{"items":[{"metadata":{}}'), /the answer is "{\\"items\\":\["/],
  ["half an item", bytes('{"items":[{"metadata'), /the answer is/],
  ["an item that is no JSON", bytes('{"items":[{a}]}'), /Cannot read an item of a list: the answer is not JSON/],
  ["bytes that are no UTF-8", new Uint8Array([...bytes('{"a":"'), 0xff, ...bytes('"}')]), /not JSON/],
  ["JSON of another kind", bytes({ kind: "Status" }), /metadata.resourceVersion: .*Status/],
  ["a number", bytes("7"), /the answer is "7"/],
  ["a list without version", bytes({ metadata: {}, items: [] }), /metadata.resourceVersion/],
  [
    "items that are an object",
    bytes({ metadata: { resourceVersion: "1" }, items: { a: 1 } }),
    /metadata.resourceVersion/,
  ],
  ["two sets of items", bytes('{"metadata":{"resourceVersion":"1"},"items":[],"items":7}'), /metadata.resourceVersion/],
];
for (const [what, body, message] of garbage) {
  test(`createListPageReader() refuses ${what} as garbage`, () => {
    assert.throws(
      () => read(body),
      (error) => error instanceof KubeApiError && error.code === "KUBE_API_GARBAGE" && message.test(error.message),
    );
  });
}
