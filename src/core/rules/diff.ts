// What has to change so that a netns holds the desired rules: as few steps as keep every chain's order, rules of others
// untouched. Creating is the difference from nothing, removing the difference to nothing.

import { isOurChain, isOurTable, ruleKey } from "./compare.ts";
import type { Chain, Rule, Ruleset, Table } from "./model.ts";

/** One step; a batch carries out all of them in this order, at once. */
export type Change<H extends Rule = Rule> = { readonly family: Ruleset["family"]; readonly table: string } & (
  | { readonly kind: "add-table" }
  | { readonly kind: "delete-table" }
  | { readonly kind: "add-chain"; readonly chain: Chain }
  | { readonly kind: "delete-rule"; readonly chain: string; readonly rule: H }
  | { readonly kind: "append-rule"; readonly chain: string; readonly rule: Rule }
  | { readonly kind: "delete-chain"; readonly chain: string }
);

/**
 * The steps from `held` to `desired`; none: everything stands. Ours are: own chains with our names and all they hold; in
 * the chains of others the rules that jump there; in base chains the rules that equal a desired rule of that chain or one
 * of `formerly` (what was applied before: the only way to know, say, a RETURN for an interface as ours). Where ours begin
 * as desired, that part stays; what follows is deleted and appended, behind rules of others.
 */
export function diffRulesets<H extends Rule>(
  held: readonly Ruleset<H>[],
  desired: readonly Ruleset[],
  formerly: readonly Ruleset[] = [],
): Change<H>[] {
  const families = [...new Set([...held, ...desired].map(({ family }) => family))];
  const steps = families.flatMap((family) => {
    const heldTables = tablesOf(held, family);
    const desiredTables = tablesOf(desired, family);
    const names = [...new Set([...desiredTables, ...heldTables].map(({ name }) => name))];
    return names.map((table) =>
      diffTable(
        { family, table },
        heldTables.find(({ name }) => name === table),
        desiredTables.find(({ name }) => name === table),
        tablesOf(formerly, family).find(({ name }) => name === table),
      ),
    );
  });
  // Rules go before the chains they jump to, chains come before the rules that jump to them.
  const order: Change["kind"][] = [
    "add-table",
    "add-chain",
    "delete-rule",
    "append-rule",
    "delete-chain",
    "delete-table",
  ];
  return order.flatMap((kind) => steps.flat().filter((step) => step.kind === kind));
}

type Place = { readonly family: Ruleset["family"]; readonly table: string };

function diffTable<H extends Rule>(
  place: Place,
  held: Table<H> | undefined,
  desired: Table | undefined,
  formerly: Table | undefined,
): Change<H>[] {
  if (desired === undefined && isOurTable(place.table))
    return held === undefined ? [] : [{ ...place, kind: "delete-table" }];
  const heldChains = held?.chains ?? [];
  const desiredChains = desired?.chains ?? [];
  const isWanted = (name: string): boolean => desiredChains.some((chain) => chain.name === name);
  const isOurs = (name: string): boolean => isOurTable(place.table) || isOurChain(name);
  const changed = desiredChains.flatMap((chain): Change<H>[] => {
    const before = heldChains.find(({ name }) => name === chain.name);
    const added: Change<H>[] = before === undefined ? [{ ...place, kind: "add-chain", chain }] : [];
    return [...added, ...diffChain(place, before, chain, rulesIn(formerly, chain.name))];
  });
  const leftOver = heldChains
    .filter((chain) => !isWanted(chain.name))
    .flatMap((chain): Change<H>[] => {
      const surplus: Chain = { ...chain, rules: [] };
      const emptied = diffChain(place, chain, surplus, rulesIn(formerly, chain.name));
      const isOurOwn = isOurs(chain.name) && (chain.kind === "own" || isOurTable(place.table));
      return isOurOwn ? [...emptied, { ...place, kind: "delete-chain", chain: chain.name }] : emptied;
    });
  const isNew = held === undefined && desired !== undefined;
  return [...(isNew ? [{ ...place, kind: "add-table" } as const] : []), ...changed, ...leftOver];
}

function diffChain<H extends Rule>(
  place: Place,
  held: Chain<H> | undefined,
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
  const ours = (held?.rules ?? []).filter(isOurRule);
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

function tablesOf<R extends Rule>(rulesets: readonly Ruleset<R>[], family: Ruleset["family"]): readonly Table<R>[] {
  return rulesets.find((ruleset) => ruleset.family === family)?.tables ?? [];
}

function rulesIn(table: Table | undefined, chain: string): readonly Rule[] {
  return table?.chains.find(({ name }) => name === chain)?.rules ?? [];
}
