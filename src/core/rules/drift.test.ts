import assert from "node:assert/strict";
import { test } from "node:test";
import { diffRulesets, insistOn } from "./diff.ts";
import { describeDrift } from "./drift.ts";
import type { Rule } from "./model.ts";
import { iifname, jump, RETURN, redirect, rule, TCP } from "./rule-words.ts";
import { sidecarInetRules, sidecarRules } from "./sidecar.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "./sidecar-capture.ts";

test("a hundred thousand rules that somebody left are told of in one sentence for each chain", () => {
  const many = Array.from({ length: 100_000 }, () => rule("", [], RETURN));
  const jumps = Array.from({ length: 100_000 }, () => rule("", [], jump("ISTIO_OTHER")));
  const output = {
    kind: "base",
    name: "OUTPUT",
    hook: "output",
    type: "nat",
    priority: -100,
    policy: "accept",
    rules: jumps,
  } as const;
  const chains = [output, { kind: "own", name: "ISTIO_OTHER", rules: many } as const];
  const held = [{ family: 4, tables: [{ name: "nat", chains }] } as const];
  const steps = diffRulesets(held, sidecarRules(DEFAULT_SIDECAR_CAPTURE));
  // Work that grows with the square of them would take minutes.
  const sentences = describeDrift(steps);
  assert.ok(sentences.includes("chain nat/ISTIO_OTHER of IPv4 is left over"));
  assert.ok(
    sentences.includes("chain nat/OUTPUT of IPv4 lacks 1 rule of ours and holds 100000 rules of ours too many"),
  );
});

test("a rule whose names read like another rule is not that rule", () => {
  const alike: readonly (readonly [Rule, Rule])[] = [
    [rule("", [], RETURN), rule("", [], jump("RETURN"))],
    [rule("", [TCP], redirect(15006)), rule("", [TCP], jump("REDIRECT --to-ports 15006"))],
    [rule("", [iifname("eth0"), TCP], RETURN), rule("", [iifname("eth0 -p tcp")], RETURN)],
  ];
  for (const [ours, theirs] of alike) {
    const setOf = (only: Rule) => ({
      family: 4 as const,
      tables: [{ name: "nat", chains: [{ kind: "own" as const, name: "ISTIO_OUTPUT", rules: [only] }] }],
    });
    assert.deepEqual(describeDrift(diffRulesets([setOf(ours)], [setOf(ours)])), []);
    assert.deepEqual(describeDrift(diffRulesets([setOf(theirs)], [setOf(ours)])), [
      "chain nat/ISTIO_OUTPUT of IPv4 was altered",
    ]);
  }
});

test("insisting makes tables that are ours anew, and in others leaves what need not go", () => {
  const evil = { kind: "own", name: "ISTIO_EVIL", rules: [] } as const;
  const [iptables] = sidecarRules(DEFAULT_SIDECAR_CAPTURE);
  const native = sidecarInetRules(DEFAULT_SIDECAR_CAPTURE);
  assert.ok(iptables);
  const spoiled = [iptables, native].map(({ family, tables }) => ({
    family,
    tables: tables.map(({ name, chains }) => ({ name, chains: [...chains.map(emptied), evil] })),
  }));
  const steps = diffRulesets(spoiled, [iptables, native]);
  const insistent = insistOn(steps, spoiled, [iptables, native]);
  const of = (family: 4 | "inet") => insistent.filter((step) => step.family === family).map(({ kind }) => kind);
  assert.deepEqual([...new Set(of(4))], ["append-rule"]);
  assert.deepEqual([...new Set(of("inet"))], ["delete-table", "add-table", "add-chain", "append-rule"]);
  assert.deepEqual(insistOn([], spoiled, [iptables, native]), []);
});

function emptied<C extends { readonly name: string }>(chain: C): C {
  return chain.name.toUpperCase().includes("INBOUND") ? { ...chain, rules: [] } : chain;
}
