// What has to change so that a netns holds the desired rules: as few steps as keep every chain's order, rules of others
// untouched. Creating is the difference from nothing, removing the difference to nothing. The only comparer there is: what
// people are told of drift is made of the same steps (drift.ts).

import { isOurChain, isOurTable, ruleKey } from "./compare.ts";
import { findBaseChain } from "./iptables-tables.ts";
import type { Chain, Rule, Ruleset, Table } from "./model.ts";

/** One step; a batch carries out all of them in this order, at once. */
export type Change<H extends Rule = Rule> = { readonly family: Ruleset["family"]; readonly table: string } & (
  | { readonly kind: "delete-rule"; readonly chain: string; readonly rule: H }
  | { readonly kind: "delete-chain"; readonly chain: Chain }
  | { readonly kind: "delete-table" }
  /** The table is there, with its hooks switched off. */
  | { readonly kind: "wake-table" }
  | { readonly kind: "add-table" }
  | { readonly kind: "add-chain"; readonly chain: Chain }
  | { readonly kind: "append-rule"; readonly chain: string; readonly rule: Rule }
);

/** A table read back, with what is told of it beside its chains. */
export type HeldTable<H extends Rule = Rule> = Table<H> & {
  /** It holds sets or other objects of its own, so it is never deleted as empty. */
  readonly hasMore?: boolean;
  /** Its hooks are switched off: no packet meets its rules (NFT_TABLE_F_DORMANT). */
  readonly isDormant?: boolean;
};

/** Tables of one family as they were read. */
export type HeldTables<H extends Rule = Rule> = {
  readonly family: Ruleset["family"];
  readonly tables: readonly HeldTable<H>[];
};

/** Rules go before the chains they jump to, chains come before the rules that jump to them, and what goes, goes first. */
const ORDER: readonly Change["kind"][] = [
  "delete-rule",
  "delete-chain",
  "delete-table",
  "wake-table",
  "add-table",
  "add-chain",
  "append-rule",
];

/**
 * The steps from `held` to `desired`; none: everything stands. Ours are: own chains with our names and all they hold; in
 * the chains of others the rules that jump there; in base chains the rules that equal a desired rule of that chain or one
 * of `formerly` (what was applied before: the only way to know, say, a RETURN for an interface as ours). Where ours begin
 * as desired, that part stays; what follows is deleted and appended, behind rules of others. A table of iptables that is
 * empty once ours are gone goes too; one that was empty before is somebody else's. A chain we need that is attached
 * elsewhere is made anew, with whatever was in it: iptables itself cannot use such a table, and rules in it capture nothing.
 */
export function diffRulesets<H extends Rule>(
  held: readonly HeldTables<H>[],
  desired: readonly Ruleset[],
  formerly: readonly Ruleset[] = [],
): Change<H>[] {
  const families = [...new Set([...held, ...desired].map(({ family }) => family))];
  const steps = families.flatMap((family) => {
    const heldTables = held.find((one) => one.family === family)?.tables ?? [];
    const desiredTables = tablesOf(desired, family);
    const names = [...new Set([...desiredTables, ...heldTables].map(({ name }) => name))];
    return names.flatMap((table) =>
      diffTable(
        { family, table },
        heldTables.find(({ name }) => name === table),
        desiredTables.find(({ name }) => name === table),
        tablesOf(formerly, family).find(({ name }) => name === table),
      ),
    );
  });
  return ORDER.flatMap((kind) => steps.filter((step) => step.kind === kind));
}

/**
 * The steps for a kernel that refused `steps` as they are: rules, maps or hooks of others hold on to what should go. Tables that
 * are wholly ours are made anew, whatever is in them; in others the chains stay that nobody needs, so that what is needed stands.
 */
export function insistOn<H extends Rule>(
  steps: readonly Change<H>[],
  held: readonly HeldTables<H>[],
  desired: readonly Ruleset[],
): Change<H>[] {
  const insistent = held.flatMap(({ family, tables }) =>
    tables.flatMap(({ name: table }): Change<H>[] => {
      const here = steps.filter((step) => step.family === family && step.table === table);
      if (here.length === 0 || !isOurTable(table)) return here.filter((step) => !isClearing(step, here));
      const wanted = tablesOf(desired, family).find(({ name }) => name === table);
      const made = wanted === undefined ? [] : diffTable<H>({ family, table }, undefined, wanted, undefined);
      return [{ family, table, kind: "delete-table" }, ...made];
    }),
  );
  const isHeld = ({ family, table }: Change<H>): boolean =>
    held.some((one) => one.family === family && one.tables.some(({ name }) => name === table));
  const all = [...insistent, ...steps.filter((step) => !isHeld(step))];
  return ORDER.flatMap((kind) => all.filter((step) => step.kind === kind));
}

/** Takes away what is not made again. */
function isClearing(step: Change, steps: readonly Change[]): boolean {
  if (step.kind !== "delete-chain") return step.kind === "delete-table";
  return !steps.some((other) => other.kind === "add-chain" && other.chain.name === step.chain.name);
}

type Place = { readonly family: Ruleset["family"]; readonly table: string };

