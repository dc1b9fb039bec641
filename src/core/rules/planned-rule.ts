// Rules in the order they are thought of, before they have their place: "append" and "insert at" are resolved here into
// the final order of every chain, for one family or both. Also the normal form of a rule.

import { maskCidr } from "../address.ts";
import { findBaseChain, IPTABLES_TABLES } from "./iptables-tables.ts";
import type { Chain, Match, OwnChain, Rule, Ruleset, Table } from "./model.ts";

/** A rule and where it goes. */
export type PlannedRule = {
  readonly table: string;
  readonly chain: string;
  /** Only for this family; undefined: for both. */
  readonly family?: 4 | 6;
  /** Index in the chain as it is at that moment ("-I CHAIN n" is n - 1); undefined: behind the last rule. */
  readonly at?: number;
  readonly rule: Rule;
};

const MATCH_ORDER: readonly Match["kind"][] = ["iifname", "oifname", "protocol", "source", "destination"];

/** The rules of one family in the iptables dialect: tables in the order of iptables-save, own chains sorted by name. */
export function resolvePlan(plan: readonly PlannedRule[], family: 4 | 6): Ruleset {
  const tables = new Map<string, Map<string, Rule[]>>();
  for (const planned of plan) {
    if (planned.family !== undefined && planned.family !== family) continue;
    const rule = normalRule(planned.rule);
    if (rule === undefined) continue;
    const chains = getOrAdd(tables, planned.table, () => new Map<string, Rule[]>());
    const rules = getOrAdd(chains, planned.chain, () => []);
    rules.splice(planned.at ?? rules.length, 0, rule);
    if (rule.verdict.kind === "jump") getOrAdd(chains, rule.verdict.chain, () => []);
  }
  const names = [...IPTABLES_TABLES.keys()].filter((name) => tables.has(name));
  return { family, tables: names.map((name) => orderChains(name, tables.get(name) ?? new Map())) };
}

/**
 * The one way to write a rule that the kernel can hold: fixed matches first and in their order, no bits behind a mask, no
 * match that always holds ("-d 0.0.0.0/0"). Undefined when a match can never hold ("! -d 0.0.0.0/0").
 */
export function normalRule(rule: Rule): Rule | undefined {
  const matches: Match[] = [];
  for (const match of rule.matches) {
    const isAddress = match.kind === "source" || match.kind === "destination";
    if (isAddress && match.cidr.prefixLength === 0) {
      if (match.negated) return undefined;
    } else matches.push(isAddress ? { ...match, cidr: maskCidr(match.cidr) } : match);
  }
  return { ...rule, matches: matches.toSorted((left, right) => rank(left) - rank(right)) };
}

function rank(match: Match): number {
  const index = MATCH_ORDER.indexOf(match.kind);
  return index < 0 ? MATCH_ORDER.length : index;
}

function orderChains(table: string, chains: ReadonlyMap<string, readonly Rule[]>): Table {
  const base = (IPTABLES_TABLES.get(table) ?? []).flatMap((definition): Chain[] => {
    const rules = chains.get(definition.name);
    return rules === undefined ? [] : [{ ...definition, rules }];
  });
  const own = [...chains]
    .filter(([name]) => findBaseChain(table, name) === undefined)
    .map(([name, rules]): OwnChain => ({ kind: "own", name, rules }))
    .toSorted((left, right) => (left.name < right.name ? -1 : 1));
  return { name: table, chains: [...base, ...own] };
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
