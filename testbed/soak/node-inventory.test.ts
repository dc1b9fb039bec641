import assert from "node:assert/strict";
import { test } from "node:test";
import { findMore, withoutForgotten } from "./node-inventory.ts";

test("findMore() tells what is there more often than before", () => {
  assert.deepEqual(findMore(["a", "a", "b"], ["a", "a", "a", "c"]), ["a", "c"]);
});

const LEFT = [
  "namespace /run/netns/cni-1",
  "mount /run/netns/cni-1",
  "namespace /run/netns/cni-2",
  "record /run/x.json",
];

test("withoutForgotten() passes by the namespaces that the runtime forgot, and nothing else", () => {
  const left = withoutForgotten(LEFT, new Set(["/run/netns/cni-1", "/run/x.json"]));
  assert.deepEqual(left, ["namespace /run/netns/cni-2", "record /run/x.json"]);
});

test("withoutForgotten() passes by nothing while the runtime knows a sandbox", () => {
  const left = [...LEFT, "sandbox 12"];
  assert.deepEqual(withoutForgotten(left, new Set(["/run/netns/cni-1"])), left);
});
