import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type Conflist, parseConf, type SingleConf } from "./conflist.ts";
import { hasOurEntry, toConflist, withOurEntry, withoutOurEntry } from "./edit-conflist.ts";
import type { PluginEntry } from "./plugin-entry.ts";

const ENTRY: PluginEntry = { capabilities: { x: true }, exclude_namespaces: ["kube-system"], type: "istio-cni" };
const OTHER_ENTRY: PluginEntry = { ...ENTRY, plugin_log_level: "debug" };

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

function list(content: string | Uint8Array): Conflist {
  const conf = parseConf("x.conflist", typeof content === "string" ? encode(content) : content);
  assert.ok(conf.kind === "list", conf.kind === "invalid" ? conf.reason : conf.kind);
  return conf;
}

function single(text: string): SingleConf {
  const conf = parseConf("x.conf", encode(text));
  assert.ok(conf.kind === "single");
  return conf;
}

const insert = (text: string, entry = ENTRY): string => decode(withOurEntry(list(text), entry));

describe("withOurEntry()", () => {
  const layouts: readonly [string, string][] = [
    ["two blanks", "two-blanks.conflist"],
    ["tabs and Windows line ends", "tabs-crlf.conflist"],
    ["one line", "one-line.conflist"],
    ["one plugin on each line", "plugin-per-line.conflist"],
    ["braces on the bracket's line", "hugging.conflist"],
  ];
  for (const [layout, file] of layouts) {
    it(`keeps to the layout of a file with ${layout}`, () => {
      const before = readFileSync(new URL(`testdata/${file}`, import.meta.url), "utf8");
      const after = readFileSync(new URL(`testdata/${file}.chained`, import.meta.url), "utf8");
      assert.equal(insert(before), after);
    });
  }

  it("keeps every other byte: large numbers, escapes, key order, malformed UTF-8", () => {
    const head = encode('{"name":"\\u003cx\\/>","big":12345678901234567890.10,"name2":"');
    const tail = encode('", "b":1,"a":2,"plugins":[{"type":"p"}]}\r\n\r\n');
    const bytes = Uint8Array.from([...head, 0xff, 0xfe, ...tail]);
    const edited = withOurEntry(list(bytes), ENTRY);
    const inserted = `,${JSON.stringify(ENTRY)}`;
    const at = bytes.length - encode("]}\r\n\r\n").length;
    assert.deepEqual([...edited], [...bytes.subarray(0, at), ...encode(inserted), ...bytes.subarray(at)]);
  });

  it("changes nothing when our object is there and right, in whatever order and layout", () => {
    const conf = list(
      '{"name":"n","plugins":[{"type":"p"},\n{ "type":"istio-cni", "exclude_namespaces":["kube-system"],\n"capabilities":{"x":true} }]}',
    );
    assert.equal(withOurEntry(conf, ENTRY), conf.bytes);
  });

  it("replaces our object where it stands, also when another vendor's plugin follows", () => {
    const text = '{"name":"n","plugins":[{"type":"p"}, {"type":"istio-cni","old":1}, {"type":"q"}]}';
    assert.equal(insert(text), `{"name":"n","plugins":[{"type":"p"}, ${JSON.stringify(ENTRY)}, {"type":"q"}]}`);
  });

  it("moves our object to the end when no plugin precedes it", () => {
    const text = '{"name":"n","plugins":[{"type":"istio-cni"},{"type":"p"}]}';
    assert.equal(insert(text), `{"name":"n","plugins":[{"type":"p"},${JSON.stringify(ENTRY)}]}`);
  });

  it("leaves one of several objects of ours", () => {
    const ours = JSON.stringify(ENTRY);
    const text = `{"name":"n","plugins":[${ours},{"type":"p"},{"type":"istio-cni"},{"type":"q"},${ours}]}`;
    assert.equal(insert(text), `{"name":"n","plugins":[{"type":"p"},${ours},{"type":"q"}]}`);
  });

  it("finds our object when its type is written with escapes", () => {
    const text = '{"name":"n","plugins":[{"type":"p"},{"type":"istio\\u002dcni"}]}';
    assert.equal(insert(text), `{"name":"n","plugins":[{"type":"p"},${JSON.stringify(ENTRY)}]}`);
  });

  it("edits the last of repeated plugins keys, which is the one that counts", () => {
    const text = '{"name":"n","plugins":[{"type":"a"}],"plugins":[{"type":"b"}]}';
    assert.equal(
      insert(text),
      `{"name":"n","plugins":[{"type":"a"}],"plugins":[{"type":"b"},${JSON.stringify(ENTRY)}]}`,
    );
  });
});

