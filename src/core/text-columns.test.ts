import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { printable, renderAge, renderColumns, renderJson, renderSpan } from "./text-columns.ts";

describe("text for terminals", () => {
  it("has nothing that a terminal obeys", () => {
    assert.equal(printable("a\u001b[31m\nb\u202e\u2028"), "a\\u{1b}[31m\\u{a}b\\u{202e}\\u{2028}");
  });

  it("has none in JSON either, and reads back as the same", () => {
    const document = { text: "a\u001b\u009b[31m\n\u202e\u2028\u{e0001}é😀" };
    const text = renderJson(document);
    assert.deepEqual(JSON.parse(text), document);
    assert.deepEqual(
      [...text].filter((character) => printable(character) !== character),
      ["\n", "\n", "\n"],
    );
    assert.match(text, /é😀/);
  });

  it("lines up its columns", () => {
    assert.equal(
      renderColumns(
        [
          ["a", { text: "bbb", colour: "red" }, "c"],
          ["aaa", "b", ""],
        ],
        false,
      ),
      "a    bbb  c\naaa  b\n",
    );
  });

  it("tells spans in the unit that is full", () => {
    assert.deepEqual([-1, 0, 119.9, 120, 7199, 7200, 172_799, 172_800].map(renderSpan), [
      "0s",
      "0s",
      "119s",
      "2m",
      "119m",
      "2h",
      "47h",
      "2d",
    ]);
    assert.deepEqual(
      [renderAge(null, "2026-01-02T03:04:05.000Z"), renderAge("nonsense", "2026-01-02T03:04:05.000Z")],
      ["-", "?"],
    );
  });
});
