// The three patch forms, in the corners the recorded transcript does not reach.
import { deepEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { applyPatch } from "./patch.ts";

const json = (document: object, patch: unknown): unknown =>
  applyPatch({ ...document }, patch, "application/json-patch+json");
const merge = (document: object, patch: unknown): unknown =>
  applyPatch({ ...document }, patch, "application/merge-patch+json");
const strategic = (document: object, patch: unknown): unknown =>
  applyPatch({ ...document }, patch, "application/strategic-merge-patch+json");

test("a merge patch replaces lists, merges objects and removes nulls, however deep", () => {
  deepEqual(merge({ a: { b: 1, c: [1, 2] } }, { a: { b: null, c: [3], d: { e: null, f: 1 } } }), {
    a: { c: [3], d: { f: 1 } },
  });
});

test("a JSON patch adds, removes, moves, copies and tests", () => {
  const document = { list: [1, 2], map: { "a/b": 1, "c~d": 2 } };
  const patch = [
    { op: "test", path: "/map/a~1b", value: 1 },
    { op: "add", path: "/list/1", value: 9 },
    { op: "add", path: "/list/-", value: 10 },
    { op: "remove", path: "/list/0" },
    { op: "move", from: "/map/c~0d", path: "/moved" },
    { op: "copy", from: "/list", path: "/copied" },
    { op: "replace", path: "/map/a~1b", value: { deep: true } },
  ];
  deepEqual(json(document, patch), { list: [9, 2, 10], map: { "a/b": { deep: true } }, moved: 2, copied: [9, 2, 10] });
  deepEqual(document, { list: [1, 2], map: { "a/b": 1, "c~d": 2 } }, "the document itself is left alone");
});

test("a JSON patch that does not apply is refused with 422", () => {
  const bad = [
    { op: "test", path: "/a", value: 2 },
    { op: "remove", path: "/none" },
    { op: "replace", path: "/none", value: 1 },
    { op: "add", path: "/none/below", value: 1 },
    { op: "add", path: "/list/7", value: 1 },
    { op: "move", from: "/none", path: "/a" },
    { op: "dance", path: "/a" },
    { op: "add" },
  ];
  for (const operation of bad)
    throws(() => json({ a: 1, list: [] }, [operation]), { code: 422 }, JSON.stringify(operation));
});

test("a strategic merge patch merges known lists by key and obeys its directives", () => {
  const pod = {
    spec: {
      containers: [
        { name: "a", image: "1" },
        { name: "b", image: "1" },
      ],
    },
    metadata: { finalizers: ["x"] },
  };
  deepEqual(
    strategic(pod, {
      spec: { containers: [{ name: "b", image: "2" }, { name: "c" }] },
      metadata: { finalizers: ["y", "x"] },
    }),
    {
      spec: { containers: [{ name: "a", image: "1" }, { name: "b", image: "2" }, { name: "c" }] },
      metadata: { finalizers: ["x", "y"] },
    },
  );
  deepEqual(strategic(pod, { spec: { containers: [{ name: "a", $patch: "delete" }] } }), {
    ...pod,
    spec: { containers: [{ name: "b", image: "1" }] },
  });
  deepEqual(strategic(pod, { spec: { $patch: "replace", nodeName: "n" } }), { ...pod, spec: { nodeName: "n" } });
  deepEqual(strategic(pod, { metadata: { "$deleteFromPrimitiveList/finalizers": ["x"] } }), {
    ...pod,
    metadata: { finalizers: [] },
  });
  throws(() => strategic(pod, { spec: { containers: [{ image: "2" }] } }), { code: 400 });
});
