import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ambientHostInetRules, ambientHostRules } from "./ambient-host.ts";
import { type HostStep, planHostRules } from "./ambient-host-plan.ts";
import { DEFAULT_PROBE_SOURCE } from "./ambient-numbers.ts";
import type { HeldTables } from "./diff.ts";
import { findBaseChain } from "./iptables-tables.ts";
import type { Chain, Rule, Ruleset } from "./model.ts";
import { ACCEPT, jump, RETURN, rule, TCP, UDP } from "./rule-words.ts";

const HOST = { families: { v4: true, v6: false }, probeSource: DEFAULT_PROBE_SOURCE };
const DESIRED = ambientHostRules(HOST);
const MOVE = { mayMove: true };
const STAY = { mayMove: false };
const THEIRS = rule("", [UDP], ACCEPT);
const JUMP = rule("", [], jump("ISTIO_POSTRT"));

function postrouting(...rules: Rule[]): Chain {
  return { ...(findBaseChain("nat", "POSTROUTING") ?? assert.fail()), rules };
}

function own(name: string, ...rules: Rule[]): Chain {
  return { kind: "own", name, rules };
}

function nat(...chains: Chain[]): HeldTables[] {
  return [{ family: 4, tables: [{ name: "nat", chains }] }];
}

const PROBE_RULE = (DESIRED[0]?.tables[0]?.chains ?? []).find(({ kind }) => kind === "own")?.rules[0] ?? assert.fail();

test("from nothing the chain comes before the jump that leads there, and the jump before all others", () => {
  const { steps, wasThere, sentences } = planHostRules([], DESIRED, STAY);
  assert.deepEqual(
    steps.map(({ kind }) => kind),
    ["add-table", "add-chain", "add-chain", "insert-rule", "append-rule"],
  );
  assert.equal(wasThere, false);
  assert.deepEqual(sentences, ["table nat of IPv4 is missing"]);
});

test("what stands is left alone, whatever others have beside it", () => {
  const held = nat(
    postrouting(JUMP, THEIRS, rule("", [], jump("KUBE-POSTROUTING"))),
    own("KUBE-POSTROUTING", THEIRS),
    own("ISTIO_POSTRT", PROBE_RULE),
  );
  assert.deepEqual(planHostRules(held, DESIRED, MOVE), {
    steps: [],
    sentences: [],
    isBehind: false,
    wasThere: true,
    obstacle: undefined,
  });
});

test("chains and jumps of a node that is captured itself are not the host's: they stay when ours goes", () => {
  const captured = [
    postrouting(rule("", [], jump("ISTIO_OTHER")), JUMP),
    own("ISTIO_OTHER", THEIRS),
    own("ISTIO_OUTPUT"),
  ];
  const held = nat(...captured, own("ISTIO_POSTRT", PROBE_RULE));
  const gone = planHostRules(held, [], MOVE).steps;
  assert.deepEqual(
    gone.map((step) => `${step.kind} ${"rule" in step ? step.chain : "chain" in step ? step.chain.name : step.table}`),
    ["delete-rule POSTROUTING", "delete-rule ISTIO_POSTRT", "delete-chain ISTIO_POSTRT"],
  );
  const native: HeldTables[] = [
    {
      family: "inet",
      tables: ["istio-proxy-nat", "istio-ambient-raw", "foreign"].map((name) => ({ name, chains: [] })),
    },
  ];
  assert.deepEqual(planHostRules(native, [], MOVE).steps, []);
});

test("our jump behind rules of others is told, and moved only when it may be", () => {
  const held = nat(postrouting(THEIRS, JUMP), own("ISTIO_POSTRT", PROBE_RULE));
  const said = ["rules of others stand before ours in chain nat/POSTROUTING of IPv4"];
  const stays = planHostRules(held, DESIRED, STAY);
  assert.deepEqual([stays.steps, stays.sentences, stays.isBehind], [[], said, true]);
  const moves = planHostRules(held, DESIRED, MOVE);
  assert.deepEqual([moves.steps.map(({ kind }) => kind), moves.sentences], [["delete-rule", "insert-rule"], said]);
});

test("a second jump, an altered rule and a missing jump are put right, and rules of others are in no step", () => {
  const cases: [Chain[], string[]][] = [
    [[postrouting(JUMP, THEIRS, JUMP), own("ISTIO_POSTRT", PROBE_RULE)], ["delete-rule"]],
    [[postrouting(THEIRS), own("ISTIO_POSTRT", PROBE_RULE)], ["insert-rule"]],
    [
      [postrouting(JUMP), own("ISTIO_POSTRT", rule("", [TCP], RETURN))],
      ["delete-rule", "append-rule"],
    ],
    [[postrouting(JUMP), own("ISTIO_POSTRT")], ["append-rule"]],
    [[postrouting(THEIRS)], ["add-chain", "insert-rule", "append-rule"]],
  ];
  for (const [chains, kinds] of cases) {
    const { steps, sentences } = planHostRules(nat(...chains), DESIRED, STAY);
    assert.deepEqual(
      steps.map(({ kind }) => kind),
      kinds,
    );
    assert.equal(sentences.length > 0, true);
    assert.ok(steps.every((step) => !("rule" in step) || step.rule !== THEIRS));
  }
});

