// Verdicts that both dialects write as one immediate expression (return, accept, drop, jump), in both directions.

import type { Verdict } from "../rules/model.ts";
import type { Expression } from "./nft-expression.ts";
import { VERDICT_CODE } from "./nft-expression.ts";

type PlainVerdict = Extract<Verdict, { kind: "return" | "accept" | "drop" | "jump" }>;

export function encodePlainVerdict(verdict: PlainVerdict): Expression {
  return verdict.kind === "jump"
    ? { kind: "verdict", code: VERDICT_CODE.jump, chain: verdict.chain }
    : { kind: "verdict", code: VERDICT_CODE[verdict.kind] };
}

/** Undefined for a code that is none of ours, goto for instance. */
export function decodePlainVerdict({
  code,
  chain,
}: Extract<Expression, { kind: "verdict" }>): PlainVerdict | undefined {
  if (code === VERDICT_CODE.jump) return chain === undefined ? undefined : { kind: "jump", chain };
  const kind = (["return", "accept", "drop"] as const).find((name) => VERDICT_CODE[name] === code);
  return kind === undefined ? undefined : { kind };
}
