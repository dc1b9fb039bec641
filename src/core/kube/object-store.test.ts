import assert from "node:assert/strict";
import { test } from "node:test";
import { createObjectStore } from "./object-store.ts";

const object = (uid: string, name: string, resourceVersion = "1") => ({
  uid,
  name,
  namespace: "shop",
  resourceVersion,
});

test("createObjectStore() tells additions, updates and repetitions apart", () => {
  const store = createObjectStore(10);
  const first = object("u1", "a");
  const second = object("u1", "a", "2");
  assert.deepEqual(store.upsert(first), { type: "add", object: first });
  assert.equal(store.upsert(object("u1", "a")), undefined);
  assert.deepEqual(store.upsert(second), { type: "update", object: second, old: first });
  assert.deepEqual([store.get("u1"), store.byName("shop", "a"), store.size()], [second, second, 1]);
});

test("createObjectStore() deletes with the last state it was given, else with what it had", () => {
  const store = createObjectStore(10);
  const a = object("u1", "a");
  store.upsert(a);
  const last = object("u1", "a", "9");
  assert.deepEqual(store.remove("u1", last), { type: "delete", object: last });
  store.upsert(a);
  assert.deepEqual(store.remove("u1"), { type: "delete", object: a });
  assert.equal(store.remove("u1"), undefined);
  assert.deepEqual([store.byName("shop", "a"), store.list()], [undefined, []]);
});

test("createObjectStore() finds by name the newest of two, and the other when that is gone", () => {
  const store = createObjectStore(10);
  store.upsert(object("old", "a"));
  store.upsert(object("new", "a"));
  assert.equal(store.byName("shop", "a")?.uid, "new");
  store.remove("old");
  assert.equal(store.byName("shop", "a")?.uid, "new");
  store.upsert(object("third", "a"));
  store.remove("third");
  assert.equal(store.byName("shop", "a")?.uid, "new");
});

test("createObjectStore() removes at the end of a relist what the list did not bring", () => {
  const store = createObjectStore(10);
  for (const uid of ["stays", "gone", "kept", "deleted"]) store.upsert(object(uid, uid));
  store.beginReplace();
  store.upsert(object("stays", "stays"));
  store.upsert(object("fresh", "fresh"));
  store.keep("kept");
  store.remove("deleted");
  assert.deepEqual(store.endReplace(), [{ type: "delete", object: object("gone", "gone") }]);
  assert.deepEqual(
    store.list().map(({ uid }) => uid),
    ["stays", "kept", "fresh"],
  );
  assert.deepEqual(store.endReplace(), [], "without a relist under way nothing is removed");
});

test("createObjectStore() begins a relist anew without forgetting anything", () => {
  const store = createObjectStore(10);
  store.upsert(object("a", "a"));
  store.beginReplace();
  store.beginReplace();
  store.upsert(object("a", "a"));
  assert.deepEqual(store.endReplace(), []);
});

test("createObjectStore() refuses what exceeds its bound and goes on updating the rest", () => {
  const store = createObjectStore(1);
  store.upsert(object("a", "a"));
  assert.equal(store.upsert(object("b", "b")), "full");
  assert.equal(store.byName("shop", "b"), undefined);
  const change = store.upsert(object("a", "a", "2"));
  assert.equal(change !== "full" && change?.type, "update");
});
