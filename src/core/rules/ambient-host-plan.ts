// What has to change in the node's own network namespace so that it lets probes in, and nothing but that: of all the tables
// there only ours is looked at, and of the tables of iptables only chain ISTIO_POSTRT and the jumps to it. Chains and tables
// with our names that pods have (a node may itself be captured, as a virtual machine is) are not the host's and stay.
//
// The jump is written before all others of POSTROUTING, because the first rule that gives a connection a source decides. What
// others put before it afterwards is their choice of an instant later; some do so again and again (Calico's felix puts its own
// jump first at every look). Whether it stands first is therefore told apart from everything else, and the caller says when it
// may be moved.

import { AMBIENT_CHAIN } from "./ambient-numbers.ts";
import { type Change, diffRulesets, type HeldTable, type HeldTables } from "./diff.ts";
import { describeDrift } from "./drift.ts";
import { inetTableName } from "./inet-tables.ts";
import { findBaseChain } from "./iptables-tables.ts";
import type { Chain, Rule, Ruleset } from "./model.ts";

/** The native table of the host; upstream's name. */
export const HOST_INET_TABLE = inetTableName("nat", "istio-ambient");
const HOST_TABLE = "nat";
const HOOKED_CHAIN = "POSTROUTING";

/** A step of a plan: those of a diff, and a rule that goes before all others of its chain (iptables -I CHAIN 1). */
export type HostStep<H extends Rule = Rule> =
  | Change<H>
  | {
      readonly family: Ruleset["family"];
      readonly table: string;
      readonly kind: "insert-rule";
      readonly chain: string;
      readonly rule: Rule;
    };

/** From what was read to what should stand. */
export type HostPlan<H extends Rule = Rule> = {
  /** In their order; none: it stands. */
  readonly steps: readonly HostStep<H>[];
  /** One sentence for each thing that differs, also where it is not to be changed now. */
  readonly sentences: readonly string[];
  /** Our jump stands behind rules of others. */
  readonly isBehind: boolean;
  /** Something of ours is there already. */
  readonly wasThere: boolean;
  /** Why the rules cannot be written without harm to others, as a clause; undefined: they can. */
  readonly obstacle: string | undefined;
};

/**
 * The plan for one dialect. `held`: tables as they were read, those of others included. `desired` empty: all of ours goes.
 * `mayMove`: a jump that stands behind rules of others is put first again.
 */
export function planHostRules<H extends Rule>(
  held: readonly HeldTables<H>[],
  desired: readonly Ruleset[],
  { mayMove }: { readonly mayMove: boolean },
): HostPlan<H> {
  const view = held.map(({ family, tables }) => ({ family, tables: tables.flatMap((table) => viewOf(family, table)) }));
  const obstacle = findObstacle(held, desired);
  const changes = diffRulesets<H>(view, desired);
  const behind = desired.flatMap((ruleset) => findBehind(held, ruleset, changes));
  const moves = behind.flatMap(({ family, chain, rule, standing }): HostStep<H>[] => [
    { family, table: HOST_TABLE, kind: "delete-rule", chain, rule: standing },
    { family, table: HOST_TABLE, kind: "insert-rule", chain, rule },
  ]);
  return {
    steps: [...changes.map(asInsertion), ...(mayMove ? moves : [])],
    sentences: [
      ...describeDrift(changes),
      ...behind.map(
        ({ family, chain }) => `rules of others stand before ours in chain ${HOST_TABLE}/${chain} of IPv${family}`,
      ),
    ],
    isBehind: behind.length > 0,
    wasThere: view.some(({ tables }) => tables.some(holdsOurs)),
    obstacle,
  };
}

/** What of a table is ours to change. `hasMore` keeps a table that others use too. */
function viewOf<H extends Rule>(family: Ruleset["family"], table: HeldTable<H>): HeldTable<H>[] {
  if (family === "inet") return table.name === HOST_INET_TABLE ? [table] : [];
  if (table.name !== HOST_TABLE) return [];
  let hasMore = table.hasMore === true;
  const chains = table.chains.flatMap((chain): Chain<H>[] => {
    if (chain.kind === "own" && chain.name === AMBIENT_CHAIN.postrouting) return [chain];
    if (chain.name !== HOOKED_CHAIN) {
      const isBare = chain.kind === "base" && chain.rules.length === 0 && chain.policy === "accept";
      hasMore ||= !isBare || findBaseChain(table.name, chain.name) === undefined;
      return isBare ? [chain] : [];
    }
    const rules = chain.rules.filter(isOurJump);
    hasMore ||= rules.length < chain.rules.length;
    return [{ ...chain, rules }];
  });
  return [{ ...table, chains, ...(hasMore && { hasMore }) }];
}

function isOurJump({ verdict }: Rule): boolean {
  return verdict.kind === "jump" && verdict.chain === AMBIENT_CHAIN.postrouting;
}

function holdsOurs({ name, chains }: HeldTable): boolean {
  if (name === HOST_INET_TABLE) return true;
  return chains.some((chain) => chain.name === AMBIENT_CHAIN.postrouting || chain.rules.length > 0);
}

/** Somebody has a chain POSTROUTING that is not iptables'. To make ours anew would take what is in it. */
function findObstacle(held: readonly HeldTables[], desired: readonly Ruleset[]): string | undefined {
  for (const { family } of desired) {
    if (family === "inet") continue;
    const table = held.find((one) => one.family === family)?.tables.find(({ name }) => name === HOST_TABLE);
    const chain = table?.chains.find(({ name }) => name === HOOKED_CHAIN);
    const definition = findBaseChain(HOST_TABLE, HOOKED_CHAIN);
    if (chain === undefined || definition === undefined) continue;
    const isUsable =
      chain.kind === "base" &&
      chain.hook === definition.hook &&
      chain.type === definition.type &&
      chain.priority === definition.priority;
    if (!isUsable) return `chain ${HOST_TABLE}/${HOOKED_CHAIN} of IPv${family} is not as iptables makes it`;
  }
  return undefined;
}

type Behind<H extends Rule> = {
  readonly family: Ruleset["family"];
  readonly chain: string;
  readonly rule: Rule;
  readonly standing: H;
};

/** Our first rules that stand and stay, but not first once the changes are made. */
function findBehind<H extends Rule>(
  held: readonly HeldTables<H>[],
  { family, tables }: Ruleset,
  changes: readonly Change<H>[],
): Behind<H>[] {
  if (family === "inet") return [];
  const rule = tables.flatMap(({ chains }) => chains.flatMap(({ rules }) => rules)).find(({ isFirst }) => isFirst);
  const heldTable = held.find((one) => one.family === family)?.tables.find(({ name }) => name === HOST_TABLE);
  const gone = new Set<Rule>(changes.flatMap((change) => (change.kind === "delete-rule" ? [change.rule] : [])));
  const rules = (heldTable?.chains.find(({ name }) => name === HOOKED_CHAIN)?.rules ?? []).filter(
    (one) => !gone.has(one),
  );
  const standing = rules.find(isOurJump);
  if (rule === undefined || standing === undefined || rules[0] === standing) return [];
  return [{ family, chain: HOOKED_CHAIN, rule, standing }];
}

function asInsertion<H extends Rule>(change: Change<H>): HostStep<H> {
  if (change.kind !== "append-rule" || change.rule.isFirst !== true) return change;
  return { ...change, kind: "insert-rule" };
}
