import assert from "node:assert/strict";
import { test } from "node:test";
import { isForAdd } from "./stand-in.ts";

test("isForAdd() leaves out what is known to come after the answer, and nothing else", () => {
  assert.equal(isForAdd("patch pods", ["patch pods"]), false);
  assert.equal(isForAdd("get pods", ["patch pods"]), true);
});

test("isForAdd() leaves out Events alone: what reads or changes a pod counts", () => {
  assert.equal(isForAdd("create events"), false);
  for (const request of ["get pods", "patch pods", "list pods", "create pods", "watch namespaces"])
    assert.equal(isForAdd(request), true, request);
});
