import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseJson } from "../json-value.ts";
import { findMember, type JsonNode, JsonScanError, MAX_JSON_DEPTH, scanJson } from "./json-scan.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

function toValue(node: JsonNode): unknown {
  switch (node.kind) {
    case "object":
      return Object.fromEntries(node.members.map(({ key, value }) => [key, toValue(value)]));
    case "array":
      return node.items.map(toValue);
    case "number":
      return Number(node.text);
    case "null":
      return null;
    default:
      return node.value;
  }
}

const isJson = (text: string): boolean => parseJson(text) !== undefined;

function isScanned(text: string): boolean {
  try {
    scanJson(encode(text));
    return true;
  } catch (error) {
    assert.ok(error instanceof JsonScanError);
    return false;
  }
}

describe("scanJson()", () => {
  it("reads every document as it was written", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), fc.nat(3), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent);
        assert.equal(JSON.stringify(toValue(scanJson(encode(text)))), JSON.stringify(value));
      }),
    );
  });

  it("accepts a damaged document exactly when JSON.parse does", () => {
    const damage = fc.record({
      at: fc.nat(),
      remove: fc.nat(3),
      insert: fc.constantFrom("", ",", "]", "}", '"', "\\", "0", "1.", "e", "\t", "\u0001", "tru", "-"),
    });
    fc.assert(
      fc.property(fc.jsonValue(), damage, (value, { at, remove, insert }) => {
        const text = JSON.stringify(value);
        const start = at % (text.length + 1);
        const damaged = text.slice(0, start) + insert + text.slice(start + remove);
        assert.equal(isScanned(damaged), isJson(damaged), JSON.stringify(damaged));
      }),
      { numRuns: 2000 },
    );
  });

  for (const text of [
    "",
    " ",
    "[1,]",
    '{"a":1,}',
    "{,}",
    "01",
    "1.",
    ".5",
    "+1",
    "nul",
    '"a',
    '"\\x"',
    '"\\u12"',
    '"\n"',
    "[1 2]",
    "{}{}",
    "'a'",
    "\ufeff{}",
    "NaN",
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.equal(isJson(text), false);
      assert.throws(() => scanJson(encode(text)), { name: "JsonScanError", code: "not-json" });
    });
  }

  it("tells where each value starts and ends, in bytes", () => {
    const bytes = encode('{ "é": [ 12345678901234567890 , {} ] }');
    const list = findMember(scanJson(bytes), "é");
    assert.ok(list?.kind === "array");
    const texts = list.items.map(({ start, end }) => new TextDecoder().decode(bytes.subarray(start, end)));
    assert.deepEqual(texts, ["12345678901234567890", "{}"]);
  });

  it("gives the last of repeated keys", () => {
    const node = findMember(scanJson(encode('{"a":1,"a":2}')), "a");
    assert.ok(node?.kind === "number");
    assert.equal(node.text, "2");
  });

  it("reads an escaped key as it stands after one that ended in a backslash, where JSON.parse errs (nodejs/node#63785)", () => {
    const before = '{"name":0,"\\\\":0}';
    const document = '{"name":0,"\\u0074ype":"istio-cni"}';
    JSON.parse(before);
    scanJson(encode(before));
    JSON.parse(document);
    assert.deepEqual(toValue(scanJson(encode(document))), { name: 0, type: "istio-cni" });
  });

  it("reads malformed UTF-8 in a string as the replacement character", () => {
    const node = scanJson(Uint8Array.of(0x22, 0xff, 0x22));
    assert.ok(node.kind === "string");
    assert.equal(node.value, "\ufffd");
  });

  it("refuses nesting beyond its bound and takes nesting up to it", () => {
    const nested = (depth: number): Uint8Array => encode("[".repeat(depth) + "]".repeat(depth));
    assert.doesNotThrow(() => scanJson(nested(MAX_JSON_DEPTH)));
    assert.throws(() => scanJson(nested(MAX_JSON_DEPTH + 1)), { code: "too-deep" });
    assert.throws(() => scanJson(nested(500_000)), { code: "too-deep" });
  });
});
