import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type PlainYaml, PlainYamlError, parsePlainYaml } from "./plain-yaml.ts";

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test("parsePlainYaml() ends a key at the first colon behind which it can end", () => {
  const text = 'f:metadata:\n  k:{"name":"web"}:\n    .: {}\nurl: http://a:1/b\n';
  assert.deepEqual(plain(parsePlainYaml(text)), {
    "f:metadata": { 'k:{"name":"web"}': { ".": {} } },
    url: "http://a:1/b",
  });
});

test("parsePlainYaml() reads mappings, sequences and scalars as kubectl writes them", () => {
  const text = `---
# comment
a: 1
b:
- x: one # comment
  y: "two \\"2\\""
- 'it''s'
-
  z:
    deep: http://host:1/#frag
c: {}
d: []
"quoted key": true
e:
f: ~
g:
    - - nested
      - pair
h: base64==
`;
  assert.deepEqual(plain(parsePlainYaml(text)), {
    a: "1",
    b: [{ x: "one", y: 'two "2"' }, "it's", { z: { deep: "http://host:1/#frag" } }],
    c: {},
    d: [],
    "quoted key": "true",
    e: null,
    f: null,
    g: [["nested", "pair"]],
    h: "base64==",
  });
  assert.equal(parsePlainYaml("# nothing\n\n"), null);
});

const refusedYaml: readonly (readonly [what: string, text: string, line: number])[] = [
  ["a tab", "a:\n\tb: 1", 2],
  ["an anchor", "a: &x 1", 1],
  ["an alias", "a: *x", 1],
  ["a tag", "a: !!str 1", 1],
  ["a block scalar", "a: |\n  text", 1],
  ["a folded scalar", "a: >-\n  text", 1],
  ["a second document", "a: 1\n---\nb: 2", 2],
  ["a repeated key", "a: 1\na: 2", 2],
  ["a line that is no key", "a: 1\njust text", 2],
  ["an odd indent", "a:\n    b: 1\n  c: 2", 3],
  ["a continued scalar", "a: 1\n  more", 2],
  ["an open quote", 'a: "x', 1],
  ["text after a quote", 'a: "x" y', 1],
  ["an escape that is not JSON's", 'a: "\\x41"', 1],
  ["a colon in a plain value", "a: b: c", 1],
  ["a flow collection that does not end", "a: [1,\n  2", 2],
  ["a flow collection that ends otherwise", "a:\n  [1, 2}", 2],
  ["entries without a comma", "a: {b: 1\n  c: 2}", 2],
  ["a comma without entry", "a: [1,, 2]", 1],
  ["a flow mapping's key without value", "a: {b: 1, c}", 1],
  ["a missing blank in a flow mapping", "a: {b:1}", 1],
  ["a pair in a flow sequence", "a: [b: 1]", 1],
  ["a key repeated in a flow mapping", "a: {b: 1, 'b': 2}", 1],
  ["a quote over two lines", 'a: ["b\n  c"]', 1],
  ["text after a closing bracket", "a: [1] 2", 1],
  ["an anchor within brackets", "a: [&x 1]", 1],
  ["an alias within brackets", "a: [*x]", 1],
  ["a bracket as key", "{a: 1}: 2", 1],
  ["a comment that eats the bracket", "a: [1 # ]", 1],
  ["too deep brackets", `a: ${"[".repeat(40)}${"]".repeat(40)}`, 1],
  ["too deep nesting", Array.from({ length: 40 }, (_, depth) => `${" ".repeat(depth)}a:`).join("\n"), 34],
];
for (const [what, text, line] of refusedYaml) {
  test(`parsePlainYaml() refuses ${what} and names the line`, () => {
    assert.throws(
      () => parsePlainYaml(text),
      (error) => error instanceof PlainYamlError && error.line === line,
    );
  });
}

test("parsePlainYaml() reads flow collections and JSON, over lines and with comments", () => {
  const text = `a: {b: 1, "c":[x, 'y, z', -1, ], d: , e: ~}  # comment`;
  assert.deepEqual(plain(parsePlainYaml(text)), { a: { b: "1", c: ["x", "y, z", "-1"], d: null, e: null } });
  const lines = `selectors:
  [ # first
    {
      key: istio.io/mode,   # a comma, and a comment
      url: http://host:1/#frag
    },
    # only a comment
    [] ]
next: after`;
  assert.deepEqual(plain(parsePlainYaml(lines)), {
    selectors: [{ key: "istio.io/mode", url: "http://host:1/#frag" }, []],
    next: "after",
  });
  const json = { a: [{ b: 'c\n"d"', e: [] }], "f:g": "", h: {} };
  for (const indent of [undefined, 2, "\t"]) {
    assert.deepEqual(plain(parsePlainYaml(JSON.stringify(json, undefined, indent))), json);
    assert.deepEqual(plain(parsePlainYaml(JSON.stringify([json], undefined, indent))), [json]);
  }
});

test("parsePlainYaml() reads a whole document of one scalar", () => {
  assert.deepEqual(
    ["", "null", "~", "x # y", "'# x'"].map((text) => parsePlainYaml(text)),
    [null, null, null, "x", "# x"],
  );
});

