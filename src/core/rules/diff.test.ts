import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SIDECAR_CASES } from "../../../testbed/sidecar/sidecar-cases.ts";
import { FAMILIES } from "../address.ts";
import type { Change, HeldTables } from "./diff.ts";
import { diffRulesets } from "./diff.ts";
import { describeDrift } from "./drift.ts";
import { findBaseChain } from "./iptables-tables.ts";
import type { Chain, Rule, Ruleset } from "./model.ts";
import { renderIptables } from "./render-iptables.ts";
import { dport, jump, RETURN, rule, TCP } from "./rule-words.ts";
import { sidecarInetRules, sidecarRules } from "./sidecar.ts";

const NAMES = Object.keys(SIDECAR_CASES);
const rulesOf = (name: string): Ruleset[] => sidecarRules(SIDECAR_CASES[name] ?? assert.fail(name));

test("from nothing every table, chain and rule is made; from the same nothing changes", () => {
  for (const name of NAMES) {
    const desired = rulesOf(name);
    const changes = diffRulesets([], desired);
    assert.equal(text(apply([], changes)), text(desired), name);
    assert.deepEqual(diffRulesets(desired, desired), []);
  }
});

test("from any case to any other the result is the other, and rules of others stay in front of what is appended", () => {
  fc.assert(
    fc.property(fc.constantFrom(...NAMES), fc.constantFrom(...NAMES), fc.boolean(), (from, to, hasForeign) => {
      const foreign = hasForeign ? FOREIGN : [];
      const held = merge(foreign, rulesOf(from));
      const after = apply(held, diffRulesets(held, rulesOf(to), rulesOf(from)));
      assert.deepEqual(diffRulesets(after, rulesOf(to)), [], `${from} to ${to}`);
      assert.equal(text(without(after, FOREIGN_RULE)), text(withEmptied(rulesOf(to), after)), `${from} to ${to}`);
      const untouched = after.flatMap(allRules).filter((held) => held === FOREIGN_RULE || held === FOREIGN_LAST);
      assert.equal(untouched.length, hasForeign ? 2 : 0);
    }),
    { numRuns: 200 },
  );
});

test("one rule taken out, altered or moved is put right without touching what stands before it", () => {
  const desired = rulesOf("dns");
  const nat = desired[0]?.tables.find(({ name }) => name === "nat")?.chains.find(({ name }) => name === "ISTIO_OUTPUT");
  const rules = nat?.rules ?? assert.fail();
  const damaged: Record<string, readonly Rule[]> = {
    missing: rules.toSpliced(4, 1),
    altered: rules.with(4, rule("", [TCP, dport(1)], RETURN)),
    moved: [...rules.slice(0, 4), ...rules.slice(5), ...rules.slice(4, 5)],
    added: rules.toSpliced(4, 0, rule("", [], RETURN)),
  };
  for (const [name, changed] of Object.entries(damaged)) {
    const held = replaceChain(desired, "ISTIO_OUTPUT", changed);
    const changes = diffRulesets(held, desired);
    assert.ok(changes.length > 0 && changes.every((change) => change.family === 4 && change.table === "nat"), name);
    assert.equal(changes.filter(({ kind }) => kind === "append-rule").length, rules.length - 4, name);
    assert.equal(text(apply(held, changes)), text(desired), name);
  }
});

test("a jump of ours that is not wanted goes, wherever it stands; a chain that is left over goes last", () => {
  const left = merge(rulesOf("default"), [ruleset("nat", "ISTIO_OLD", [rule("", [], jump("ISTIO_OUTPUT"))])]);
  const held = merge(left, [
    ruleset("nat", "OUTPUT", [rule("", [], jump("ISTIO_OLD"))]),
    ruleset("nat", "THEIRS", [rule("", [], jump("ISTIO_OLD")), FOREIGN_RULE]),
  ]);
  const changes = diffRulesets(held, rulesOf("default"));
  assert.deepEqual(
    changes.map((change) => {
      if (!("chain" in change)) return change.kind;
      return `${change.kind} ${typeof change.chain === "string" ? change.chain : change.chain.name}`;
    }),
    ["delete-rule OUTPUT", "delete-rule ISTIO_OLD", "delete-rule THEIRS", "delete-chain ISTIO_OLD"],
  );
});

test("to nothing, what is ours is deleted and what is not stays; rules without our mark go when they are known", () => {
  const former = rulesOf("tproxy-interfaces");
  const held = merge(FOREIGN, former);
  const after = apply(held, diffRulesets(held, [], former));
  assert.deepEqual(after.flatMap(allRules), FOREIGN.flatMap(allRules));
  const unknown = apply(held, diffRulesets(held, []));
  assert.ok(unknown.flatMap(allRules).length > FOREIGN.flatMap(allRules).length);
  assert.ok(!text(unknown).includes("ISTIO_"));
});

