import assert from "node:assert/strict";
import { test } from "node:test";
import { cutText, quoteText } from "./short-text.ts";

test("a text is cut behind as many characters as are wanted, and says so", () => {
  assert.deepEqual(
    ["", "abc", "abcd"].map((text) => cutText(text, 3)),
    ["", "abc", "abc…"],
  );
});

test("a quoted text is on one line whatever is in it, half of a pair of surrogates too", () => {
  assert.equal(quoteText('a"\n\u0000'), '"a\\"\\n\\u0000"');
  assert.equal(quoteText("x".repeat(81)), `"${"x".repeat(80)}…"`);
  assert.equal(quoteText("a😀", 2), '"a\\ud83d…"');
});
