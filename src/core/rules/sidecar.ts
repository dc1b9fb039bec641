// The sidecar redirection of one pod as rules: contract 5.4, row by row. The numbers in the comments are its rows.
//
//   in:   PREROUTING → ISTIO_INBOUND → ISTIO_IN_REDIRECT (:15006), or by TPROXY → ISTIO_TPROXY, ISTIO_DIVERT
//   out:  OUTPUT → ISTIO_OUTPUT → ISTIO_REDIRECT (:15001)
//   DNS:  OUTPUT → ISTIO_OUTPUT → ISTIO_OUTPUT_DNS (:15053), conntrack zones in raw
//
// Chains, order and quirks are upstream's (contract 10.3), so that either implementation can take over a running pod.

import { everyAddress, FAMILIES } from "../address.ts";
import { familiesOf, isIn } from "./families.ts";
import { findBaseChain } from "./iptables-tables.ts";
import type { PodNetwork, Ruleset } from "./model.ts";
import type { PlannedRule } from "./planned-rule.ts";
import { resolveInetPlan, resolvePlan } from "./planned-rule.ts";
import { nfproto, RETURN, rule } from "./rule-words.ts";
import type { SidecarCapture } from "./sidecar-capture.ts";
import { planDns } from "./sidecar-dns.ts";
import { planInbound, planTunnelAndRedirects } from "./sidecar-inbound.ts";
import { planInterfaces, planInvalidDrop } from "./sidecar-interfaces.ts";
import { PASSTHROUGH_SOURCE_V6, ROUTE_RULE_PRIORITY, ROUTE_TABLE, TPROXY_MARK } from "./sidecar-numbers.ts";
import { planDestinations, planExcludedPorts, planOwnerGroups, planProxyOwners } from "./sidecar-outbound.ts";
import { planTproxyMarks } from "./sidecar-tproxy.ts";

/** The rules of every family that is captured, in the iptables dialect. Equal captures give equal rulesets. */
export function sidecarRules(capture: SidecarCapture): Ruleset[] {
  const plan = planSidecar(capture, "iptables");
  return familiesOf(capture).map((family) => resolvePlan(plan, family));
}

/**
 * The rules in native nftables: contract 5.5. One set of tables acts on both families; where only one is captured, the other
 * leaves every base chain by its first rule. So a family is redirected with its exemptions or not at all (upstream redirects
 * both and exempts one, D32).
 */
export function sidecarInetRules(capture: SidecarCapture): Ruleset {
  const isCaptured = (family: 4 | 6): boolean => isIn(capture.families, family);
  const plan = planSidecar(capture, "nftables").filter(({ family }) => family === undefined || isCaptured(family));
  const [left, other] = FAMILIES.filter((family) => !isCaptured(family));
  if (other !== undefined) return { family: "inet", tables: [] };
  return resolveInetPlan(left === undefined ? plan : [...plan, ...planLeavingAlone(left, plan)]);
}

/** A rule at the head of every base chain that `plan` uses. */
function planLeavingAlone(family: 4 | 6, plan: readonly PlannedRule[]): PlannedRule[] {
  const isBase = ({ table, chain }: PlannedRule): boolean => findBaseChain(table, chain) !== undefined;
  const places = new Map(plan.filter(isBase).map(({ table, chain }) => [`${table} ${chain}`, { table, chain }]));
  const left = rule(`IPv${family} of this pod is not captured`, [nfproto(family)], RETURN);
  return [...places.values()].map((place) => ({ ...place, at: 0, rule: left }));
}

/** All rules in the order upstream generates them; the order matters where rules are inserted at the head of a chain. */
function planSidecar(capture: SidecarCapture, dialect: "iptables" | "nftables"): PlannedRule[] {
  return [
    ...planInterfaces(capture), // 1-3
    ...planInvalidDrop(capture, dialect), // 4
    ...planTunnelAndRedirects(), // 5-7
    ...planInbound(capture, dialect), // 8-12
    ...planExcludedPorts(capture), // 13, 14
    ...planProxyOwners(capture), // 15-21
    ...planOwnerGroups(capture), // 22
    ...planDns(capture), // 23-26
    ...planDestinations(capture), // 27-31
    ...planTproxyMarks(capture), // 32
  ];
}

/** What the pod's netns needs beside the rules: contract 5.6. Applying it twice must be harmless (D18). */
export function sidecarNetwork(capture: SidecarCapture): PodNetwork {
  const routed = capture.mode === "TPROXY" && hasInboundCapture(capture) ? familiesOf(capture) : [];
  return {
    addresses: capture.families.v6
      ? [{ intent: "The proxy's inbound passthrough connects from ::6", cidr: PASSTHROUGH_SOURCE_V6 }]
      : [],
    policyRules: routed.map((family) => ({
      intent: "Packets that TPROXY marked are for a socket of this machine",
      family,
      fwmark: TPROXY_MARK,
      fwmask: 0xffffffff,
      table: ROUTE_TABLE,
      priority: ROUTE_RULE_PRIORITY,
    })),
    routes: routed.map((family) => ({
      intent: "Every destination is local for marked packets",
      destination: everyAddress(family),
      table: ROUTE_TABLE,
    })),
  };
}

/** Whether any inbound port is captured; with an empty include list none is. */
function hasInboundCapture(capture: SidecarCapture): boolean {
  return capture.inboundPorts.include === "*" || capture.inboundPorts.include.length > 0;
}