function diffTable<H extends Rule>(
  place: Place,
  held: HeldTable<H> | undefined,
  desired: Table | undefined,
  formerly: Table | undefined,
): Change<H>[] {
  if (held === undefined) {
    return desired === undefined ? [] : [{ ...place, kind: "add-table" }, ...desired.chains.flatMap(added(place))];
  }
  if (isOurTable(place.table)) {
    if (desired === undefined) return [{ ...place, kind: "delete-table" }];
    // Nothing of anybody else is in there, so what is attached wrongly is made anew as a whole.
    const isMisplaced = desired.chains.some((chain) => misplaced(held.chains, chain, true) !== undefined);
    if (isMisplaced) return [{ ...place, kind: "delete-table" }, ...diffTable<H>(place, undefined, desired, undefined)];
  }
  const wanted = (desired?.chains ?? []).flatMap((chain): Change<H>[] => {
    const wrong = misplaced(held.chains, chain, false);
    if (wrong !== undefined) {
      const rules = wrong.rules.map((rule) => ({ ...place, kind: "delete-rule", chain: wrong.name, rule }) as const);
      return [...rules, { ...place, kind: "delete-chain", chain: wrong }, ...added(place)(chain)];
    }
    const before = held.chains.find(({ name }) => name === chain.name);
    return before === undefined ? added(place)(chain) : diffChain(place, before, chain, rulesIn(formerly, chain.name));
  });
  const leftOver = held.chains
    .filter(({ name }) => !desired?.chains.some((chain) => chain.name === name))
    .flatMap((chain): Change<H>[] => {
      const emptied = diffChain(place, chain, { ...chain, rules: [] }, rulesIn(formerly, chain.name));
      const isOurs = isOurTable(place.table) || (chain.kind === "own" && isOurChain(chain.name));
      return isOurs ? [...emptied, { ...place, kind: "delete-chain", chain }] : emptied;
    });
  const steps = [...wanted, ...leftOver];
  if (desired === undefined) return isEmptyAfter(held, steps) ? [...steps, { ...place, kind: "delete-table" }] : steps;
  return held.isDormant === true ? [...steps, { ...place, kind: "wake-table" }] : steps;
}

/** Makes a chain that is not there. */
function added(place: Place): (chain: Chain) => Change<never>[] {
  return (chain) => [
    { ...place, kind: "add-chain", chain },
    ...chain.rules.map((rule) => ({ ...place, kind: "append-rule", chain: chain.name, rule }) as const),
  ];
}

/** The chain of that name, when it hangs on another hook than it should, or on none. The policy of a chain that others
 * use too is theirs. */
function misplaced<H extends Rule>(
  held: readonly Chain<H>[],
  wanted: Chain,
  isPolicyOurs: boolean,
): Chain<H> | undefined {
  const found = held.find(({ name }) => name === wanted.name);
  if (found === undefined || (found.kind === "own" && wanted.kind === "own")) return undefined;
  if (found.kind === "own" || wanted.kind === "own") return found;
  const isSameHook = found.hook === wanted.hook && found.priority === wanted.priority && found.type === wanted.type;
  return isSameHook && (!isPolicyOurs || found.policy === wanted.policy) ? undefined : found;
}

/** Whether the steps take the last that was in a table of iptables: only its base chains are left, and they decide nothing. */
function isEmptyAfter<H extends Rule>(held: HeldTable<H>, steps: readonly Change<H>[]): boolean {
  if (steps.length === 0 || held.hasMore === true) return false;
  const goes = new Set(
    steps.flatMap((step): (Rule | Chain)[] => {
      if (step.kind === "delete-rule") return [step.rule];
      return step.kind === "delete-chain" ? [step.chain] : [];
    }),
  );
  return held.chains.every((chain) => {
    if (goes.has(chain)) return true;
    const isBare = chain.rules.every((rule) => goes.has(rule)) && chain.kind === "base" && chain.policy === "accept";
    return isBare && findBaseChain(held.name, chain.name) !== undefined;
  });
}

function diffChain<H extends Rule>(
  place: Place,
  held: Chain<H>,
  desired: Chain,
  formerly: readonly Rule[],
): Change<H>[] {
  const isWhollyOurs = isOurTable(place.table) || (desired.kind === "own" && isOurChain(desired.name));
  const wanted = desired.rules.map(ruleKey);
  const known = new Set(desired.kind === "base" ? [...wanted, ...formerly.map(ruleKey)] : []);
  known.delete(undefined);
  const isOurRule = (rule: Rule): boolean =>
    isWhollyOurs ||
    (rule.verdict.kind === "jump" && isOurChain(rule.verdict.chain)) ||
    (known.size > 0 && known.has(ruleKey(rule)));
  const ours = held.rules.filter(isOurRule);
  let kept = 0;
  for (const rule of ours) {
    const key = wanted[kept];
    if (key === undefined || key !== ruleKey(rule)) break;
    kept += 1;
  }
  return [
    ...ours.slice(kept).map((rule) => ({ ...place, kind: "delete-rule", chain: desired.name, rule }) as const),
    ...desired.rules.slice(kept).map((rule) => ({ ...place, kind: "append-rule", chain: desired.name, rule }) as const),
  ];
}

function tablesOf(rulesets: readonly Ruleset[], family: Ruleset["family"]): readonly Table[] {
  return rulesets.find((ruleset) => ruleset.family === family)?.tables ?? [];
}

function rulesIn(table: Table | undefined, chain: string): readonly Rule[] {
  return table?.chains.find(({ name }) => name === chain)?.rules ?? [];
}
