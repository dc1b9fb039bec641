import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ConfFile, chooseConflist, compareNames } from "./choose-conflist.ts";
import { MAX_CONFLIST_BYTES, parseConf } from "./conflist.ts";

const LIST = '{"name":"n","plugins":[{"type":"p"}]}';
const SINGLE = '{"name":"n","type":"p"}';

function files(contents: Record<string, string | { unreadable: string }>): ConfFile[] {
  return Object.entries(contents).map(([name, content]) => ({
    name,
    content: typeof content === "string" ? { bytes: new TextEncoder().encode(content) } : content,
    unchangedMs: 5000,
  }));
}

const chosen = (
  contents: Parameters<typeof files>[0],
  options: Parameters<typeof chooseConflist>[1] = {},
): string | undefined => chooseConflist(files(contents), options).chosen?.name;

describe("chooseConflist()", () => {
  it("takes the first valid file in byte order, not in the folder's order", () => {
    assert.equal(chosen({ "10-b.conflist": LIST, "05-a.conflist": LIST, "Z.conf": SINGLE }), "05-a.conflist");
    assert.equal(chosen({ "a.conflist": LIST, "Z.conflist": LIST }), "Z.conflist");
  });

  it("knows the three extensions that runtimes load, and no other", () => {
    assert.equal(chosen({ "00.json": SINGLE, "01.conf": SINGLE }), "00.json");
    assert.equal(chosen({ "00.conflist.bak": LIST, "00.conf~": SINGLE, "00.CONF": SINGLE, conf: SINGLE }), undefined);
  });

  it("passes over files no runtime accepts and says why", () => {
    const choice = chooseConflist(
      files({ "00.conflist": "{", "01.conflist": "", "02.conf": LIST, "03.conflist": SINGLE, "04.conflist": LIST }),
      {},
    );
    assert.equal(choice.chosen?.name, "04.conflist");
    assert.deepEqual(
      choice.skipped.map(({ name, kind }) => [name, kind]),
      [
        ["00.conflist", "invalid"],
        ["01.conflist", "invalid"],
        ["02.conf", "invalid"],
        ["03.conflist", "invalid"],
      ],
    );
    assert.deepEqual(choice.skipped.map(({ reason }) => reason).slice(1), [
      "it is empty",
      'it has no "type"',
      'it has no array "plugins"',
    ]);
  });

  it("reports a file it cannot read, which the runtime may use all the same", () => {
    const choice = chooseConflist(files({ "00.conflist": { unreadable: "it is a symlink" }, "01.conflist": LIST }), {});
    assert.deepEqual(
      choice.skipped.map(({ kind, reason }) => [kind, reason]),
      [["unreadable", "it is a symlink"]],
    );
  });

  it("does not chain into files that hold only our plugin, nor into ignored ones", () => {
    const ours = '{"name":"n","type":"istio-cni"}';
    assert.equal(
      chosen({ "00.conf": ours, "01.conflist": `{"name":"n","plugins":[${ours}]}`, "02.conflist": LIST }),
      "02.conflist",
    );
    assert.equal(chosen({ "00.conflist": LIST, "02.conflist": LIST }, { ignore: ["00.conflist"] }), "02.conflist");
  });

  it("takes the file that is asked for, or the one with the other extension", () => {
    assert.equal(chosen({ "00.conflist": LIST, "10.conflist": LIST }, { confName: "10.conflist" }), "10.conflist");
    assert.equal(chosen({ "10.conflist": LIST }, { confName: "10.conf" }), "10.conflist");
    assert.equal(chosen({ "10.conf": SINGLE }, { confName: "10.conflist" }), "10.conf");
    assert.equal(chosen({ "10.conflist": LIST }, { confName: "11.conflist" }), undefined);
    assert.equal(
      chosen({ "10.conf": "", "10.conflist": LIST }, { confName: "10.conf" }),
      undefined,
      "a file in the making is waited for",
    );
  });

  it("tells when the runtime takes another file than the one asked for", () => {
    const named = (contents: Parameters<typeof files>[0]): string | undefined =>
      chooseConflist(files(contents), { confName: "10.conflist" }).preemptedBy;
    assert.equal(named({ "00-multus.conf": SINGLE, "10.conflist": LIST }), "00-multus.conf");
    assert.equal(named({ "10.conflist": LIST, "11.conflist": LIST }), undefined);
  });
});

