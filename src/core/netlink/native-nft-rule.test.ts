import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { matchesOf, name, negated, plain, port, u32 } from "../../../testbed/random-matches.ts";
import type { IpAddress } from "../address.ts";
import type { Match, Rule, Verdict } from "../rules/model.ts";
import { orderMatches } from "../rules/planned-rule.ts";
import { attributeMap } from "./message.ts";
import { decodeNativeRule, encodeNativeRule } from "./native-nft-rule.ts";
import type { Expression } from "./nft-expression.ts";
import { parseExpressions, writeExpressions } from "./nft-expression.ts";
import { NetlinkWriter } from "./writer.ts";

/** 0 is what a whole word would be left with: nothing to set. */
const mask = fc.oneof(fc.constant(0xffffffff), fc.integer({ min: 1, max: 0xfffffffe }));
const ports = fc.uniqueArray(port, { minLength: 1 }).map((list) => list.toSorted((left, right) => left - right));

function matchOf(family: 4 | 6): fc.Arbitrary<Match> {
  return fc.oneof(
    ...matchesOf(family, { prefixLength: { min: 0 }, ports, mask }),
    plain({
      kind: fc.constant("set" as const),
      name,
      side: fc.constantFrom("source" as const, "destination" as const),
      family: fc.constant(family),
      negated,
    }),
  );
}

/** A family is told where nothing else tells it. */
function withFamily(matches: Match[], family: 4 | 6, isNegated: boolean): Match[] {
  const isTold = matches.some(({ kind }) => kind === "source" || kind === "destination" || kind === "set");
  return isTold ? matches : [...matches, { kind: "nfproto", family, negated: isNegated }];
}

const address = fc
  .constantFrom(4, 16)
  .chain((size) => fc.uint8Array({ minLength: size, maxLength: size }))
  .map((bytes): IpAddress => ({ family: bytes.length === 4 ? 4 : 6, bytes }));

const verdict: fc.Arbitrary<Verdict> = fc.oneof(
  fc.constantFrom<Verdict>({ kind: "return" }, { kind: "accept" }, { kind: "drop" }),
  plain({ kind: fc.constant("jump" as const), chain: name }),
  plain({ kind: fc.constant("redirect" as const), port }),
  plain({ kind: fc.constant("snat" as const), address }),
  plain({ kind: fc.constant("tproxy" as const), port, value: u32, mask }),
  plain({ kind: fc.constantFrom("set-xmark" as const, "connmark-set-xmark" as const), value: u32, mask }),
  fc.constantFrom<Verdict>(
    { kind: "connmark-save", nfmask: 0xffffffff, ctmask: 0xffffffff },
    { kind: "connmark-restore", nfmask: 0xffffffff, ctmask: 0xffffffff },
  ),
  plain({ kind: fc.constant("ct-zone" as const), zone: port }),
);

const anyRule = fc
  .constantFrom(4 as const, 6 as const)
  .chain((family) =>
    plain<{ matches: Match[]; verdict: Verdict }>({
      matches: fc
        .tuple(fc.array(matchOf(family), { maxLength: 6 }), fc.boolean(), negated)
        .map(([matches, isAdded, isNegated]) => (isAdded ? withFamily(matches, family, isNegated) : matches)),
      verdict,
    }),
  )
  .map((fields): Rule => orderMatches({ intent: "", ...fields }));

test("decodeNativeRule() gives back what encodeNativeRule() wrote, through bytes, for any rule", () => {
  fc.assert(
    fc.property(anyRule, fc.integer({ min: 1, max: 99 }), (rule, firstSetId) => {
      const namesFamily = rule.matches.some(
        (match) =>
          match.kind === "source" ||
          match.kind === "destination" ||
          match.kind === "set" ||
          (match.kind === "nfproto" && !match.negated),
      );
      if (rule.verdict.kind === "tproxy" && !namesFamily) {
        assert.throws(() => encodeNativeRule(rule, firstSetId), TypeError);
        return;
      }
      const { expressions, sets } = encodeNativeRule(rule, firstSetId);
      let next = 0;
      assert.deepEqual(
        decodeNativeRule(throughBytes(expressions), () => sets[next++]),
        rule,
      );
    }),
    { numRuns: 500 },
  );
});

