// The rules a pod should have, one line each, in the words of the tool that shows them, with what each is for.

import type { BackendDialect } from "../policy/backend-features.ts";
import { type PodCapture, podInetRules, podRules } from "../rules/pod-capture.ts";
import { renderIptablesRule } from "../rules/render-iptables.ts";
import { renderNftRule } from "../rules/render-nft.ts";
import type { PodExplanation } from "./status-document.ts";

const MAX_RULES = 400;

export function describeRules(capture: PodCapture, dialect: BackendDialect): NonNullable<PodExplanation["rules"]> {
  const isNative = dialect === "nftables";
  const rulesets = isNative ? podInetRules(capture) : podRules(capture);
  const list = rulesets.flatMap(({ family, tables }) =>
    tables.flatMap(({ name: table, chains }) =>
      chains.flatMap((chain) =>
        chain.rules.map((rule) => ({
          family: family === "inet" ? family : `ipv${family}`,
          table,
          chain: chain.name,
          rule: isNative ? renderNftRule(rule) : renderIptablesRule(chain.name, rule, family),
          intent: rule.intent,
        })),
      ),
    ),
  );
  return { dialect, list: list.slice(0, MAX_RULES), omitted: Math.max(0, list.length - MAX_RULES) };
}
