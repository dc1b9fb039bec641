// One rule in the dialect of iptables-nft 1.8.9: what it writes natively (interface, protocol, address, port, mark) and
// what it leaves to xtables (the rest), in both directions. Reading also understands the forms of older iptables.

import type { Family } from "../address.ts";
import type { Match, Opaque, Rule, Verdict } from "../rules/model.ts";
import type { Expression } from "./nft-expression.ts";
import { decodePlainMatch, encodePlainMatch } from "./nft-match.ts";
import { decodePlainVerdict, encodePlainVerdict } from "./nft-verdict.ts";
import { decodeXtMatch, encodeXtMatch, NO_SETS, type SetNumbers } from "./xt-match.ts";
import { decodeXtTarget, encodeXtTarget } from "./xt-target.ts";

/**
 * The expressions of a rule. `sets`: the ipsets it looks into. Throws RangeError or TypeError when it cannot be written
 * (opaque, too many ports, a set nobody knows).
 */
export function encodeRule(rule: Rule, family: Family, sets: SetNumbers = NO_SETS): Expression[] {
  const matches = rule.matches.flatMap((match) => encodeMatch(match, sets));
  return [...matches, { kind: "counter" }, encodeVerdict(rule.verdict, family)];
}

/** The rule that expressions stand for; what is not understood becomes one opaque match or verdict. */
export function decodeRule(expressions: readonly Expression[], family: Family, sets: SetNumbers = NO_SETS): Rule {
  const matches: Match[] = [];
  let verdict: Verdict | undefined;
  let index = 0;
  while (index < expressions.length) {
    const expression = expressions[index];
    if (expression === undefined) break;
    if (verdict !== undefined) return opaqueRule(matches, `${summary(expression)} behind the verdict`);
    const step = decodeStep(expressions.slice(index, index + 3), family, sets);
    if (step === undefined) return opaqueRule(matches, summary(expression));
    matches.push(...(step.matches ?? []));
    verdict = step.verdict;
    index += step.length;
  }
  return verdict === undefined ? opaqueRule(matches, "no verdict") : { intent: "", matches, verdict };
}

function encodeMatch(match: Match, sets: SetNumbers): Expression[] {
  if (match.kind === "opaque") {
    throw new TypeError(`Cannot encode a rule that was not understood when it was read: ${match.summary}`);
  }
  return encodePlainMatch(match) ?? [encodeXtMatch(match, sets)];
}

function encodeVerdict(verdict: Verdict, family: Family): Expression {
  switch (verdict.kind) {
    case "return":
    case "accept":
    case "drop":
    case "jump":
      return encodePlainVerdict(verdict);
    case "opaque":
      throw new TypeError(`Cannot encode a rule that was not understood when it was read: ${verdict.summary}`);
    default:
      return encodeXtTarget(verdict, family);
  }
}

type Step = { readonly length: number; readonly matches?: readonly Match[]; readonly verdict?: Verdict };

/** What the expressions at hand begin with, undefined when it is nothing we know. */
function decodeStep(window: readonly Expression[], family: Family, sets: SetNumbers): Step | undefined {
  const [first, second, third] = window;
  switch (first?.kind) {
    case "counter":
      return { length: 1 };
    case "verdict":
      return wrapVerdict(decodePlainVerdict(first));
    case "target":
      return wrapVerdict(decodeXtTarget(first, family));
    case "match": {
      const matches = decodeXtMatch(first, family, sets);
      return matches === undefined ? undefined : { length: 1, matches };
    }
    case "meta":
    case "payload": {
      const mask = second?.kind === "bitwise" && second.xor.every((byte) => byte === 0) ? second.mask : undefined;
      const compared = mask === undefined ? second : third;
      if (compared?.kind !== "cmp") return undefined;
      const matches = decodePlainMatch(first, mask, compared.value, compared.operator === "neq", family);
      return matches === undefined ? undefined : { length: mask === undefined ? 2 : 3, matches };
    }
    default:
      return undefined;
  }
}

function wrapVerdict(verdict: Verdict | undefined): Step | undefined {
  return verdict === undefined ? undefined : { length: 1, verdict };
}

function opaqueRule(matches: readonly Match[], text: string): Rule {
  const opaque: Opaque = { kind: "opaque", summary: text };
  return { intent: "", matches: [...matches, opaque], verdict: opaque };
}

function summary(expression: Expression): string {
  if (expression.kind === "match" || expression.kind === "target") {
    return `${expression.kind} ${expression.name} revision ${expression.revision}`;
  }
  return expression.kind === "unknown" ? expression.name : expression.kind;
}
