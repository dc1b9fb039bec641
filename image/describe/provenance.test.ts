import assert from "node:assert/strict";
import { test } from "node:test";
import { readBuilderId } from "./provenance.ts";

test("readBuilderId() takes what a CI service names itself, and else says that it is nobody's builder", () => {
  const workflow = "https://ci.example.org/team/project/workflows/images.yaml@refs/heads/main";
  assert.equal(readBuilderId(workflow), workflow);
  assert.equal(readBuilderId(""), "https://istio-install-cni.invalid/builders/local");
});

for (const value of ["ci", "http://ci.example.org", "git+https://ci.example.org", " "]) {
  test(`readBuilderId() refuses ${JSON.stringify(value)}`, () => {
    assert.throws(() => readBuilderId(value), /IMAGE_BUILDER_ID is .* no https URL/);
  });
}
