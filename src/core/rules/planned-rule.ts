// Rules in the order they are thought of, before they have their place: "append" and "insert at" are resolved here into
// the final order of every chain, for one family or both. Also the normal form of a rule.

import { maskCidr } from "../address.ts";
import { INET_TABLES, type InetPrefix, inetChainName, inetTableName } from "./inet-tables.ts";
import { type BaseChainDefinition, IPTABLES_TABLES } from "./iptables-tables.ts";
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

const MATCH_ORDER: readonly Match["kind"][] = ["nfproto", "iifname", "oifname", "protocol", "source", "destination"];

/** The rules of one family in the iptables dialect: tables in the order of iptables-save, own chains sorted by name. */
export function resolvePlan(plan: readonly PlannedRule[], family: 4 | 6): Ruleset {
  const tables = new Map<string, Map<string, Rule[]>>();
  for (const planned of plan) {
    const rule = planned.family === undefined || planned.family === family ? normalRule(planned.rule) : undefined;
    if (rule !== undefined) place(tables, planned, rule);
  }
  const names = [...IPTABLES_TABLES.keys()].filter((name) => tables.has(name));
  return { family, tables: names.map((name) => orderChains(name, tables.get(name) ?? new Map(), IPTABLES_TABLES)) };
}

/** The rules of both families in native nftables: inet tables, whose rules of one family name an address of it. */
export function resolveInetPlan(plan: readonly PlannedRule[], prefix: InetPrefix = "istio-proxy"): Ruleset {
  const tables = new Map<string, Map<string, Rule[]>>();
  for (const planned of plan) {
    const { verdict } = planned.rule;
    const renamed = verdict.kind === "jump" ? { ...verdict, chain: inetChainName(verdict.chain) } : verdict;
    const chain = inetChainName(planned.chain);
    const rule = orderMatches({ ...planned.rule, matches: planned.rule.matches.map(sortPorts), verdict: renamed });
    place(tables, { ...planned, table: inetTableName(planned.table, prefix), chain }, rule);
  }
  const names = [...INET_TABLES.keys()].filter((name) => tables.has(name));
  return { family: "inet", tables: names.map((name) => orderChains(name, tables.get(name) ?? new Map(), INET_TABLES)) };
}

/** A set has no order; it is read back sorted. */
function sortPorts(match: Match): Match {
  if (match.kind !== "sports" && match.kind !== "dports") return match;
  return { ...match, ports: match.ports.toSorted((left, right) => left - right) };
}

/** Puts a rule into its chain, at its index or at the end, and makes the chain it jumps to. */
function place(tables: Map<string, Map<string, Rule[]>>, planned: PlannedRule, rule: Rule): void {
  const chains = getOrAdd(tables, planned.table, () => new Map<string, Rule[]>());
  const rules = getOrAdd(chains, planned.chain, () => []);
  rules.splice(planned.at ?? rules.length, 0, rule);
  if (rule.verdict.kind === "jump") getOrAdd(chains, rule.verdict.chain, () => []);
}

/**
 * The one way to write a rule that the kernel can hold: fixed matches first and in their order, no bits behind a mask, no
 * match that always holds ("-d 0.0.0.0/0"). Undefined when a match can never hold ("! -d 0.0.0.0/0").
 */
export function normalRule(rule: Rule): Rule | undefined {
  const isEverything = (match: Match): boolean =>
    (match.kind === "source" || match.kind === "destination") && match.cidr.prefixLength === 0;
  if (rule.matches.some((match) => isEverything(match) && match.kind !== "opaque" && match.negated)) return undefined;
  return orderMatches({ ...rule, matches: rule.matches.filter((match) => !isEverything(match)) });
}

/** The fixed matches first and in their order, the others as they stand, no bits behind a mask. */
export function orderMatches(rule: Rule): Rule {
  const masked = rule.matches.map((match) =>
    match.kind === "source" || match.kind === "destination" ? { ...match, cidr: maskCidr(match.cidr) } : match,
  );
  return { ...rule, matches: masked.toSorted((left, right) => rank(left) - rank(right)) };
}

function rank(match: Match): number {
  const index = MATCH_ORDER.indexOf(match.kind);
  return index < 0 ? MATCH_ORDER.length : index;
}

function orderChains(
  table: string,
  chains: ReadonlyMap<string, readonly Rule[]>,
  definitions: ReadonlyMap<string, readonly BaseChainDefinition[]>,
): Table {
  const baseChains = definitions.get(table) ?? [];
  const base = baseChains.flatMap((definition): Chain[] => {
    const rules = chains.get(definition.name);
    return rules === undefined ? [] : [{ ...definition, rules }];
  });
  const own = [...chains]
    .filter(([name]) => !baseChains.some((definition) => definition.name === name))
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
