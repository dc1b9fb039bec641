import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { matchesOf, name, negated, plain, port, u32 } from "../../../testbed/random-matches.ts";
import { ruleKey } from "../rules/compare.ts";
import type { Match, Rule, Verdict } from "../rules/model.ts";
import { normalRule } from "../rules/planned-rule.ts";
import { decodeRule, encodeRule } from "./iptables-nft-rule.ts";
import { attributeMap } from "./message.ts";
import type { Expression } from "./nft-expression.ts";
import { parseExpressions, writeExpressions } from "./nft-expression.ts";
import { NetlinkWriter } from "./writer.ts";
import type { SetNumbers } from "./xt-match.ts";

/** As a kernel might have them: name → number. */
const SETS = new Map([
  ["istio-inpod-probes-v4", 0],
  ["a set with blanks", 258],
  ["istio-inpod-probes-v6", 65535],
]);
const NUMBERS: SetNumbers = {
  numberOf: (set) => SETS.get(set),
  nameOf: (number) => [...SETS].find((entry) => entry[1] === number)?.[0],
};
const FAMILY = fc.constantFrom(4 as const, 6 as const);

function matchOf(family: 4 | 6): fc.Arbitrary<Match> {
  const ports = fc.array(port, { minLength: 1, maxLength: 15 });
  return fc.oneof(
    ...matchesOf(family, { prefixLength: { min: 1 }, ports, mask: u32 }),
    plain({ kind: fc.constant("socket-exists" as const), negated }),
    plain({
      kind: fc.constant("any-port" as const),
      protocol: fc.constantFrom("tcp" as const, "udp" as const),
      negated: fc.constant(false),
    }),
    plain({
      kind: fc.constant("set" as const),
      name: fc.constantFrom(...SETS.keys()),
      side: fc.constantFrom("source" as const, "destination" as const),
      family: fc.constant(family),
      negated,
    }),
  );
}

function verdictOf(family: 4 | 6): fc.Arbitrary<Verdict> {
  const size = family === 4 ? 4 : 16;
  const bytes = fc.uint8Array({ minLength: size, maxLength: size });
  return fc.oneof(
    anyVerdict,
    bytes.map((address): Verdict => ({ kind: "snat", address: { family, bytes: address } })),
  );
}

const anyVerdict: fc.Arbitrary<Verdict> = fc.oneof(
  fc.constantFrom<Verdict>({ kind: "return" }, { kind: "accept" }, { kind: "drop" }),
  plain({ kind: fc.constant("jump" as const), chain: name }),
  plain({ kind: fc.constant("redirect" as const), port }),
  plain({ kind: fc.constant("tproxy" as const), port, value: u32, mask: u32 }),
  plain({ kind: fc.constantFrom("set-xmark" as const, "connmark-set-xmark" as const), value: u32, mask: u32 }),
  plain({ kind: fc.constantFrom("connmark-save" as const, "connmark-restore" as const), nfmask: u32, ctmask: u32 }),
  plain({ kind: fc.constant("ct-zone" as const), zone: port }),
);

const ruleInFamily = FAMILY.chain((family) =>
  fc
    .record({ matches: fc.array(matchOf(family), { maxLength: 6 }), verdict: verdictOf(family) })
    .map((rule) => ({ family, rule: { intent: "", ...rule } })),
);

test("decodeRule() gives back what encodeRule() wrote, through bytes, for any rule", () => {
  fc.assert(
    fc.property(ruleInFamily, ({ family, rule }) => {
      const read = decodeRule(throughBytes(encodeRule(rule, family, NUMBERS)), family, NUMBERS);
      assert.deepEqual(read, rule);
      assert.equal(ruleKey(read), ruleKey(rule));
      assert.notEqual(ruleKey(read), undefined);
    }),
    { numRuns: 500 },
  );
});

test("two rules are the same exactly when their expressions are", () => {
  const flip = (match: Match): Match => (match.kind === "opaque" ? match : { ...match, negated: !match.negated });
  fc.assert(
    fc.property(ruleInFamily, ({ rule }) => {
      const [first, ...others] = rule.matches;
      if (first === undefined) return;
      assert.notEqual(ruleKey(rule), ruleKey({ ...rule, matches: [flip(first), ...others] }));
      assert.notEqual(ruleKey(rule), ruleKey({ ...rule, matches: others }));
    }),
  );
});

test("normalRule() changes nothing any more when applied again", () => {
  fc.assert(
    fc.property(ruleInFamily, ({ rule }) => {
      const once = normalRule(rule);
      assert.ok(once);
      assert.deepEqual(normalRule(once), once);
    }),
  );
});

test("decodeRule() reads the forms of older iptables: compat tcp, udp and mark, protocol from the header, both ports at once", () => {
  const tcp = Uint8Array.of(0, 0, 0xff, 0xff, 80, 0, 80, 0, 0, 0, 0, 2, 0, 0, 0, 0);
  const udp = Uint8Array.of(53, 0, 53, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0);
  const mark = Uint8Array.of(0x39, 5, 0, 0, 0xff, 0xf, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);
  const accept: Expression = { kind: "verdict", code: 1 };
  const cases: [Expression[], Match[]][] = [
    [[{ kind: "match", name: "tcp", revision: 0, info: tcp }], [{ kind: "dport", port: 80, negated: true }]],
    [[{ kind: "match", name: "udp", revision: 0, info: udp }], [{ kind: "sport", port: 53, negated: false }]],
    [
      [{ kind: "match", name: "mark", revision: 1, info: mark }],
      [{ kind: "mark", value: 1337, mask: 0xfff, negated: true }],
    ],
    [
      [
        { kind: "payload", base: 1, offset: 9, length: 1 },
        { kind: "cmp", operator: "eq", value: Uint8Array.of(17) },
      ],
      [{ kind: "protocol", protocol: "udp", negated: false }],
    ],
    [
      [
        { kind: "payload", base: 2, offset: 0, length: 4 },
        { kind: "cmp", operator: "eq", value: Uint8Array.of(0, 5, 0, 6) },
      ],
      [
        { kind: "sport", port: 5, negated: false },
        { kind: "dport", port: 6, negated: false },
      ],
    ],
  ];
  for (const [expressions, matches] of cases) {
    assert.deepEqual(decodeRule([...expressions, { kind: "counter" }, accept], 4), {
      intent: "",
      matches,
      verdict: { kind: "accept" },
    });
  }
});