test("a chain POSTROUTING that is not iptables' is an obstacle and never replaced with what is in it", () => {
  const foreign: Chain = { ...(postrouting(THEIRS) as Extract<Chain, { kind: "base" }>), priority: 0 };
  assert.match(
    planHostRules(nat(foreign), DESIRED, MOVE).obstacle ?? "",
    /nat\/POSTROUTING of IPv4 is not as iptables/,
  );
  assert.match(planHostRules(nat(own("POSTROUTING")), DESIRED, MOVE).obstacle ?? "", /not as iptables/);
  assert.deepEqual(planHostRules(nat(foreign), [], MOVE).steps, []);
});

test("a table that others use is kept when ours goes, one that was ours alone goes with it", () => {
  const ours = [postrouting(JUMP), own("ISTIO_POSTRT", PROBE_RULE)];
  const kinds = (held: HeldTables[]): string[] => planHostRules(held, [], MOVE).steps.map(({ kind }) => kind);
  assert.ok(kinds(nat(...ours)).includes("delete-table"));
  assert.ok(!kinds(nat(...ours, own("DOCKER"))).includes("delete-table"));
  assert.ok(!kinds(nat(postrouting(JUMP, THEIRS), own("ISTIO_POSTRT", PROBE_RULE))).includes("delete-table"));
  const more: HeldTables[] = [{ family: 4, tables: [{ name: "nat", hasMore: true, chains: ours }] }];
  assert.ok(!kinds(more).includes("delete-table"));
});

test("whatever rules ours stand among, the plan leads to ours first and once, others in their order, and then to nothing", () => {
  const other = fc.constantFrom(THEIRS, rule("", [TCP], RETURN), rule("", [], jump("KUBE-POSTROUTING")));
  const any = fc.oneof({ weight: 2, arbitrary: other }, { weight: 1, arbitrary: fc.constant(JUMP) });
  const ownRules = fc.array(fc.oneof(fc.constant(PROBE_RULE), other), { maxLength: 3 });
  fc.assert(
    fc.property(fc.array(any, { maxLength: 6 }), fc.option(ownRules), (rules, chain) => {
      // Each rule is an object of its own, so that deleting one is not deleting its like.
      const copies = rules.map((one) => ({ ...one }));
      const held = nat(
        postrouting(...copies),
        ...(chain === null ? [] : [own("ISTIO_POSTRT", ...chain.map((one) => ({ ...one })))]),
      );
      const after = apply(held, planHostRules(held, DESIRED, MOVE).steps);
      assert.deepEqual(planHostRules(after, DESIRED, MOVE).sentences, []);
      const left = after[0]?.tables[0]?.chains.find(({ name }) => name === "POSTROUTING")?.rules ?? [];
      assert.deepEqual(left[0]?.verdict, JUMP.verdict);
      assert.deepEqual(
        left.slice(1).map(({ verdict }) => verdict),
        copies.filter(({ verdict }) => verdict !== JUMP.verdict).map(({ verdict }) => verdict),
      );
      const removed = apply(after, planHostRules(after, [], MOVE).steps);
      assert.equal(planHostRules(removed, [], MOVE).wasThere, false);
    }),
    { numRuns: 300 },
  );
});

test("the native table is wholly ours", () => {
  const desired = ambientHostInetRules(HOST, 0);
  const table = desired[0]?.tables[0] ?? assert.fail();
  const altered = { ...table, chains: table.chains.map((chain) => ({ ...chain, rules: [THEIRS, ...chain.rules] })) };
  const plan = planHostRules([{ family: "inet", tables: [altered] }], desired, STAY);
  assert.deepEqual(plan.sentences, ["chain istio-ambient-nat/postrouting was altered"]);
  assert.deepEqual(planHostRules([{ family: "inet", tables: [table] }], desired, STAY).steps, []);
});

/** What the kernel does with steps. */
function apply(held: readonly HeldTables[], steps: readonly HostStep[]): HeldTables[] {
  let chains = [...(held[0]?.tables[0]?.chains ?? [])];
  const change = (name: string, edit: (rules: readonly Rule[]) => Rule[]): void => {
    assert.ok(
      chains.some((chain) => chain.name === name),
      `there is a chain ${name}`,
    );
    chains = chains.map((chain) => (chain.name === name ? { ...chain, rules: edit(chain.rules) } : chain));
  };
  for (const step of steps) {
    if (step.kind === "add-chain") chains.push({ ...step.chain, rules: [] });
    if (step.kind === "delete-chain") chains = chains.filter(({ name }) => name !== step.chain.name);
    if (step.kind === "append-rule") change(step.chain, (rules) => [...rules, { ...step.rule }]);
    if (step.kind === "insert-rule") change(step.chain, (rules) => [{ ...step.rule }, ...rules]);
    if (step.kind === "delete-rule") change(step.chain, (rules) => rules.filter((one) => one !== step.rule));
    if (step.kind === "delete-table") chains = [];
  }
  return nat(...chains);
}

test("one family's rules are in no step of the other", () => {
  const both: Ruleset[] = ambientHostRules({ ...HOST, families: { v4: true, v6: true } });
  const held = nat(postrouting(JUMP), own("ISTIO_POSTRT", PROBE_RULE));
  assert.ok(planHostRules(held, both, MOVE).steps.every(({ family }) => family === 6));
});
