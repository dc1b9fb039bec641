import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNamespace } from "./namespace.ts";
import { parseWatchEvent } from "./watch-event.ts";

const bytes = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const shop = { metadata: { name: "shop", uid: "u1", resourceVersion: "5" } };
const broken = { metadata: { name: "broken", uid: "u2", resourceVersion: "6", labels: [] } };

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
