// What a netns holds against what it should hold, said for people. Only what is ours counts: other people's rules and
// chains may stand beside, but not before ours in a base chain where they would decide first.
import { findRules, isOurChain, isSameRule } from "./compare.ts";
import type { Chain, Rule, Ruleset } from "./model.ts";

/** One sentence per difference, in the order of the desired rules; empty when everything stands. */
export function describeDrift(held: readonly Ruleset[], desired: readonly Ruleset[]): string[] {
  return [...missing(held, desired), ...surplus(held, desired)];
}

function missing(held: readonly Ruleset[], desired: readonly Ruleset[]): string[] {
  return desired.flatMap(({ family, tables }) =>
    tables.flatMap(({ name: table, chains }) =>
      chains.flatMap((chain) => {
        const where = `${table}/${chain.name} of IPv${family}`;
        const found = findChain(held, family, table, chain.name);
        if (found === undefined) return [`chain ${where} is missing`];
        if (chain.kind === "own") return sameSequence(found.rules, chain.rules) ? [] : [`chain ${where} was altered`];
        // Rules of others may stand between and behind ours; the order among ours counts.
        let next = 0;
        for (const rule of found.rules) {
          const wanted = chain.rules[next];
          if (wanted !== undefined && isSameRule(rule, wanted)) next++;
        }
        return next === chain.rules.length ? [] : [`rule ${next + 1} of ours in ${where} is missing`];
      }),
    ),
  );
}

/** Chains and jumps of ours that should not be there: left over from another capture. */
function surplus(held: readonly Ruleset[], desired: readonly Ruleset[]): string[] {
  return held.flatMap(({ family, tables }) =>
    tables.flatMap(({ name: table, chains }) =>
      chains.flatMap((chain) => {
        const where = `${table}/${chain.name} of IPv${family}`;
        const isWanted = findChain(desired, family, table, chain.name) !== undefined;
        if (chain.kind === "own") return isOurChain(chain.name) && !isWanted ? [`chain ${where} is left over`] : [];
        const wanted = findRules(desired, family, table, chain.name);
        const jumps = (rules: readonly Rule[]) =>
          rules.filter(({ verdict }) => verdict.kind === "jump" && isOurChain(verdict.chain)).length;
        return jumps(chain.rules) > jumps(wanted) ? [`a jump in ${where} is left over`] : [];
      }),
    ),
  );
}

function sameSequence(left: readonly Rule[], right: readonly Rule[]): boolean {
  return (
    left.length === right.length &&
    left.every((rule, index) => {
      const other = right[index];
      return other !== undefined && isSameRule(rule, other);
    })
  );
}

function findChain(
  rulesets: readonly Ruleset[],
  family: Ruleset["family"],
  table: string,
  name: string,
): Chain | undefined {
  return rulesets
    .find((ruleset) => ruleset.family === family)
    ?.tables.find((candidate) => candidate.name === table)
    ?.chains.find((chain) => chain.name === name);
}
