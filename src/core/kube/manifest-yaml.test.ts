import assert from "node:assert/strict";
import { test } from "node:test";
import { parseManifestText } from "./manifest-yaml.ts";
import { PlainYamlError } from "./plain-yaml.ts";

/** Without the missing prototypes of what was read. */
function read(text: string): unknown {
  return JSON.parse(JSON.stringify(parseManifestText(text)));
}

test("parseManifestText() reads several documents, and leaves out those with nothing in them", () => {
  assert.deepEqual(read("# head\n---\na: 1\n---\n---\n# nothing\n...\n---  # second\nb: 2\n"), [
    { a: "1" },
    { b: "2" },
  ]);
  assert.deepEqual(read(""), []);
  assert.deepEqual(read("\ufeffa: 1\r\nb: |\r\n  x\r\n  y\r\n"), [{ a: "1", b: "x\ny\n" }]);
});

test("parseManifestText() reads JSON with its numbers and booleans as texts, and flow YAML that looks like it", () => {
  assert.deepEqual(read('{"a": [1, true, null, "x\\ny"], "b": {}}'), [{ a: ["1", "true", null, "x\ny"], b: {} }]);
  assert.deepEqual(read("{a: [x, 'y'],\n b: {c: it's}}"), [{ a: ["x", "y"], b: { c: "it's" } }]);
});

test("parseManifestText() reads block scalars, literal and folded, with every way to end them", () => {
  const text = `
args:
- |
  set -e

    echo "a: b" # no comment
  exit
- |-
  one
- |+
  one

- >
  folds two
  lines

  and keeps
    what is indented
  further
- >-
  one
last: |2
   indented by one
`;
  assert.deepEqual(read(text), [
    {
      args: [
        'set -e\n\n  echo "a: b" # no comment\nexit\n',
        "one",
        "one\n\n",
        "folds two lines\nand keeps\n  what is indented\nfurther\n",
        "one",
      ],
      last: " indented by one\n",
    },
  ]);
});

test("parseManifestText() reads scalars over several lines, as kubectl wraps them", () => {
  const text = `
plain: two
  lines

  and a break
single: 'it''s
  one

  text: # all'
double: "one\\
  \\ \\"text\\"
  \\x41\\u00e9\\U0001F600"
next: 'short' # comment
`;
  assert.deepEqual(read(text), [
    { plain: "two lines\nand a break", single: "it's one\ntext: # all", double: 'one "text" Aé😀', next: "short" },
  ]);
});

test("parseManifestText() leaves what stands in block scalars and flow collections alone", () => {
  const text = `
script: |
  key: "unclosed
  - [
  ---x
list: [a, "b: c",
  "d | e"]
after: yes
`;
  assert.deepEqual(read(text), [{ script: 'key: "unclosed\n- [\n---x\n', list: ["a", "b: c", "d | e"], after: "yes" }]);
});

test("parseManifestText() refuses what it does not read, with the line in the whole text", () => {
  const refused = (text: string): string => {
    try {
      return `read: ${JSON.stringify(parseManifestText(text))}`;
    } catch (error) {
      assert.ok(error instanceof PlainYamlError, String(error));
      return `${error.line} ${error.detail}`;
    }
  };
  assert.equal(refused("a: 1\n---\nb: &x 1\n"), "3 has a value that begins with &");
  assert.equal(refused("a: |\n  x\n  y\nb: *x\n"), "4 has a value that begins with *");
  assert.equal(refused("a: 1\na: 2\n"), "2 repeats the key a");
  assert.equal(refused('a: "open\n  and so on\n'), "1 has a quoted text without its end");
  assert.equal(refused("a: 'x\n  y' z\n"), "1 has text after a quote");
  assert.match(refused("a: b\n  c: d\n"), /^2 /);
  assert.equal(refused('a: "x\n  \\q"\n'), "1 has a quoted text with an escape that YAML does not know");
  assert.match(refused("--- text\n"), /^1 has text after ---/);
  assert.match(refused(`${"---\na: 1\n".repeat(1001)}`), /begins document 1001/);
  assert.match(refused(`a: ${"[".repeat(5000)}`), /nested deeper/);
});
