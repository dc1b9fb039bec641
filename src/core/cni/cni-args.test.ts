import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseCniArgs } from "./cni-args.ts";

const NOBODY = { podName: undefined, podNamespace: undefined, podUid: undefined, infraContainerId: undefined };

describe("parseCniArgs()", () => {
  it("reads what containerd passes", () => {
    const text = "K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u1;IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web-0";
    assert.deepEqual(parseCniArgs(text), {
      podName: "web-0",
      podNamespace: "ns",
      podUid: "u1",
      infraContainerId: "c1",
    });
  });

  it("knows nobody in an empty text, and in empty values", () => {
    assert.deepEqual(parseCniArgs(""), NOBODY);
    assert.deepEqual(parseCniArgs("K8S_POD_NAME="), NOBODY);
  });

  it("takes the last of repeated keys", () => {
    assert.equal(parseCniArgs("K8S_POD_NAME=a;K8S_POD_NAME=b").podName, "b");
  });

  it("ignores unknown keys with IgnoreUnknown, wherever it stands", () => {
    for (const value of ["1", "true", "TRUE"])
      assert.deepEqual(parseCniArgs(`toString=1;IgnoreUnknown=${value}`), NOBODY);
  });

  for (const text of [
    "K8S_POD_NAME",
    "K8S_POD_NAME=a=b",
    "K8S_POD_NAME=a;",
    "X=1",
    "X=1;IgnoreUnknown=0",
    "IgnoreUnknown=yes",
    "IgnoreUnknown=",
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseCniArgs(text), { name: "CniError", code: 4, message: /^Cannot read CNI_ARGS: / });
    });
  }
});
