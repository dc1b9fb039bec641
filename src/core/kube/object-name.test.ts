import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { NAMESPACE_NAME, OBJECT_NAME } from "./object-name.ts";

const letters = (count: number): string => "a".repeat(count);

describe("names of Kubernetes objects", () => {
  it("are those that the API server takes: the whole has a bound, its parts have none", () => {
    const hostName = `${letters(64)}.example.com`;
    for (const name of [
      "a",
      "0",
      "a-b",
      "a.b-c.0",
      letters(64),
      hostName,
      letters(253),
      `${letters(126)}.${letters(126)}`,
    ])
      assert.match(name, OBJECT_NAME);
    for (const name of [
      "",
      ".",
      "a.",
      ".a",
      "a..b",
      "-a",
      "a-",
      "a.-b",
      "a-.b",
      "A",
      "a_b",
      "a/b",
      "a\n",
      "ä",
      letters(254),
    ])
      assert.doesNotMatch(name, OBJECT_NAME);
  });

  it("are one word of at most 63 letters for a namespace", () => {
    for (const name of ["a", "0", "a-b", letters(63)]) assert.match(name, NAMESPACE_NAME);
    for (const name of ["", "a.b", "-a", "a-", "A", "a\n", letters(64)]) assert.doesNotMatch(name, NAMESPACE_NAME);
  });

  it("take no longer for a long text that is almost one", () => {
    assert.doesNotMatch(`${"a-".repeat(500_000)}!`, OBJECT_NAME);
    assert.doesNotMatch(`${"a-".repeat(126)}-`, OBJECT_NAME);
  });
});
