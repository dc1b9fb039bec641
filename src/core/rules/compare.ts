// When are two rules the same, and which chains are ours. Intents and handles never count; what was not understood when
// it was read equals nothing.

import type { Rule } from "./model.ts";
import { renderIptablesMatch, renderIptablesVerdict } from "./render-iptables.ts";

/** Own chains of this product and of upstream in the iptables dialect (contract 10.3). */
export function isOurChain(name: string): boolean {
  return name.startsWith("ISTIO_");
}

/** Tables of this product and of upstream in native nftables: all they hold is ours. */
export function isOurTable(name: string): boolean {
  return name.startsWith("istio-");
}

/**
 * A text that two rules share exactly when they match the same packets by the same conditions, in whatever order, and do the
 * same; undefined for a rule that is the same as none. Every field of every match and verdict is in it. Words stand apart by
 * zeros: a chain may be called "RETURN" and an interface "eth0 -p tcp", but no name has a zero in it.
 */
export function ruleKey(rule: Rule): string | undefined {
  if (isOpaque(rule)) return undefined;
  const protocol = rule.matches.find((match) => match.kind === "protocol")?.protocol;
  const conditions = rule.matches.map((match) => renderIptablesMatch(match, protocol).join("\0"));
  return [...conditions.toSorted(), rule.verdict.kind, ...renderIptablesVerdict(rule.verdict, 4)].join("\0");
}

/** Whether the rule holds something we do not model. */
function isOpaque(rule: Rule): boolean {
  return rule.verdict.kind === "opaque" || rule.matches.some(({ kind }) => kind === "opaque");
}
