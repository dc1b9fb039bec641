// Versions, snapshots and compaction of the store.
import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import { plainPod } from "./pod-fixtures.ts";
import { createStore } from "./store.ts";

const names = (objects: readonly { metadata: { name: string } }[] | undefined): string | undefined =>
  objects?.map((object) => object.metadata.name).join(" ");

test("listAt() shows the objects as they were", () => {
  const store = createStore({ historyLimit: 100, firstRevision: 10 });
  store.put("pods", plainPod({ name: "b" }));
  store.put("pods", plainPod({ name: "a" }));
  const then = store.revision();
  store.put("pods", plainPod({ name: "c" }));
  store.remove("pods", "default/b");
  store.put("pods", plainPod({ name: "a", labels: { new: "yes" } }));
  equal(names(store.list("pods")), "a c");
  const earlier = store.listAt("pods", then);
  equal(names(earlier), "a b");
  equal(earlier?.[0]?.metadata.labels?.["new"], undefined);
});

test("a write that changes nothing makes no version and no event", () => {
  const store = createStore({ historyLimit: 100, firstRevision: 10 });
  const pod = store.put("pods", plainPod({ name: "a" }));
  equal(store.put("pods", { ...pod, metadata: { ...pod.metadata, resourceVersion: "1" } }), pod);
  equal(store.since(10)?.length, 1);
});

test("compact() forgets every version handed out", () => {
  const store = createStore({ historyLimit: 100, firstRevision: 10 });
  store.put("pods", plainPod({ name: "a" }));
  const before = store.revision();
  store.compact();
  deepEqual([store.since(before), store.listAt("pods", before)], [undefined, undefined]);
  deepEqual([store.since(store.revision()), names(store.listAt("pods", store.revision()))], [[], "a"]);
});

test("the history is bounded", () => {
  const store = createStore({ historyLimit: 5, firstRevision: 10 });
  for (let write = 0; write < 100; write += 1) store.put("pods", plainPod({ name: `p${write}` }));
  equal(store.since(11), undefined);
  equal(store.since(store.revision() - 3)?.length, 3);
});

test("what leaves the store cannot be edited", () => {
  const store = createStore({ historyLimit: 5, firstRevision: 10 });
  const pod = store.put("pods", plainPod({ name: "a" }));
  throws(() => Object.assign(pod.metadata.labels ?? {}, { a: "b" }), TypeError);
});
