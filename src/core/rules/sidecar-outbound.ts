// Connections out of the pod: contract 5.4 rows 13 to 22 (who sends) and 27 to 31 (where to).

import type { Cidr } from "../address.ts";
import { FAMILIES, isLoopback } from "../address.ts";
import type { Match, Verdict } from "./model.ts";
import type { PlannedRule } from "./planned-rule.ts";
import {
  destination,
  dport,
  dports,
  gidOwner,
  iifname,
  jump,
  not,
  oifname,
  planRule,
  RETURN,
  source,
  TCP,
  UDP,
  uidOwner,
} from "./rule-words.ts";
import type { SidecarCapture } from "./sidecar-capture.ts";
import { SIDECAR_PORTS } from "./sidecar-capture.ts";
import { CHAIN, loopbackOf, passthroughSourceOf } from "./sidecar-numbers.ts";

const DNS_PORT = 53;

/** Rows 13 and 14. */
export function planExcludedPorts(capture: SidecarCapture): PlannedRule[] {
  return [
    planRule("nat", "OUTPUT", "All that leaves the pod is looked at", [], jump(CHAIN.output)),
    ...capture.outboundPorts.exclude.flatMap((port) => [
      output(`Outbound TCP port ${port} is excluded`, [TCP, dport(port)], RETURN),
      output(`Outbound UDP port ${port} is excluded`, [UDP, dport(port)], RETURN),
    ]),
  ];
}

/** Rows 15 to 21. */
export function planProxyOwners(capture: SidecarCapture): PlannedRule[] {
  const passthrough = FAMILIES.map((family) =>
    output(
      "The proxy's own passthrough connections to the application are not captured again",
      [oifname("lo"), source(passthroughSourceOf(family))],
      RETURN,
      family,
    ),
  );
  return [
    ...passthrough,
    ...capture.proxyUids.flatMap((uid) => planOwner(capture, uidOwner(uid), capture.dnsCapture)),
    // Upstream spares port 53 for the user only, never for the group (row 19).
    ...capture.proxyGids.flatMap((gid) => planOwner(capture, gidOwner(gid), false)),
  ];
}

function planOwner(capture: SidecarCapture, proxy: Match, sparesDns: boolean): PlannedRule[] {
  const ports = sparesDns ? dports(DNS_PORT, SIDECAR_PORTS.tunnel) : dport(SIDECAR_PORTS.tunnel);
  const toItself = FAMILIES.map((family) =>
    output(
      "What the proxy sends to the pod's own address is inbound traffic",
      [oifname("lo"), TCP, not(destination(loopbackOf(capture, family))), not(ports), proxy],
      jump(CHAIN.inRedirect),
      family,
    ),
  );
  const notDns = capture.dnsCapture ? [TCP, not(dport(DNS_PORT))] : [];
  const amongApplications = capturesLoopback(capture)
    ? []
    : [output("Applications of the pod talk to each other directly", [oifname("lo"), ...notDns, not(proxy)], RETURN)];
  return [
    ...toItself,
    ...amongApplications,
    output("What the proxy sends leaves the pod, else it would come back for ever", [proxy], RETURN),
  ];
}

/** Row 22. */
export function planOwnerGroups(capture: SidecarCapture): PlannedRule[] {
  const { include, exclude } = capture.ownerGroups;
  if (include !== "*") {
    return [
      output(
        "Only processes of certain groups are captured",
        include.map((gid) => not(gidOwner(gid))),
        RETURN,
      ),
    ];
  }
  return exclude.map((gid) => output(`Processes of group ${gid} are not captured`, [gidOwner(gid)], RETURN));
}

/** Rows 27 to 31. */
export function planDestinations(capture: SidecarCapture): PlannedRule[] {
  const loopback = FAMILIES.map((family) =>
    output("Whoever says localhost means it", [destination(loopbackOf(capture, family))], RETURN, family),
  );
  const excluded = byFamily(capture.outboundIpRanges.exclude).map((cidr) =>
    output("Outbound range is excluded", [destination(cidr)], RETURN, cidr.family),
  );
  const ports = capture.outboundPorts.include.map((port) =>
    output(`Outbound port ${port} is captured whatever its destination`, [TCP, dport(port)], jump(CHAIN.redirect)),
  );
  return [...loopback, ...excluded, ...ports, ...planIncludedRanges(capture)];
}

/** Rows 30 and 31. */
function planIncludedRanges(capture: SidecarCapture): PlannedRule[] {
  const { include } = capture.outboundIpRanges;
  const fromGuests = (range: Match[], family?: 4 | 6): PlannedRule[] =>
    capture.rerouteVirtualInterfaces.map((name) => {
      const where = family === undefined ? { at: 0 } : { at: 0, family };
      const intent = `What a guest behind ${name} sends is outbound`;
      return planRule("nat", "PREROUTING", intent, [iifname(name), ...range], jump(CHAIN.redirect), where);
    });
  if (include === "*") {
    return [output("Everything else is captured", [], jump(CHAIN.redirect)), ...fromGuests([])];
  }
  return byFamily(include).flatMap((cidr) => [
    ...fromGuests([destination(cidr)], cidr.family),
    output("Outbound range is captured", [destination(cidr)], jump(CHAIN.redirect), cidr.family),
  ]);
}

/** IPv4 before IPv6, as upstream writes them where both stand in one chain; the order within a family is kept. */
function byFamily(cidrs: readonly Cidr[]): Cidr[] {
  return cidrs.toSorted((left, right) => left.family - right.family);
}

/** A range that begins in the loopback network is a wish to capture it (netip.Addr.IsLoopback of the range's address). */
function capturesLoopback(capture: SidecarCapture): boolean {
  const { include } = capture.outboundIpRanges;
  return include !== "*" && include.some((cidr: Cidr) => isLoopback(cidr));
}

function output(intent: string, matches: Match[], verdict: Verdict, family?: 4 | 6): PlannedRule {
  return planRule("nat", CHAIN.output, intent, matches, verdict, family === undefined ? {} : { family });
}
