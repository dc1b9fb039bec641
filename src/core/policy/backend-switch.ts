// Two sets of rules of one capture in one namespace, for the moment in which a pod moves from one dialect to the other.
//
// Both sets must stand for that moment, else something passes uncaptured: no commit spans nf_tables and iptables legacy,
// and even within nf_tables a packet may be between the two chains of a hook when the generation changes.
//
// nat     Conntrack asks the nat chains of a hook one after the other until one has decided (nf_nat_inet_fn,
//         net/netfilter/nf_nat_core.c). Two equal sets decide like one, whoever is asked first, and only for the first
//         packet of a connection; connections that exist keep their translation as long as any nat chain is registered,
//         hence the new set before the old one goes.
// raw     A packet gets a conntrack zone once; the second CT target does nothing (xt_ct_target).
// mangle  Not harmless. Whichever set is asked second sees the mark that the first one's TPROXY or ISTIO_DIVERT just gave,
//         takes the packet for one of the proxy's own and saves the mark for its connection ("-m mark --mark 1337 -j
//         CONNMARK --save-mark"): from then on the proxy's answers to the client are routed to lo, until that connection
//         ends. Which set is asked first depends on when each chain was registered, so no order is safe.
//         In OUTPUT, though, that mark is on the proxy's own packets only: saving it there means the same for them, both
//         see the same conntrack entry on lo, and nothing that comes in is touched. While two sets stand, both save there.

import type { Chain, Match, Rule, Ruleset, Table } from "../rules/model.ts";
import { mark, oifname, rule, SAVE_MARK, TCP } from "../rules/rule-words.ts";
import { TPROXY_MARK } from "../rules/sidecar-numbers.ts";

/** The same capture, fit to stand beside another set of itself. Equal to its argument where no mark is saved. */
export function besideAnother(rulesets: readonly Ruleset[]): Ruleset[] {
  return rulesets.map((ruleset) => ({
    family: ruleset.family,
    tables: ruleset.tables.map(({ name, chains }) => ({
      name,
      chains: chains.some(savesOnArrival) ? chains.map(savingOnOutput) : chains,
    })),
  }));
}

/** All rules of several rulesets, chain by chain: what a namespace may hold of ours. No order is kept between them. */
export function joinRulesets(sets: readonly (readonly Ruleset[])[]): Ruleset[] {
  const joined: Ruleset[] = [];
  for (const ruleset of sets.flat()) {
    const index = joined.findIndex(({ family }) => family === ruleset.family);
    const before = joined[index];
    if (before === undefined) joined.push(ruleset);
    else joined[index] = { family: ruleset.family, tables: joinByName(before.tables, ruleset.tables, joinTables) };
  }
  return joined;
}

/** Whether a capture has rules that two sets of would disturb each other. */
export function disturbsAnother(rulesets: readonly Ruleset[]): boolean {
  return rulesets.some(({ tables }) => tables.some(({ chains }) => chains.some(savesOnArrival)));
}

function savesOnArrival(chain: Chain): boolean {
  return chain.kind === "base" && chain.hook === "prerouting" && chain.rules.some(isSave);
}

function savingOnOutput(chain: Chain): Chain {
  if (chain.kind !== "base") return chain;
  if (chain.hook === "prerouting") return { ...chain, rules: chain.rules.filter((candidate) => !isSave(candidate)) };
  if (chain.hook !== "output") return chain;
  const intent = "The mark the proxy gave a packet is remembered for its connection, while two sets of rules stand";
  return { ...chain, rules: [rule(intent, [oifname("lo"), TCP, mark(TPROXY_MARK)], SAVE_MARK), ...chain.rules] };
}

function joinTables(left: Table, right: Table): Table {
  const chains = joinByName(left.chains, right.chains, (one, other) => ({
    ...one,
    rules: [...one.rules, ...other.rules],
  }));
  return { name: left.name, chains };
}

function joinByName<T extends { readonly name: string }>(
  left: readonly T[],
  right: readonly T[],
  join: (one: T, other: T) => T,
): T[] {
  const merged = left.map((one) => {
    const other = right.find(({ name }) => name === one.name);
    return other === undefined ? one : join(one, other);
  });
  return [...merged, ...right.filter(({ name }) => !left.some((one) => one.name === name))];
}

function isSave({ matches, verdict }: Rule): boolean {
  return verdict.kind === "connmark-save" && matches.some(isProxyMark);
}

function isProxyMark(match: Match): boolean {
  return match.kind === "mark" && !match.negated && match.value === TPROXY_MARK;
}