describe("withoutOurEntry()", () => {
  it("gives the same bytes when there is nothing of ours", () => {
    const conf = list('{"name":"n","plugins":[{"type":"p"}]}');
    assert.equal(withoutOurEntry(conf), conf.bytes);
  });

  it("takes out every object of ours, wherever it stands", () => {
    const ours = '{"type":"istio-cni"}';
    const text = `{"name":"n","plugins":[ ${ours} , ${ours}, {"type":"p"} ,${ours}, {"type":"q"}, ${ours} ]}`;
    assert.equal(decode(withoutOurEntry(list(text))), '{"name":"n","plugins":[ {"type":"p"}, {"type":"q"} ]}');
  });

  it("undoes an insertion to the byte, for any file in any layout", () => {
    fc.assert(
      fc.property(conflistText(), (text) => {
        const original = list(text);
        const inserted = list(withOurEntry(original, ENTRY));
        const replaced = list(withOurEntry(inserted, OTHER_ENTRY));
        for (const [conf, entry] of [
          [inserted, ENTRY],
          [replaced, OTHER_ENTRY],
        ] as const) {
          assert.equal(decode(withoutOurEntry(conf)), text);
          assert.equal(withOurEntry(conf, entry), conf.bytes, "a second time changes nothing");
          const { plugins, ...rest } = JSON.parse(decode(conf.bytes));
          const { plugins: before, ...restBefore } = JSON.parse(text);
          assert.deepEqual([rest, plugins], [restBefore, [...before, entry]]);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("toConflist()", () => {
  it("makes the list that upstream makes and keeps the old object's text", () => {
    const text = '\n{\n  "cniVersion": "0.2.0",\n  "name": "old", "mtu": 1e3,\n  "type": "bridge"\n}\n';
    const expected = readFileSync(new URL("testdata/converted.conflist", import.meta.url), "utf8");
    assert.equal(decode(toConflist(single(text), ENTRY)), expected);
  });

  it("takes the version out wherever it stands", () => {
    for (const text of [
      '{"type":"p","cniVersion":"1.0.0"}',
      '{"cniVersion":"1.0.0","type":"p"}',
      '{"cniVersion":"a","type":"p", "cniVersion":"b"}',
      '{"type":"p"}',
    ]) {
      const converted = list(toConflist(single(text), ENTRY));
      assert.deepEqual(JSON.parse(decode(converted.bytes)), {
        name: "k8s-pod-network",
        cniVersion: "0.3.1",
        plugins: [{ type: "p" }, ENTRY],
      });
      assert.ok(hasOurEntry(converted));
    }
  });
});

/** Conflists without us, each token apart by random white space. */
function conflistText(): fc.Arbitrary<string> {
  const blanks = fc.array(fc.stringMatching(/^[ \t\r\n]{0,4}$/), { minLength: 1, maxLength: 8 });
  const plugin = fc.tuple(
    fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }),
    fc.constantFrom("bridge", "portmap", "é\u2028"),
  );
  const plugins = fc.array(
    plugin.map(([keys, type]) => ({ ...keys, type })),
    { minLength: 1, maxLength: 3 },
  );
  const document = fc.record({
    extra: fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }),
    plugins,
    isFirst: fc.boolean(),
  });
  return fc.tuple(document, blanks).map(([{ extra, plugins, isFirst }, spaces]) => {
    const { cniVersion: _, ...rest } = extra;
    const value = isFirst ? { ...rest, plugins, name: "n" } : { name: "n", ...rest, plugins };
    return spread(JSON.stringify(value), spaces);
  });
}

/** The compact text with the given blanks between its tokens, in turn. */
function spread(text: string, blanks: readonly string[]): string {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^[\]{},:"]+/g) ?? [];
  return tokens.map((token, index) => `${blanks[index % blanks.length] ?? ""}${token}`).join("");
}
