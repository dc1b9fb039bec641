import assert from "node:assert/strict";
import { test } from "node:test";
import { KubeApiError } from "./kube-api-error.ts";
import { parseListPage } from "./list-page.ts";
import { parseNamespace } from "./namespace.ts";
import { parseWatchEvent } from "./watch-event.ts";

const bytes = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const shop = { metadata: { name: "shop", uid: "u1", resourceVersion: "5" } };
const broken = { metadata: { name: "broken", uid: "u2", resourceVersion: "6", labels: [] } };

test("parseListPage() reads objects, version and continue token", () => {
  const page = parseListPage(
    bytes({ kind: "NamespaceList", metadata: { resourceVersion: "9", continue: "t" }, items: [shop] }),
    parseNamespace,
  );
  assert.deepEqual(
    page.objects.map(({ name }) => name),
    ["shop"],
  );
  assert.deepEqual([page.resourceVersion, page.continueToken, page.unreadable], ["9", "t", []]);
});

test("parseListPage() reads a list whose items are null as empty", () => {
  assert.deepEqual(
    parseListPage(bytes({ metadata: { resourceVersion: "1" }, items: null }), parseNamespace).objects,
    [],
  );
});

test("parseListPage() names an object it cannot read and reads the others", () => {
  const page = parseListPage(bytes({ metadata: { resourceVersion: "9" }, items: [broken, shop, 7] }), parseNamespace);
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

test("parseListPage() lets a defect of the parser through", () => {
  const defective = (): never => {
    throw new TypeError("defect");
  };
  assert.throws(
    () => parseListPage(bytes({ metadata: { resourceVersion: "9" }, items: [shop] }), defective),
    TypeError,
  );
});

const garbage: readonly (readonly [what: string, body: Uint8Array, message: RegExp])[] = [
  ["nothing", bytes(""), /the answer is empty/],
  ["HTML", bytes("<html>\n<body>502 Bad Gateway"), /begins with "<html> <body>502 Bad Gateway"/],
  ["half a list", bytes('{"items":[{"metadata'), /not JSON/],
  ["bytes that are no UTF-8", new Uint8Array([0x22, 0xff, 0x22]), /not JSON/],
  ["JSON of another kind", bytes({ kind: "Status" }), /without items and metadata.resourceVersion/],
  ["a number", bytes("7"), /without items/],
  ["a list without version", bytes({ metadata: {}, items: [] }), /resourceVersion/],
];
for (const [what, body, message] of garbage) {
  test(`parseListPage() refuses ${what} as garbage`, () => {
    assert.throws(
      () => parseListPage(body, parseNamespace),
      (error) => error instanceof KubeApiError && error.code === "KUBE_API_GARBAGE" && message.test(error.message),
    );
  });
}

test("parseWatchEvent() reads added and modified objects alike", () => {
  for (const type of ["ADDED", "MODIFIED"]) {
    const event = parseWatchEvent(bytes({ type, object: shop }), parseNamespace);
    assert.equal(event.type === "upsert" && event.object.name, "shop");
    assert.equal(event.type === "upsert" && event.resourceVersion, "5");
  }
});

test("parseWatchEvent() reads a deletion with the last state, and without when that cannot be read", () => {
  const whole = parseWatchEvent(bytes({ type: "DELETED", object: shop }), parseNamespace);
  assert.equal(whole.type === "delete" && whole.object?.name, "shop");
  const event = parseWatchEvent(bytes({ type: "DELETED", object: broken }), parseNamespace);
  assert.deepEqual(event, { type: "delete", uid: "u2", resourceVersion: "6" });
});

test("parseWatchEvent() reads a bookmark", () => {
  const line = bytes({ type: "BOOKMARK", object: { kind: "Namespace", metadata: { resourceVersion: "77" } } });
  assert.deepEqual(parseWatchEvent(line, parseNamespace), { type: "bookmark", resourceVersion: "77" });
});

test("parseWatchEvent() reads the server's error as one with status and reason", () => {
  const status = { kind: "Status", code: 410, reason: "Expired", message: "too old resource version: 1 (9)" };
  const event = parseWatchEvent(bytes({ type: "ERROR", object: status }), parseNamespace);
  assert.ok(event.type === "error");
  assert.deepEqual([event.error.code, event.error.status, event.error.reason], ["KUBE_API_STATUS", 410, "Expired"]);
  const odd = parseWatchEvent(bytes({ type: "ERROR", object: {} }), parseNamespace);
  assert.equal(odd.type === "error" && odd.error.code, "KUBE_API_GARBAGE");
});

test("parseWatchEvent() passes on what it cannot read without ending the stream", () => {
  const unreadable = parseWatchEvent(bytes({ type: "MODIFIED", object: broken }), parseNamespace);
  assert.equal(unreadable.type === "unreadable" && unreadable.unreadable.resourceVersion, "6");
  const unknown = parseWatchEvent(bytes({ type: "RENAMED", object: shop }), parseNamespace);
  assert.match(unknown.type === "unreadable" ? unknown.unreadable.message : "", /its type is "RENAMED"/);
});

test("parseWatchEvent() refuses a line that is no event", () => {
  for (const line of ["{", "<html>", "[]", '{"type":"ADDED"}', '{"object":{}}']) {
    assert.throws(() => parseWatchEvent(bytes(line), parseNamespace), { code: "KUBE_API_GARBAGE" }, line);
  }
});