test("a table that only held ours goes with them; anything of others keeps it", () => {
  const ours = rulesOf("dns");
  const tablesAfter = (held: readonly HeldTables[]): string[] =>
    apply(held, diffRulesets(held, [], ours)).flatMap(({ tables }) => tables.map(({ name }) => name));
  assert.deepEqual(tablesAfter(ours), []);
  assert.deepEqual(tablesAfter(merge(ours, [ruleset("nat", "THEIRS", [])])), ["nat"], "a chain");
  assert.deepEqual(tablesAfter(merge(ours, [ruleset("raw", "OUTPUT", [FOREIGN_RULE])])), ["raw"], "a rule");
  assert.deepEqual(tablesAfter(inTables(ours, "nat", { hasMore: true })), ["nat", "nat"], "a set");
  const closed = ours.map((one) => ({
    ...one,
    tables: one.tables.map((table) => ({
      ...table,
      chains: table.chains.map((chain) => (chain.kind === "base" ? { ...chain, policy: "drop" as const } : chain)),
    })),
  }));
  assert.equal(tablesAfter(closed).length, 4, "a policy");
  const empty = [ruleset("nat", "OUTPUT", [])];
  assert.deepEqual(diffRulesets(empty, [], ours), [], "a table that was empty before is nobody's");
});

test("a chain of ours that hangs on no hook, or on another, is made anew", () => {
  const desired = rulesOf("default");
  const output = findBaseChain("nat", "OUTPUT") ?? assert.fail();
  for (const wrong of [
    { kind: "own", name: "OUTPUT" },
    { ...output, priority: -99 },
    { ...output, hook: "input" },
  ] as const) {
    const held = inChain(desired, "OUTPUT", (chain) => ({ ...wrong, rules: chain.rules }));
    const steps = diffRulesets(held, desired);
    assert.deepEqual(
      steps.map(({ kind }) => kind),
      ["delete-rule", "delete-chain", "add-chain", "append-rule"],
    );
    assert.equal(text(apply(held, steps)), text(desired));
    assert.deepEqual(describeDrift(steps), ["chain nat/OUTPUT of IPv4 is not attached where it belongs"]);
  }
  const closed = inChain(desired, "OUTPUT", (chain) => ({ ...output, policy: "drop", rules: chain.rules }));
  assert.deepEqual(diffRulesets(closed, desired), [], "the policy of a chain that others use is theirs");
});

test("a native table whose chains are attached wrongly, or let nothing through, is made anew as a whole", () => {
  const desired = [sidecarInetRules(SIDECAR_CASES["default"] ?? assert.fail())];
  const wrong = inChain(desired, "output", (chain) => ({ ...chain, policy: "drop" }) as Chain);
  const steps = diffRulesets(wrong, desired);
  assert.deepEqual(
    [...new Set(steps.map(({ kind }) => kind))],
    ["delete-table", "add-table", "add-chain", "append-rule"],
  );
  assert.deepEqual(describeDrift(steps), ["table istio-proxy-nat was altered"]);
});

test("a table that sleeps is woken", () => {
  const desired = rulesOf("dns");
  const steps = diffRulesets(inTables(desired, "nat", { isDormant: true }), desired);
  assert.deepEqual(
    steps.map(({ kind, family }) => `${kind} ${family}`),
    ["wake-table 4", "wake-table 6"],
  );
  assert.deepEqual(describeDrift(steps), ["table nat of IPv4 was switched off", "table nat of IPv6 was switched off"]);
});

test("describeDrift() says something exactly when there is something to do, whatever was done to the rules", () => {
  const damage = fc.record({
    chain: fc.nat(),
    rule: fc.nat(),
    kind: fc.constantFrom("none", "take", "double", "swap", "add", "drop-chain"),
  });
  fc.assert(
    fc.property(
      fc.constantFrom(...NAMES),
      fc.constantFrom(...NAMES),
      fc.array(damage, { maxLength: 3 }),
      (from, to, damages) => {
        const held = damages.reduce((rulesets, one) => damaged(rulesets, one), rulesOf(from));
        const steps = diffRulesets(held, rulesOf(to), rulesOf(from));
        assert.equal(describeDrift(steps).length > 0, steps.length > 0);
        assert.equal(steps.length > 0, text(held) !== text(rulesOf(to)), "every difference counts");
      },
    ),
    { numRuns: 300 },
  );
});

