import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { NodeRule } from "../policy/branch-eni.ts";
import { parseMessages } from "./message.ts";
import {
  encodeGetLinks,
  parseHostRoutes,
  parseLinkNames,
  parseNodeRules,
  writeAddNodeRule,
  writeDeleteNodeRule,
} from "./node-routing.ts";
import { NetlinkWriter } from "./writer.ts";

const RULE: NodeRule = {
  family: 4,
  priority: 512,
  table: 1001,
  destination: { family: 4, bytes: Uint8Array.of(10, 0, 1, 5) },
  iifName: undefined,
  protocol: 137,
  isOther: false,
};
const BY_INTERFACE: NodeRule = { ...RULE, family: 6, table: 255, destination: undefined, iifName: "vlanabc" };

function written(rule: NodeRule, write = writeAddNodeRule): Uint8Array {
  const writer = new NetlinkWriter();
  write(writer, rule, 7);
  return writer.finish();
}

/** One message as the kernel sends it: a header of `length` bytes and attributes. */
function message(type: number, header: readonly number[], attributes: readonly (readonly [number, Uint8Array])[]) {
  const writer = new NetlinkWriter();
  writer.message({ type, flags: 2, sequence: 1 }, () => {
    writer.raw(Uint8Array.from(header));
    for (const [attribute, bytes] of attributes) writer.attributeBytes(attribute, bytes);
  });
  return parseMessages(writer.finish());
}

describe("rules of the node", () => {
  it("are read as they are written", () => {
    for (const rule of [RULE, BY_INTERFACE]) assert.deepEqual(parseNodeRules(parseMessages(written(rule))), [rule]);
  });

  it("are added only where there is none like them, and deleted by all they say", () => {
    const [add] = parseMessages(written(RULE));
    const [remove] = parseMessages(written(RULE, writeDeleteNodeRule));
    assert.deepEqual([add?.type, add?.flags], [32, 0x605]);
    assert.deepEqual([remove?.type, remove?.flags], [33, 0x005]);
    assert.deepEqual(add?.payload, remove?.payload);
  });

  it("are somebody else's when they choose by something that we do not write", () => {
    const plain = [2, 0, 0, 0, 100, 0, 0, 1, 0, 0, 0, 0];
    const mark: [number, Uint8Array] = [10, Uint8Array.of(1, 0, 0, 0)];
    const suppress: [number, Uint8Array] = [14, Uint8Array.of(0, 0, 0, 0)];
    const range: [number, Uint8Array] = [1, Uint8Array.of(10, 0, 0, 0)];
    const nothing: [number, Uint8Array] = [14, Uint8Array.of(255, 255, 255, 255)];
    const at = (index: number, value: number) => plain.with(index, value);
    for (const [header, attributes, isOther] of [
      [plain, [nothing], false],
      [plain, [mark], true],
      [plain, [suppress], true],
      [at(1, 8), [range], true],
      [at(2, 8), [], true],
      [at(3, 4), [], true],
      [at(8, 2), [], true],
    ] as const) {
      const [rule] = parseNodeRules(message(32, header, attributes));
      assert.deepEqual([rule?.isOther, rule?.table, rule?.priority, rule?.destination], [isOther, 100, 0, undefined]);
    }
    // Blackholes and jumps look up no table.
    assert.deepEqual(parseNodeRules(message(32, at(7, 6), [])), []);
    assert.deepEqual(parseNodeRules(message(32, at(0, 128), [])), []);
  });
});

describe("routes to single addresses", () => {
  const names = new Map([[5, "vlanabc"]]);
  const oif: [number, Uint8Array] = [4, Uint8Array.of(5, 0, 0, 0)];
  const to: [number, Uint8Array] = [1, Uint8Array.of(10, 0, 1, 5)];
  const header = [2, 32, 0, 0, 101, 4, 253, 1, 0, 0, 0, 0];

  it("are read with the interface's name and the table, whichever way that is told", () => {
    const expected = { destination: { family: 4, bytes: to[1] }, table: 101, interfaceName: "vlanabc" };
    assert.deepEqual(parseHostRoutes(message(24, header, [to, oif]), names), [expected]);
    const table: [number, Uint8Array] = [15, Uint8Array.of(0xe9, 3, 0, 0)];
    assert.deepEqual(parseHostRoutes(message(24, header, [to, oif, table]), names), [{ ...expected, table: 1001 }]);
  });

  it("are no ranges, and go by an interface that is there", () => {
    assert.deepEqual(parseHostRoutes(message(24, header.with(1, 24), [to, oif]), names), []);
    assert.deepEqual(parseHostRoutes(message(24, header.with(1, 0), [oif]), names), []);
    assert.deepEqual(parseHostRoutes(message(24, header, [to]), names), []);
    assert.deepEqual(parseHostRoutes(message(24, header, [to, oif]), new Map()), []);
  });

  it("are refused when they are not what a kernel sends", () => {
    assert.throws(() => parseHostRoutes(message(24, header.slice(0, 8), []), names), /message of 8 bytes/);
    const short: [number, Uint8Array] = [1, Uint8Array.of(10, 0, 1)];
    assert.throws(() => parseHostRoutes(message(24, header.with(1, 24), [short, oif]), names), /address of 3 bytes/);
    assert.throws(() => parseNodeRules(message(32, [2, 0], [])), /Cannot read a policy rule/);
  });
});

describe("names of interfaces", () => {
  it("are read by index", () => {
    assert.equal(parseMessages(encodeGetLinks())[0]?.type, 18);
    const link = [0, 0, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const name: [number, Uint8Array] = [3, new TextEncoder().encode("vlanabc\0")];
    assert.deepEqual(parseLinkNames(message(16, link, [name])), new Map([[5, "vlanabc"]]));
    assert.deepEqual(parseLinkNames(message(16, link, [])), new Map());
    assert.deepEqual(parseLinkNames(message(99, link, [name])), new Map());
  });
});
