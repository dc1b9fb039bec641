import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { absolutePath, BOOL, duration, FILE_MODE, integer } from "./value-type.ts";

describe("BOOL", () => {
  it("accepts what strconv.ParseBool accepts and nothing else", () => {
    for (const text of ["1", "t", "T", "TRUE", "true", "True"]) assert.equal(BOOL.parse(text), true);
    for (const text of ["0", "f", "F", "FALSE", "false", "False"]) assert.equal(BOOL.parse(text), false);
    for (const text of ["", "yes", "on", "tRUE", " true", "2", "null"]) assert.equal(BOOL.parse(text), undefined, text);
  });
});

describe("integer()", () => {
  const type = integer(-100, 1000);
  it("reads Go's prefixes", () => {
    const values: [string, number][] = [
      ["0", 0],
      ["600", 600],
      ["0600", 384],
      ["0o600", 384],
      ["0O17", 15],
      ["0x1F", 31],
      ["0b101", 5],
      ["-5", -5],
      ["+5", 5],
      ["00", 0],
      ["-0", 0],
    ];
    for (const [text, value] of values) assert.ok(Object.is(type.parse(text), value), `${text} → ${type.parse(text)}`);
  });
  it("refuses everything else", () => {
    for (const text of ["", " 1", "1 ", "1.0", "1e2", "0x", "0o8", "08", "1_000", "--1", "NaN", "Infinity", "١"]) {
      assert.equal(type.parse(text), undefined, text);
    }
    for (const text of ["1001", "-101", "9".repeat(400)]) assert.equal(type.parse(text), undefined, text);
  });
});

describe("FILE_MODE", () => {
  it("shows octal and warns of what looks like it", () => {
    assert.equal(FILE_MODE.render(0o600), "0600");
    assert.equal(FILE_MODE.render(0), "0000");
    assert.equal(FILE_MODE.parse("600"), 600);
    assert.equal(FILE_MODE.parse("010000"), undefined);
    assert.match(FILE_MODE.caution?.("644") ?? "", /mode 01204; write 0644/);
    assert.equal(FILE_MODE.caution?.("0644"), undefined);
  });
});

describe("duration()", () => {
  const type = duration(100, 110_000);
  it("reads Go's notation within its bounds", () => {
    assert.equal(type.parse("15s"), 15_000);
    assert.equal(type.parse("1m30s"), 90_000);
    assert.equal(type.parse("1.5s"), 1500);
    assert.equal(type.parse("250ms"), 250);
    for (const text of ["15", "", "s", "-1s", "1h", "2m", "99ms", "0s", `${"1s".repeat(40)}`]) {
      assert.equal(type.parse(text), undefined, text);
    }
  });
  it("shows what it reads", () => {
    for (const text of ["15s", "1m30s", "250ms", "1m", "1500ms"])
      assert.equal(type.render(type.parse(text) ?? 0), text);
  });
});

describe("absolutePath()", () => {
  it("takes the slashes off the end, and leaves the first one", () => {
    const path = fc.string({ unit: fc.constantFrom("/", "a", ".") }).map((rest) => `/${rest}`);
    fc.assert(fc.property(path, (text) => assert.equal(absolutePath().parse(text), text.replace(/(?!^)\/+$/, ""))));
  });
});