test("what is not understood is opaque, named, and equals nothing, not even itself", () => {
  const accept: Expression = { kind: "verdict", code: 1 };
  const xt = (info: Uint8Array, named: string, revision: number): Expression => ({
    kind: "match",
    name: named,
    revision,
    info,
  });
  const xtTarget = (named: string, revision: number, ...info: number[]): Expression => ({
    kind: "target",
    name: named,
    revision,
    info: Uint8Array.from(info),
  });
  /** struct xt_conntrack_mtinfo3 for the state NEW, with these `match_flags` and `invert_flags`. */
  const conntrack = (flags: number, inverted: number): Uint8Array => {
    const info = new Uint8Array(168);
    info.set([flags, 0, inverted, 0, 8, 0], 146);
    return info;
  };
  assert.deepEqual(decodeRule([xt(conntrack(1, 1), "conntrack", 3), accept], 4).matches, [
    { kind: "ctstate", states: ["NEW"], negated: true },
  ]);
  const rules: Expression[][] = [
    [xt(new Uint8Array(24), "set", 4), accept],
    [xt(new Uint8Array(3), "owner", 1), accept],
    [xt(new Uint8Array(24), "owner", 1), accept],
    // Turned round by two bits, of which the kernel asks one.
    [xt(conntrack(1, 1 | 2), "conntrack", 3), accept],
    [{ kind: "unknown", name: "lookup" }, accept],
    [{ kind: "meta", key: 6 }, { kind: "cmp", operator: "eq", value: Uint8Array.of(101, 116, 104) }, accept],
    [{ kind: "meta", key: 6 }, accept],
    [{ kind: "counter" }],
    [accept, accept],
    [{ kind: "verdict", code: -4, chain: "x" }],
    [{ kind: "target", name: "DNAT", revision: 2, info: new Uint8Array(48) }],
    // Ports beside the address, a range of addresses, the other family's struct.
    [xtTarget("SNAT", 0, 1, 0, 0, 0, 3, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 0, 80, 0, 80, 0, 0, 0, 0)],
    [xtTarget("SNAT", 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 9, 9, 8, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0)],
    [xtTarget("SNAT", 1, ...new Array<number>(40).fill(0))],
  ];
  for (const expressions of rules) {
    const rule = decodeRule(expressions, 4);
    assert.equal(rule.verdict.kind, "opaque", JSON.stringify(expressions));
    assert.equal(ruleKey(rule), undefined);
    assert.throws(() => encodeRule(rule, 4), TypeError);
  }
  assert.match(JSON.stringify(decodeRule(rules[0] ?? [], 4)), /match set revision 4/);
});

test("a set is written by its number and read by its name; one without is not written, and opaque when it is read", () => {
  const looksUp: Rule = {
    intent: "",
    matches: [{ kind: "set", name: "istio-inpod-probes-v6", side: "destination", family: 6, negated: false }],
    verdict: { kind: "accept" },
  };
  const expressions = encodeRule(looksUp, 6, NUMBERS);
  assert.equal(expressions[0]?.kind === "match" && expressions[0].info.subarray(0, 4).toString(), "255,255,1,0");
  assert.throws(() => encodeRule(looksUp, 6), /Cannot encode a look into set istio-inpod-probes-v6: its number/);
  assert.equal(decodeRule(expressions, 6).verdict.kind, "opaque");
  // A counter comparison (`--packets-gt 5`) is more than we know.
  const [match, ...rest] = expressions;
  if (match?.kind !== "match") assert.fail("xt_set is a match");
  const counting = { ...match, info: match.info.with(8, 5) };
  assert.equal(decodeRule([counting, ...rest], 6, NUMBERS).verdict.kind, "opaque");
});

test("a match of no port is refused", () => {
  const rule: Rule = {
    intent: "",
    matches: [{ kind: "any-port", protocol: "tcp", negated: true }],
    verdict: { kind: "accept" },
  };
  assert.throws(() => encodeRule(rule, 4), RangeError);
});

test("SNAT to an address of the other family is refused", () => {
  const address = { family: 4, bytes: Uint8Array.of(169, 254, 7, 127) } as const;
  const rule: Rule = { intent: "", matches: [], verdict: { kind: "snat", address } };
  assert.throws(() => encodeRule(rule, 6), TypeError);
});

test("more ports than the kernel's struct has room for are refused", () => {
  const rule: Rule = {
    intent: "",
    matches: [{ kind: "dports", ports: new Array<number>(16).fill(1), negated: false }],
    verdict: { kind: "return" },
  };
  assert.throws(() => encodeRule(rule, 4), RangeError);
});

function throughBytes(expressions: readonly Expression[]): Expression[] {
  const writer = new NetlinkWriter();
  writeExpressions(writer, 4, expressions);
  return parseExpressions(attributeMap(writer.finish()).get(4) ?? new Uint8Array());
}
