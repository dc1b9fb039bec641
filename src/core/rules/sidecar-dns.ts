// DNS of the pod through the proxy: contract 5.4 rows 23 to 26 (always the form that captures every resolver, as the
// pod's resolv.conf is not known when the rules are made).

import type { PlannedRule } from "./planned-rule.ts";
import { ctZone, dport, gidOwner, jump, planRule, redirect, sport, TCP, UDP, uidOwner } from "./rule-words.ts";
import type { SidecarCapture } from "./sidecar-capture.ts";
import { SIDECAR_PORTS } from "./sidecar-capture.ts";
import { CHAIN, DNS_CLIENT_ZONE, DNS_UPSTREAM_ZONE } from "./sidecar-numbers.ts";

const DNS_PORT = 53;

/** Rows 23 to 26. */
export function planDns(capture: SidecarCapture): PlannedRule[] {
  if (!capture.dnsCapture) return [];
  const proxies = [...capture.proxyUids.map(uidOwner), ...capture.proxyGids.map(gidOwner)];
  return [
    planRule("raw", "OUTPUT", "DNS gets its conntrack zones before it is tracked", [], jump(CHAIN.outputDns)),
    planRule("nat", CHAIN.output, "DNS is looked at on its own", [], jump(CHAIN.outputDns)),
    planRule(
      "nat",
      CHAIN.outputDns,
      "DNS over TCP goes to the proxy",
      [TCP, dport(DNS_PORT)],
      redirect(SIDECAR_PORTS.dns),
    ),
    planRule(
      "nat",
      CHAIN.outputDns,
      "DNS over UDP goes to the proxy",
      [UDP, dport(DNS_PORT)],
      redirect(SIDECAR_PORTS.dns),
    ),
    ...proxies.flatMap((proxy) => [
      planRule(
        "raw",
        CHAIN.outputDns,
        "Questions of the proxy to the resolvers are tracked apart from those of the applications",
        [UDP, dport(DNS_PORT), proxy],
        ctZone(DNS_UPSTREAM_ZONE),
      ),
      planRule(
        "raw",
        CHAIN.outputDns,
        "Answers of the proxy to the applications belong to the applications' zone",
        [UDP, sport(SIDECAR_PORTS.dns), proxy],
        ctZone(DNS_CLIENT_ZONE),
      ),
    ]),
    planRule(
      "raw",
      "PREROUTING",
      "Answers of the resolvers get their zone before they are tracked",
      [],
      jump(CHAIN.inbound),
    ),
    planRule("raw", CHAIN.outputDns, "Questions of the applications", [UDP, dport(DNS_PORT)], ctZone(DNS_CLIENT_ZONE)),
    planRule("raw", CHAIN.inbound, "Answers of the resolvers", [UDP, sport(DNS_PORT)], ctZone(DNS_UPSTREAM_ZONE)),
  ];
}