test("describeDrift() names what is wrong, once per table or chain", () => {
  const desired = rulesOf("tproxy");
  const said = (held: readonly HeldTables[], formerly: Ruleset[] = []): string[] =>
    describeDrift(diffRulesets(held, desired, formerly)).filter(
      (sentence) => sentence.endsWith("IPv4") || !sentence.includes("IPv6"),
    );
  assert.deepEqual(said([]), ["table mangle of IPv4 is missing", "table nat of IPv4 is missing"]);
  const only4 = (change: (rules: readonly Rule[]) => readonly Rule[]) =>
    desired.map((one) =>
      one.family === 4
        ? (inChain([one], "PREROUTING", (chain) => ({ ...chain, rules: change(chain.rules) }))[0] ?? one)
        : one,
    );
  const where = "chain mangle/PREROUTING of IPv4";
  assert.deepEqual(said(only4((rules) => rules.slice(1))), [`${where} lacks 1 rule of ours`]);
  assert.deepEqual(said(only4((rules) => [...rules, ...rules])), [`${where} holds 2 rules of ours too many`]);
  assert.deepEqual(said(only4((rules) => rules.toReversed())), [`${where} holds the rules of ours in another order`]);
  assert.deepEqual(said(merge(desired, [ruleset("nat", "ISTIO_OLD", [])])), [
    "chain nat/ISTIO_OLD of IPv4 is left over",
  ]);
  assert.deepEqual(
    said(
      merge(
        desired,
        rulesOf("dns").map((one) => ({ ...one, tables: one.tables.filter(({ name }) => name === "raw") })),
      ),
    ),
    ["table raw of IPv4 is left over"],
  );
});

test("what was read and not understood is deleted in our chains and left alone in those of others", () => {
  const opaque: Rule = {
    intent: "",
    matches: [{ kind: "opaque", summary: "set" }],
    verdict: { kind: "opaque", summary: "set" },
  };
  const desired = rulesOf("default");
  const own = replaceChain(desired, "ISTIO_REDIRECT", [opaque]);
  assert.deepEqual(
    diffRulesets(own, desired).map(({ kind }) => kind),
    ["delete-rule", "append-rule"],
  );
  const base = replaceChain(desired, "OUTPUT", [opaque, rule("", [], jump("ISTIO_OUTPUT"))]);
  assert.deepEqual(diffRulesets(base, desired), []);
});

const FOREIGN_RULE = rule("theirs", [TCP, dport(8080)], { kind: "accept" });
const FOREIGN_LAST = rule("theirs", [], { kind: "accept" });
const FOREIGN: Ruleset[] = [
  ruleset("nat", "PREROUTING", [FOREIGN_RULE]),
  ruleset("nat", "THEIRS", [FOREIGN_LAST]),
].reduce((all, one) => merge(all, [one]), [] as Ruleset[]);

function ruleset(table: string, chain: string, rules: Rule[]): Ruleset {
  const base = findBaseChain(table, chain);
  return {
    family: 4,
    tables: [{ name: table, chains: [base === undefined ? { kind: "own", name: chain, rules } : { ...base, rules }] }],
  };
}

/** What a kernel does with the steps; it refuses what a kernel would refuse. */
function apply(held: readonly HeldTables[], changes: readonly Change[]): Ruleset[] {
  const chains = new Map<string, { family: Ruleset["family"]; table: string; chain: Chain; rules: Rule[] }>();
  const key = (family: Ruleset["family"], table: string, chain: string): string => `${family} ${table} ${chain}`;
  for (const { family, tables } of held) {
    for (const { name: table, chains: all } of tables) {
      for (const chain of all)
        chains.set(key(family, table, chain.name), { family, table, chain, rules: [...chain.rules] });
    }
  }
  for (const change of changes) {
    const { family, table } = change;
    if (change.kind === "add-chain") {
      assert.ok(!chains.has(key(family, table, change.chain.name)));
      chains.set(key(family, table, change.chain.name), { family, table, chain: change.chain, rules: [] });
    } else if (change.kind === "delete-table") {
      for (const place of [...chains.values()].filter((place) => place.family === family && place.table === table)) {
        chains.delete(key(family, table, place.chain.name));
      }
    } else if (change.kind === "append-rule" || change.kind === "delete-rule" || change.kind === "delete-chain") {
      const name = typeof change.chain === "string" ? change.chain : change.chain.name;
      const place = chains.get(key(family, table, name)) ?? assert.fail(`no chain ${name}`);
      if (change.kind === "append-rule") place.rules.push(change.rule);
      if (change.kind === "delete-rule") place.rules.splice(place.rules.indexOf(change.rule), 1);
      if (change.kind === "delete-chain") {
        assert.equal(place.rules.length, 0);
        chains.delete(key(family, table, name));
      }
    }
  }
  return [...chains.values()].reduce((all, { family, table, chain, rules }) => {
    return merge(all, [{ family, tables: [{ name: table, chains: [{ ...chain, rules }] }] }]);
  }, [] as Ruleset[]);
}