test("what is not understood is opaque: a set that is not known, two families, an address of no family, a masked copy", () => {
  const accept: Expression = { kind: "verdict", code: 1 };
  const cmp = (...bytes: number[]): Expression => ({ kind: "cmp", operator: "eq", value: Uint8Array.from(bytes) });
  const rules: Expression[][] = [
    [
      { kind: "payload", base: 2, offset: 2, length: 2 },
      { kind: "lookup", set: "__set9", setId: 0, inverted: false },
      accept,
    ],
    [{ kind: "meta", key: 15 }, cmp(2), { kind: "meta", key: 15 }, cmp(10), accept],
    [
      { kind: "meta", key: 15 },
      cmp(2),
      { kind: "payload", base: 1, offset: 16, length: 4 },
      { kind: "lookup", set: "__set9", setId: 0, inverted: false },
      accept,
    ],
    [
      { kind: "payload", base: 1, offset: 16, length: 4 },
      { kind: "lookup", set: "addresses", setId: 0, inverted: false },
      accept,
    ],
    [
      { kind: "value", value: Uint8Array.of(1, 2, 3) },
      { kind: "snat", family: 2 },
    ],
    [{ kind: "payload", base: 1, offset: 16, length: 4 }, cmp(10, 0, 0, 1), accept],
    [
      { kind: "value", value: Uint8Array.of(1, 2, 3, 4) },
      { kind: "meta-set", key: 16 },
    ],
    [{ kind: "value", value: Uint8Array.of(1, 2) }],
    [{ kind: "value", value: Uint8Array.of(1, 2) }, { kind: "tproxy", family: 2 }, accept],
    [],
  ];
  for (const expressions of rules) {
    assert.equal(decodeNativeRule(expressions, () => undefined).verdict.kind, "opaque", JSON.stringify(expressions));
  }
  const copy: Rule = { intent: "", matches: [], verdict: { kind: "connmark-save", nfmask: 1, ctmask: 1 } };
  assert.throws(() => encodeNativeRule(copy, 1), TypeError);
});

/** One expression as a kernel tells it; numbers are attributes of 32 bits. */
function told(
  expressionName: string,
  attributes: Readonly<Record<number, number | Uint8Array>>,
): Expression | undefined {
  const writer = new NetlinkWriter();
  writer.nested(1, () => {
    writer.attributeString(1, expressionName);
    writer.nested(2, () => {
      for (const [type, value] of Object.entries(attributes)) {
        if (typeof value === "number") writer.attributeU32be(Number(type), value);
        else writer.attributeBytes(Number(type), value);
      }
    });
  });
  return parseExpressions(writer.finish())[0];
}

test("an expression that says more than ours is unknown: a zone of one direction, a range of ports to redirect to", () => {
  assert.deepEqual(told("ct", { 2: 17, 4: 1 }), { kind: "ct-set", key: 17 });
  assert.deepEqual(told("ct", { 2: 17, 3: Uint8Array.of(0), 4: 1 }), { kind: "unknown", name: "ct" });
  assert.deepEqual(told("redir", { 1: 1, 2: 1, 3: 2 }), { kind: "redir" });
  assert.deepEqual(told("redir", { 1: 1, 2: 9, 3: 2 }), { kind: "unknown", name: "redir" });
});

test("a comparison that can never hold is opaque: bits behind the mask, a mask of another width, bytes behind a name's end", () => {
  const accept: Expression = { kind: "verdict", code: 1 };
  const ofIpv4: Expression[] = [
    { kind: "meta", key: 15 },
    { kind: "cmp", operator: "eq", value: Uint8Array.of(2) },
    { kind: "payload", base: 1, offset: 16, length: 4 },
  ];
  const masked = (mask: number[], value: number[]): Expression[] => [
    ...ofIpv4,
    { kind: "bitwise", mask: Uint8Array.from(mask), xor: new Uint8Array(mask.length) },
    { kind: "cmp", operator: "eq", value: Uint8Array.from(value) },
    accept,
  ];
  const named = (...bytes: number[]): Expression[] => [
    { kind: "meta", key: 6 },
    { kind: "cmp", operator: "eq", value: Uint8Array.from(bytes) },
    accept,
  ];
  const verdictOf = (expressions: Expression[]): string =>
    decodeNativeRule(throughBytes(expressions), () => undefined).verdict.kind;
  assert.equal(verdictOf(masked([255, 0, 0, 0], [10, 0, 0, 0])), "accept");
  assert.equal(verdictOf(masked([255, 0, 0, 0], [10, 1, 2, 3])), "opaque");
  assert.equal(verdictOf(masked([255, 0], [10, 0, 0, 0])), "opaque");
  assert.equal(verdictOf(named(108, 111, 0, 0)), "accept");
  assert.equal(verdictOf(named(108, 111, 0, 120)), "opaque");
});

function throughBytes(expressions: readonly Expression[]): Expression[] {
  const writer = new NetlinkWriter();
  writeExpressions(writer, 4, expressions);
  return parseExpressions(attributeMap(writer.finish()).get(4) ?? new Uint8Array());
}
