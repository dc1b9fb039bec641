import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Change } from "./diff.ts";
import { diffRulesets } from "./diff.ts";
import { findBaseChain } from "./iptables-tables.ts";
import type { Chain, Rule, Ruleset } from "./model.ts";
import { renderIptables } from "./render-iptables.ts";
import { dport, jump, RETURN, rule, TCP } from "./rule-words.ts";
import { sidecarRules } from "./sidecar.ts";
import { SIDECAR_CASES } from "./sidecar-cases.ts";

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
    changes.map(
      (change) => `${change.kind} ${"chain" in change && typeof change.chain === "string" ? change.chain : ""}`,
    ),
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
function apply(held: readonly Ruleset[], changes: readonly Change[]): Ruleset[] {
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
    } else if (change.kind === "append-rule" || change.kind === "delete-rule" || change.kind === "delete-chain") {
      const place = chains.get(key(family, table, change.chain)) ?? assert.fail(`no chain ${change.chain}`);
      if (change.kind === "append-rule") place.rules.push(change.rule);
      if (change.kind === "delete-rule") place.rules.splice(place.rules.indexOf(change.rule), 1);
      if (change.kind === "delete-chain") {
        assert.equal(place.rules.length, 0);
        chains.delete(key(family, table, change.chain));
      }
    }
  }
  return [...chains.values()].reduce((all, { family, table, chain, rules }) => {
    return merge(all, [{ family, tables: [{ name: table, chains: [{ ...chain, rules }] }] }]);
  }, [] as Ruleset[]);
}

/** Both together, rules of `second` behind those of `first`, tables and chains in the order the product uses. */
function merge(first: readonly Ruleset[], second: readonly Ruleset[]): Ruleset[] {
  return ([4, 6] as const).flatMap((family) => {
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