/** Both together, rules of `second` behind those of `first`, tables and chains in the order the product uses. */
function merge(first: readonly Ruleset[], second: readonly Ruleset[]): Ruleset[] {
  return FAMILIES.flatMap((family) => {
    const all = [...first, ...second].filter((ruleset) => ruleset.family === family).flatMap(({ tables }) => tables);
    const tables = ["mangle", "raw", "nat"].flatMap((name) => {
      const chains = all.filter((table) => table.name === name).flatMap((table) => table.chains);
      const names = [...new Set(chains.map((chain) => chain.name))].toSorted(byPlace);
      const merged = names.flatMap((chainName): Chain[] => {
        const same = chains.filter((chain) => chain.name === chainName);
        const [one] = same;
        return one === undefined ? [] : [{ ...one, rules: same.flatMap(({ rules }) => rules) }];
      });
      return merged.length === 0 ? [] : [{ name, chains: merged }];
    });
    return tables.length === 0 ? [] : [{ family, tables }];
  });
}

function byPlace(left: string, right: string): number {
  const order = ["PREROUTING", "OUTPUT"];
  const rank = (name: string): number => (order.includes(name) ? order.indexOf(name) : order.length);
  return rank(left) - rank(right) || (left < right ? -1 : 1);
}

/** The table of every family with these facts. */
function inTables(
  rulesets: readonly Ruleset[],
  name: string,
  facts: Partial<HeldTables["tables"][number]>,
): HeldTables[] {
  return rulesets.map(({ family, tables }) => ({
    family,
    tables: tables.map((table) => (table.name === name ? { ...table, ...facts } : table)),
  }));
}

/** The first chain of that name in each table, changed; only in the first ruleset. */
function inChain(rulesets: readonly Ruleset[], name: string, change: (chain: Chain) => Chain): Ruleset[] {
  return rulesets.map((one, index) => ({
    ...one,
    tables: one.tables.map((table) => ({
      ...table,
      chains: table.chains.map((chain) => (index === 0 && chain.name === name ? change(chain) : chain)),
    })),
  }));
}

function damaged(
  rulesets: Ruleset[],
  { chain: at, rule: index, kind }: { readonly chain: number; readonly rule: number; readonly kind: string },
): Ruleset[] {
  let left = at % rulesets.flatMap(({ tables }) => tables.flatMap(({ chains }) => chains)).length;
  return rulesets.map((one) => ({
    ...one,
    tables: one.tables.map((table) => ({
      ...table,
      chains: table.chains.flatMap((chain): Chain[] => {
        if (left-- !== 0) return [chain];
        if (kind === "drop-chain") return [];
        const place = index % Math.max(1, chain.rules.length);
        const [here, next] = [chain.rules[place], chain.rules[place + 1]];
        const rules = [...chain.rules];
        if (kind === "take") rules.splice(place, 1);
        if (kind === "double" && here !== undefined) rules.splice(place, 0, here);
        if (kind === "swap" && here !== undefined && next !== undefined) rules.splice(place, 2, next, here);
        if (kind === "add" && chain.kind === "own") rules.splice(place, 0, rule("", [], RETURN));
        return [{ ...chain, rules }];
      }),
    })),
  }));
}

function replaceChain(rulesets: readonly Ruleset[], name: string, rules: readonly Rule[]): Ruleset[] {
  return rulesets.map((one, index) => ({
    ...one,
    tables: one.tables.map((table) => ({
      ...table,
      chains: table.chains.map((chain) =>
        index === 0 && table.name === "nat" && chain.name === name ? { ...chain, rules } : chain,
      ),
    })),
  }));
}

/** Without the rules of others, and without their chain. */
function without(rulesets: readonly Ruleset[], foreign: Rule): Ruleset[] {
  return rulesets.map((one) => ({
    ...one,
    tables: one.tables.map((table) => ({
      ...table,
      chains: table.chains
        .filter(({ name }) => name !== "THEIRS")
        .map((chain) => ({ ...chain, rules: chain.rules.filter((other) => other !== foreign) })),
    })),
  }));
}

/** With the tables and base chains that are only there because they once were used. */
function withEmptied(desired: readonly Ruleset[], after: readonly Ruleset[]): Ruleset[] {
  const emptied = after.map((one) => ({
    ...one,
    tables: one.tables.map((table) => ({
      ...table,
      chains: table.chains.filter(({ kind }) => kind === "base").map((chain) => ({ ...chain, rules: [] })),
    })),
  }));
  return merge(desired, emptied);
}

function allRules({ tables }: Ruleset): Rule[] {
  return tables.flatMap(({ chains }) => chains.flatMap(({ rules }) => rules));
}

function text(rulesets: readonly Ruleset[]): string {
  return rulesets.map((one) => renderIptables(one)).join("");
}
