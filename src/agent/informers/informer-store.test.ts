import assert from "node:assert/strict";
import { test } from "node:test";
import { createInformerStore } from "./informer-store.ts";

const object = (uid: string, resourceVersion = "1") => ({ uid, name: uid, resourceVersion });
const never = new AbortController().signal;

function createStore(maxObjects = 10) {
  const reports: string[] = [];
  const changes: string[] = [];
  const store = createInformerStore<ReturnType<typeof object>>("things", maxObjects, {
    onReport: ({ what }) => reports.push(what),
    onChange: ({ type, object: { uid } }) => changes.push(`${type} ${uid}`),
  });
  return { ...store, reports, changes };
}

test("waitFor() resolves at once with what is there, and later with what comes or changes", async () => {
  const { objects, sink } = createStore();
  sink.upsert([object("a")]);
  assert.equal((await objects.waitFor(({ uid }) => uid === "a", never)).uid, "a");
  const added = objects.waitFor(({ uid }) => uid === "b", never);
  const updated = objects.waitFor(({ resourceVersion }) => resourceVersion === "2", never);
  sink.upsert([object("b"), object("a", "2")]);
  assert.deepEqual([(await added).uid, (await updated).uid], ["b", "a"]);
});

test("waitFor() does not take a deletion for an arrival", async () => {
  const { objects, sink } = createStore();
  sink.upsert([object("a")]);
  const abort = new AbortController();
  const waiting = objects.waitFor(({ resourceVersion }) => resourceVersion === "9", abort.signal);
  sink.remove("a", object("a", "9"));
  abort.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
});

test("waitFor() rejects with the signal's reason, and with what the match throws", async () => {
  const { objects, sink } = createStore();
  await assert.rejects(
    objects.waitFor(() => true, AbortSignal.abort(new Error("over"))),
    /over/,
  );
  const broken = objects.waitFor(() => {
    throw new TypeError("match");
  }, never);
  sink.upsert([object("a")]);
  await assert.rejects(broken, TypeError);
});

test("subscribe() tells changes in order until it is disposed of", () => {
  const { objects, sink } = createStore();
  const seen: string[] = [];
  const subscription = objects.subscribe((change) => seen.push(`${change.type} ${change.object.resourceVersion}`));
  sink.upsert([object("a"), object("a", "2"), object("a", "2")]);
  sink.remove("a", undefined);
  subscription[Symbol.dispose]();
  sink.upsert([object("b")]);
  assert.deepEqual(seen, ["add 1", "update 2", "delete 2"]);
});

test("a listener sees the store as it is after the change", () => {
  const { objects, sink } = createStore();
  const sizes: number[] = [];
  objects.subscribe(() => sizes.push(objects.size()));
  sink.upsert([object("a"), object("b")]);
  sink.remove("a", undefined);
  assert.deepEqual(sizes, [1, 2, 1]);
});

test("a listener that throws is reported and keeps nobody from hearing", () => {
  const { objects, sink, reports } = createStore();
  let heard = 0;
  objects.subscribe(() => {
    throw new Error("listener");
  });
  objects.subscribe(() => {
    heard += 1;
  });
  sink.upsert([object("a")]);
  assert.deepEqual([heard, reports], [1, ["listener-failed"]]);
});

test("a relist announces as deleted what was gone while nobody watched", () => {
  const { sink, changes } = createStore();
  sink.upsert([object("a"), object("b"), object("c")]);
  sink.beginReplace();
  sink.upsert([object("a"), object("d")]);
  sink.keep(["c"]);
  sink.endReplace();
  assert.deepEqual(changes.slice(3), ["add d", "delete b"]);
});

test("a full store says so once, keeps the rest right and takes more when there is room", () => {
  const { objects, sink, reports } = createStore(1);
  sink.upsert([object("a"), object("b"), object("c")]);
  assert.deepEqual([objects.size(), reports], [1, ["store-full"]]);
  sink.remove("a", undefined);
  sink.upsert([object("b"), object("c")]);
  assert.deepEqual([objects.list().map(({ uid }) => uid), reports], [["b"], ["store-full", "store-full"]]);
});

test("waitSynced() resolves with the first complete list and not before", async () => {
  const { objects, sink } = createStore();
  await assert.rejects(objects.waitSynced(AbortSignal.abort(new Error("early"))), /early/);
  const waiting = objects.waitSynced(never);
  assert.equal(objects.synced(), false);
  sink.synced();
  await waiting;
  await objects.waitSynced(never);
  assert.equal(objects.synced(), true);
});