describe("compareNames()", () => {
  it("orders by UTF-8 bytes, not by UTF-16 units", () => {
    assert.deepEqual(["\u{1f600}", "\uffee", "b", "a.conflist", "a.conf", ""].toSorted(compareNames), [
      "",
      "a.conf",
      "a.conflist",
      "b",
      "\uffee",
      "\u{1f600}",
    ]);
  });
});

describe("parseConf()", () => {
  const parseText = (name: string, text: string) => parseConf(name, new TextEncoder().encode(text));
  const cases: readonly [string, string, string][] = [
    ["an array", "[]", "it is no JSON object"],
    ["a byte-order mark", `\ufeff${LIST}`, "Cannot read JSON: expected a value, found byte 0xef at byte 0"],
    ["a truncated list", LIST.slice(0, 20), "Cannot read JSON: expected the end of a string, found the end at byte 20"],
    ["a list without name", '{"plugins":[{"type":"p"}]}', 'it has no string "name"'],
    [
      "a version that is no string",
      '{"name":"n","cniVersion":1,"plugins":[{"type":"p"}]}',
      'its "cniVersion" is no string',
    ],
    ["no plugins", '{"name":"n","plugins":[]}', 'its "plugins" are empty'],
    ["a plugin without type", '{"name":"n","plugins":[{"type":"p"},{"type":""}]}', 'its plugin 1 has no "type"'],
    ["a plugin that is no object", '{"name":"n","plugins":["p"]}', 'its plugin 0 has no "type"'],
    ...["1", "null", '"sure"'].map((value): [string, string, string] => [
      `"disableCheck" ${value}`,
      `{"name":"n","disableCheck":${value},"plugins":[{"type":"p"}]}`,
      'its "disableCheck" is neither true nor false',
    ]),
  ];
  for (const [what, text, reason] of cases) {
    it(`calls ${what} invalid`, () => {
      assert.deepEqual(parseConf("x.conflist", new TextEncoder().encode(text)), { kind: "invalid", reason });
    });
  }

  /** What libcni says to each of these was asked of v0.8.1, v1.1.2 and v1.3.0, and was the same. */
  const refused: readonly [string, string][] = [
    ['"name":1', '"name" is no string'],
    ['"cniVersion":1', '"cniVersion" is no string'],
    ['"capabilities":[]', '"capabilities" is no object'],
    ['"capabilities":{"x":"true"}', '"capabilities.x" is neither true nor false'],
    ['"ipam":"host-local"', '"ipam" is no object'],
    ['"ipam":{"type":1}', '"ipam.type" is no string'],
    ['"dns":[]', '"dns" is no object'],
    ['"dns":{"domain":{}}', '"dns.domain" is no string'],
    ['"dns":{"nameservers":"1.1.1.1"}', '"dns.nameservers" is no array'],
    ['"dns":{"options":[1]}', '"dns.options[0]" is no string'],
    ['"prevResult":[]', '"prevResult" is no object'],
  ];
  for (const [member, reason] of refused) {
    it(`calls a list and a file whose plugin has ${member} invalid, as every runtime does`, () => {
      const plugin = `{"type":"p",${member}}`;
      const list = `{"name":"n","plugins":[{"type":"o"},${plugin}]}`;
      assert.deepEqual(parseText("x.conflist", list), { kind: "invalid", reason: `its plugin 1: ${reason}` });
      assert.deepEqual(parseText("x.conf", plugin), { kind: "invalid", reason: `its ${reason}` });
    });
  }

  const taken: readonly string[] = [
    '"capabilities":null',
    '"capabilities":{"x":null,"y":true}',
    '"ipam":null',
    '"ipam":{"type":"host-local","ranges":[]}',
    '"dns":{"search":[null,"x"]}',
    '"name":null',
    '"prevResult":{}',
    '"mtu":"any"',
  ];
  for (const member of taken) {
    it(`takes a plugin with ${member}, as every runtime does`, () => {
      assert.equal(parseText("x.conflist", `{"name":"n","plugins":[{"type":"p",${member}}]}`).kind, "list");
      assert.equal(parseText("x.conf", `{"type":"p",${member}}`).kind, "single");
    });
  }

  for (const value of ["true", '"True"']) {
    it(`takes "disableCheck" ${value}`, () => {
      assert.equal(
        parseText("x.conflist", `{"name":"n","disableCheck":${value},"plugins":[{"type":"p"}]}`).kind,
        "list",
      );
    });
  }

  it("refuses a file beyond its bound without reading it", () => {
    const conf = parseConf("x.conflist", new Uint8Array(MAX_CONFLIST_BYTES + 1));
    assert.ok(conf.kind === "invalid");
    assert.match(conf.reason, /1048577 bytes/);
  });
});
