// The sidecar redirection of one pod as rules: contract 5.4, row by row. The numbers in the comments are its rows.
//
//   in:   PREROUTING → ISTIO_INBOUND → ISTIO_IN_REDIRECT (:15006), or by TPROXY → ISTIO_TPROXY, ISTIO_DIVERT
//   out:  OUTPUT → ISTIO_OUTPUT → ISTIO_REDIRECT (:15001)
//   DNS:  OUTPUT → ISTIO_OUTPUT → ISTIO_OUTPUT_DNS (:15053), conntrack zones in raw
//
// Chains, order and quirks are upstream's (contract 10.3), so that either implementation can take over a running pod.

import { findBaseChain } from "./iptables-tables.ts";
import type { PodNetwork, Ruleset } from "./model.ts";
import type { PlannedRule } from "./planned-rule.ts";
import { resolveInetPlan, resolvePlan } from "./planned-rule.ts";
import { nfproto, RETURN, rule } from "./rule-words.ts";
import type { SidecarCapture } from "./sidecar-capture.ts";
import { planDns } from "./sidecar-dns.ts";
import { planInbound, planTunnelAndRedirects } from "./sidecar-inbound.ts";
import { planInterfaces, planInvalidDrop } from "./sidecar-interfaces.ts";
import {
  LOOPBACK_V6,
  PASSTHROUGH_SOURCE_V6,
  ROUTE_RULE_PRIORITY,
  ROUTE_TABLE,
  TPROXY_MARK,
} from "./sidecar-numbers.ts";
import { planDestinations, planExcludedPorts, planOwnerGroups, planProxyOwners } from "./sidecar-outbound.ts";
import { planTproxyMarks } from "./sidecar-tproxy.ts";

/** The rules of every family that is captured, in the iptables dialect. Equal captures give equal rulesets. */
export function sidecarRules(capture: SidecarCapture): Ruleset[] {
  const plan = planSidecar(capture, "iptables");
  const { v4, v6 } = capture.families;
  return [...(v4 ? [resolvePlan(plan, 4)] : []), ...(v6 ? [resolvePlan(plan, 6)] : [])];
}

/**
 * The rules in native nftables: contract 5.5. One set of tables acts on both families; where only one is captured, the other
 * leaves every base chain by its first rule. So a family is redirected with its exemptions or not at all (upstream redirects
 * both and exempts one, D32).
 */
export function sidecarInetRules(capture: SidecarCapture): Ruleset {
  const { v4, v6 } = capture.families;
  const isCaptured = (family: 4 | 6): boolean => (family === 4 ? v4 : v6);
  const plan = planSidecar(capture, "nftables").filter(({ family }) => family === undefined || isCaptured(family));
  const [left] = ([4, 6] as const).filter((family) => !isCaptured(family));
  if (!v4 && !v6) return { family: "inet", tables: [] };
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
export function planSidecar(capture: SidecarCapture, dialect: "iptables" | "nftables"): PlannedRule[] {
  return [
    ...planInterfaces(capture), // 1-3
    ...planInvalidDrop(capture, dialect), // 4
    ...planTunnelAndRedirects(), // 5-7
    ...planInbound(capture), // 8-12
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
  const families = [...(capture.families.v4 ? [4 as const] : []), ...(capture.families.v6 ? [6 as const] : [])];
  const hasTproxyRoute = capture.mode === "TPROXY" && hasInboundCapture(capture);
  return {
    addresses: capture.families.v6
      ? [{ intent: "The proxy's inbound passthrough connects from ::6", cidr: PASSTHROUGH_SOURCE_V6 }]
      : [],
    policyRules: (hasTproxyRoute ? families : []).map((family) => ({
      intent: "Packets that TPROXY marked are for a socket of this machine",
      family,
      fwmark: TPROXY_MARK,
      fwmask: 0xffffffff,
      table: ROUTE_TABLE,
      priority: ROUTE_RULE_PRIORITY,
    })),
    routes: (hasTproxyRoute ? families : []).map((family) => ({
      intent: "Every destination is local for marked packets",
      destination: {
        family,
        bytes: new Uint8Array(family === 4 ? 4 : LOOPBACK_V6.bytes.length),
        prefixLength: 0,
      },
      table: ROUTE_TABLE,
    })),
  };
}

/** Whether any inbound port is captured; with an empty include list none is. */
function hasInboundCapture(capture: SidecarCapture): boolean {
  return capture.inboundPorts.include === "*" || capture.inboundPorts.include.length > 0;
}
