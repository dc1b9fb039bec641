// Connections into the pod: contract 5.4 rows 5 to 12.

import { FAMILIES } from "../address.ts";
import type { Match, Verdict } from "./model.ts";
import type { PlannedRule } from "./planned-rule.ts";
import {
  ACCEPT,
  ctstate,
  DROP,
  destination,
  dport,
  jump,
  not,
  planRule,
  RETURN,
  redirect,
  setMark,
  TCP,
  tproxy,
} from "./rule-words.ts";
import type { SidecarCapture } from "./sidecar-capture.ts";
import { SIDECAR_PORTS } from "./sidecar-capture.ts";
import { CHAIN, loopbackOf, TPROXY_MARK } from "./sidecar-numbers.ts";

/** Rows 5 to 7: there whatever is captured. */
export function planTunnelAndRedirects(): PlannedRule[] {
  const { tunnel, outbound, inbound } = SIDECAR_PORTS;
  return [
    planRule("nat", CHAIN.inbound, "The proxy itself listens on the tunnel port", [TCP, dport(tunnel)], RETURN),
    planRule("nat", CHAIN.redirect, "Outbound connections go to the proxy", [TCP], redirect(outbound)),
    planRule("nat", CHAIN.inRedirect, "Inbound connections go to the proxy", [TCP], redirect(inbound)),
  ];
}

/** Rows 8 to 12. A list of included ports makes the excluded ones meaningless (contract 10.3). */
export function planInbound(capture: SidecarCapture, dialect: "iptables" | "nftables"): PlannedRule[] {
  const { include, exclude } = capture.inboundPorts;
  if (include !== "*" && include.length === 0) return [];
  const isTproxy = capture.mode === "TPROXY";
  const table = isTproxy ? "mangle" : "nat";
  const inbound = (intent: string, matches: Match[], verdict: Verdict): PlannedRule =>
    planRule(table, CHAIN.inbound, intent, matches, verdict);
  const toProxy = (port: Match[], what: string): PlannedRule[] =>
    isTproxy
      ? [
          inbound(
            `Packets of a connection that is already the proxy's stay with it: ${what}`,
            [TCP, ...port, ctstate("RELATED", "ESTABLISHED")],
            jump(CHAIN.divert),
          ),
          inbound(`New connections go to the proxy: ${what}`, [TCP, ...port], jump(CHAIN.tproxy)),
        ]
      : [inbound(`Connections go to the proxy: ${what}`, [TCP, ...port], jump(CHAIN.inRedirect))];
  return [
    ...(isTproxy ? planTproxyChains(capture, dialect) : []),
    planRule(table, "PREROUTING", "All TCP that comes into the pod is looked at", [TCP], jump(CHAIN.inbound)),
    ...(include === "*"
      ? [
          ...exclude.map((port) => inbound(`Inbound port ${port} is excluded`, [TCP, dport(port)], RETURN)),
          ...toProxy([], "every other port"),
        ]
      : include.flatMap((port) => toProxy([dport(port)], `port ${port}`))),
  ];
}

/** Row 8, and in native nftables what upstream does not have: where nobody listens, iptables' TPROXY drops the packet (net/netfilter/xt_TPROXY.c),
 * nftables' leaves the rule (net/netfilter/nft_tproxy.c, NFT_BREAK), and the packet would go on to the application. */
function planTproxyChains(capture: SidecarCapture, dialect: "iptables" | "nftables"): PlannedRule[] {
  const ofConnections = (family: 4 | 6): Match[] => [not(destination(loopbackOf(capture, family))), TCP];
  return [
    planRule(
      "mangle",
      CHAIN.divert,
      "The mark routes the packet to a socket of this machine",
      [],
      setMark(TPROXY_MARK),
    ),
    planRule("mangle", CHAIN.divert, "A marked packet needs no further look", [], ACCEPT),
    ...FAMILIES.map((family) =>
      planRule(
        "mangle",
        CHAIN.tproxy,
        "The proxy's socket takes the connection, its addresses unchanged",
        ofConnections(family),
        tproxy(SIDECAR_PORTS.inbound, TPROXY_MARK),
        { family },
      ),
    ),
    ...(dialect === "iptables"
      ? []
      : FAMILIES.map((family) =>
          planRule(
            "mangle",
            CHAIN.tproxy,
            "While the proxy does not listen nobody gets the connection",
            ofConnections(family),
            DROP,
            { family },
          ),
        )),
  ];
}
