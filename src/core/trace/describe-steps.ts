// What happened to a packet, step by step, for people: each rule as its tool writes it, and what it is for. The kernel does not
// know what rules are for; those that the pod should have are looked up among the rules of its capture.

import { isOurTable, ruleKey } from "../rules/compare.ts";
import { IPTABLES_TABLES } from "../rules/iptables-tables.ts";
import type { Rule, Verdict } from "../rules/model.ts";
import { type PodCapture, podInetRules, podRules } from "../rules/pod-capture.ts";
import { renderIptablesRule } from "../rules/render-iptables.ts";
import { renderNftRule } from "../rules/render-nft.ts";
import type { TraceStep } from "../rules/tracer.ts";
import { cutText } from "../short-text.ts";
import type { TraceDocument } from "./trace-document.ts";

export type StepWords = Pick<TraceDocument, "steps" | "omittedSteps">;

/** Why rules are there, by what they are and where. */
export type WantedRules = ReadonlyMap<string, string>;

/** A packet meets a few dozen rules of ours; somebody else's may be more. */
const MAX_STEPS = 200;
const MAX_RULE_TEXT = 1024;

/** In every dialect: which of them stands is another question. */
export function wantedRules(capture: PodCapture): WantedRules {
  return new Map(
    [...podRules(capture), ...podInetRules(capture)].flatMap(({ family, tables }) =>
      tables.flatMap(({ name: table, chains }) =>
        chains.flatMap(({ name: chain, rules }) =>
          rules.map((rule) => [keyOf({ family, table, chain }, rule), rule.intent] as const),
        ),
      ),
    ),
  );
}

export function describeSteps(steps: readonly TraceStep[], wanted: WantedRules): StepWords {
  return {
    steps: steps.slice(0, MAX_STEPS).map((step) => describeStep(step, wanted)),
    omittedSteps: Math.max(0, steps.length - MAX_STEPS),
  };
}

function describeStep(step: TraceStep, wanted: WantedRules): StepWords["steps"][number] {
  const { table, chain, what } = step;
  const place = { family: step.family === "inet" ? "inet" : `ipv${step.family}`, table, chain };
  if (what.kind === "policy")
    return { ...place, rule: null, meaning: "No rule decided, and the chain's policy is drop", isWanted: false };
  if (what.kind === "no-route") {
    return { ...place, rule: null, meaning: "There is no route for the mark that the chain gave it", isWanted: false };
  }
  const intent = wanted.get(keyOf(step, what.rule));
  return {
    ...place,
    rule: renderRule(step, what.rule),
    meaning: intent ?? `Not a rule this pod should have: ${effectOf(what.rule.verdict)}`,
    isWanted: intent !== undefined,
  };
}

function keyOf({ family, table, chain }: Pick<TraceStep, "family" | "table" | "chain">, rule: Rule): string {
  return `${family} ${table} ${chain} ${ruleKey(rule)}`;
}

function renderRule({ family, table, chain }: TraceStep, rule: Rule): string {
  const isNft = family === "inet" || isOurTable(table) || !IPTABLES_TABLES.has(table);
  const text = isNft ? renderNftRule(rule) : renderIptablesRule(chain, rule, family);
  return cutText(text, MAX_RULE_TEXT);
}

function effectOf(verdict: Verdict): string {
  switch (verdict.kind) {
    case "return":
      return "the packet leaves the chain";
    case "accept":
      return "the table lets the packet go on";
    case "drop":
      return "the packet is dropped";
    case "jump":
      return `the packet goes through chain ${verdict.chain}`;
    case "redirect":
      return `the connection goes to port ${verdict.port} of the pod`;
    case "tproxy":
      return `the packet goes to the socket on port ${verdict.port}`;
    case "snat":
      return "the connection gets another source address";
    case "set-xmark":
    case "connmark-restore":
      return "the packet gets a mark";
    case "connmark-set-xmark":
    case "connmark-save":
      return "the connection gets a mark";
    case "ct-zone":
      return `the connection is tracked in zone ${verdict.zone}`;
    case "opaque":
      return "what it does is not understood";
  }
}
