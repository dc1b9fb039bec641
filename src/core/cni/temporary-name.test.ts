import assert from "node:assert/strict";
import { test } from "node:test";
import { nameBehind, temporaryName } from "./temporary-name.ts";

test("nameBehind() finds what temporaryName() was made of, and takes nothing else for ours", () => {
  for (const name of ["10-calico.conflist", "plugin-state", "", "a.istio-cni-tmp.0123456789ab"]) {
    assert.equal(nameBehind(temporaryName(name, "0123456789ab")), name);
  }
  for (const name of [
    "10-calico.conflist",
    "x.istio-cni-tmp.",
    "x.istio-cni-tmp.0123456789AB",
    "istio-cni.tmp.123456789012",
  ]) {
    assert.equal(nameBehind(name), undefined, name);
  }
});
