// Connections into the pod: contract 5.4 rows 5 to 12.

import type { Match, Verdict } from "./model.ts";
import type { PlannedRule } from "./planned-rule.ts";
import {
  ACCEPT,
  ctstate,
  destination,
  dport,
  jump,
  not,
  RETURN,
  redirect,
  rule,
  setMark,
  TCP,
  tproxy,
} from "./rule-words.ts";
import type { SidecarCapture } from "./sidecar-capture.ts";
import { SIDECAR_PORTS } from "./sidecar-capture.ts";
import { CHAIN, loopbackOf, TPROXY_MARK } from "./sidecar-numbers.ts";

/** Rows 5 to 7: there whatever is captured. */
export function planTunnelAndRedirects(): PlannedRule[] {
  const inNat = (chain: string, intent: string, matches: Match[], verdict: Verdict): PlannedRule => ({
    table: "nat",
    chain,
    rule: rule(intent, matches, verdict),
  });
  const { tunnel, outbound, inbound } = SIDECAR_PORTS;
  return [
    inNat(CHAIN.inbound, "The proxy itself listens on the tunnel port", [TCP, dport(tunnel)], RETURN),
    inNat(CHAIN.redirect, "Outbound connections go to the proxy", [TCP], redirect(outbound)),
    inNat(CHAIN.inRedirect, "Inbound connections go to the proxy", [TCP], redirect(inbound)),
  ];
}

/** Rows 8 to 12. A list of included ports makes the excluded ones meaningless (contract 10.3). */
export function planInbound(capture: SidecarCapture): PlannedRule[] {
  const { include, exclude } = capture.inboundPorts;
  if (include !== "*" && include.length === 0) return [];
  const isTproxy = capture.mode === "TPROXY";
  const table = isTproxy ? "mangle" : "nat";
  const inbound = (intent: string, matches: Match[], verdict: Verdict): PlannedRule => ({
    table,
    chain: CHAIN.inbound,
    rule: rule(intent, matches, verdict),
  });
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
    ...(isTproxy ? planTproxyChains(capture) : []),
    {
      table,
      chain: "PREROUTING",
      rule: rule("All TCP that comes into the pod is looked at", [TCP], jump(CHAIN.inbound)),
    },
    ...(include === "*"
      ? [
          ...exclude.map((port) => inbound(`Inbound port ${port} is excluded`, [TCP, dport(port)], RETURN)),
          ...toProxy([], "every other port"),
        ]
      : include.flatMap((port) => toProxy([dport(port)], `port ${port}`))),
  ];
}

/** Row 8. */
function planTproxyChains(capture: SidecarCapture): PlannedRule[] {
  return [
    {
      table: "mangle",
      chain: CHAIN.divert,
      rule: rule("The mark routes the packet to a socket of this machine", [], setMark(TPROXY_MARK)),
    },
    { table: "mangle", chain: CHAIN.divert, rule: rule("A marked packet needs no further look", [], ACCEPT) },
    ...([4, 6] as const).map(
      (family): PlannedRule => ({
        table: "mangle",
        chain: CHAIN.tproxy,
        family,
        rule: rule(
          "The proxy's socket takes the connection, its addresses unchanged",
          [not(destination(loopbackOf(capture, family))), TCP],
          tproxy(SIDECAR_PORTS.inbound, TPROXY_MARK),
        ),
      }),
    ),
  ];
}