test("parsePlainYaml() refuses, where it is asked to, what other readers see as another value", () => {
  const ambiguous = ["yes", "No", "on", "OFF", "y", "N", "True", "FALSE", "1.10", "010", "0x1f", "1e3", "1_000", "+1"];
  ambiguous.push(".5", "5.", "0o17", "12:30", "2026-11-22", ".inf", "-.INF", ".nan", "1234567890123456");
  for (const text of ambiguous) {
    const keys = /^[A-Za-z0-9][^:]*$/.test(text) ? [`${text}: a`, `{${text}: a}`] : [];
    for (const document of [`a: ${text}`, `- ${text}`, `[${text}]`, `{a: ${text}}`, ...keys]) {
      const error = /line 1 has .* without quotes, which YAML may take for another value/;
      assert.throws(() => parsePlainYaml(document, { refusesAmbiguous: true }), error, document);
      assert.doesNotThrow(() => parsePlainYaml(document), document);
    }
    assert.deepEqual(plain(parsePlainYaml(`['${text}', "${text}"]`, { refusesAmbiguous: true })), [text, text]);
  }
  const same = [
    "true",
    "false",
    "0",
    "10",
    "-3",
    "1.5",
    "0.25",
    "a1",
    "v1.10",
    "1a-b",
    "istio.io/x",
    "none",
    "yesterday",
  ];
  for (const text of same) assert.equal(parsePlainYaml(text, { refusesAmbiguous: true }), text);
});

/** The same value as block text, as flow text or as JSON, mixed. */
function renderYaml(value: PlainYaml, style: () => number, indent = ""): string {
  if (value === null || typeof value === "string" || style() === 0) return JSON.stringify(value);
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    if (style() === 1)
      return `[ ${value.map((item) => renderFlow(item, style)).join(style() === 2 ? ",\n # x\n" : " , ")} ]`;
    return value.map((item) => `\n${indent}-${nest(item, style, indent)}`).join("");
  }
  const entries = Object.entries(value);
  if (entries.length === 0) return "{}";
  if (style() === 1) return renderFlow(value, style);
  return entries.map(([key, item]) => `\n${indent}${JSON.stringify(key)}:${nest(item, style, indent)}`).join("");
}

function nest(value: PlainYaml, style: () => number, indent: string): string {
  return ` ${renderYaml(value, style, `${indent}  `)}${style() === 3 ? " # comment" : ""}`.replace(/ +\n/g, "\n");
}

function renderFlow(value: PlainYaml, style: () => number): string {
  if (value === null || typeof value === "string") {
    return typeof value === "string" && /^[a-z]+$/.test(value) && value !== "null" ? value : JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map((item) => renderFlow(item, style)).join(", ")}]`;
  const entries = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${renderFlow(item, style)}`);
  return `{\n${entries.join(",\n")}\n}`;
}

test("parsePlainYaml() reads back what was written, in whatever mix of forms", () => {
  const text = fc.oneof(fc.stringMatching(/^[a-z]{1,5}$/), fc.string({ maxLength: 8 }));
  const key = text.filter((name) => name !== "__proto__");
  const { value } = fc.letrec<{ value: PlainYaml }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.oneof(text, fc.constant(null)),
      fc.array(tie("value"), { maxLength: 4 }),
      fc.dictionary(key, tie("value"), { maxKeys: 4 }),
    ),
  }));
  fc.assert(
    fc.property(value, fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 20 }), (wanted, styles) => {
      let at = 0;
      const document = renderYaml(wanted, () => styles[at++ % styles.length] ?? 0);
      assert.deepEqual(plain(parsePlainYaml(document)), plain(wanted), document);
    }),
    { numRuns: 400 },
  );
});

test("parsePlainYaml() ends with a value or its own error for any text", () => {
  const token = fc.constantFrom(..."- : , [ ] { } ' \" # \n \t ~ a 1".split(" "), " ", "  ", ": ", "- ", "\n  ");
  fc.assert(
    fc.property(fc.array(token, { maxLength: 40 }), (tokens) => {
      try {
        parsePlainYaml(tokens.join(""));
      } catch (error) {
        assert.ok(error instanceof PlainYamlError, String(error));
        assert.ok(error.line >= 1 && error.line <= tokens.join("").split("\n").length);
      }
    }),
    { numRuns: 2000 },
  );
});

test("parsePlainYaml() takes time in proportion to the text", { timeout: 120_000 }, () => {
  const size = 500_000;
  const accepted = [`a${" ".repeat(size)}b`, `a: [${"x,".repeat(size)}]`, "- [x, {}]\n".repeat(size / 5)];
  const refused = ["[".repeat(size), "- ".repeat(size), `a${" ".repeat(size)}: b: c`, `[${"x ".repeat(size)}`];
  for (const text of accepted) assert.doesNotThrow(() => parsePlainYaml(text));
  for (const text of refused) assert.throws(() => parsePlainYaml(text), PlainYamlError);
});
