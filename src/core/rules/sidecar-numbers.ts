// Names, addresses and numbers of the sidecar redirection that others rely on (contract 5.1 "fixed", 5.4, 5.6).

import { type Cidr, LOOPBACK } from "../address.ts";
import type { SidecarCapture } from "./sidecar-capture.ts";

/** Own chains. Upstream deletes any `ISTIO_` chain it does not know (contract 10.3), so there are no others. */
export const CHAIN = {
  inbound: "ISTIO_INBOUND",
  inRedirect: "ISTIO_IN_REDIRECT",
  output: "ISTIO_OUTPUT",
  redirect: "ISTIO_REDIRECT",
  outputDns: "ISTIO_OUTPUT_DNS",
  divert: "ISTIO_DIVERT",
  tproxy: "ISTIO_TPROXY",
  drop: "ISTIO_DROP",
} as const;

/** Mark of packets that belong to an inbound connection of the proxy (TPROXY). */
export const TPROXY_MARK = 1337;
/** Mark of packets the proxy sends to the pod's own address (TPROXY). */
export const OUTBOUND_MARK = 1338;
/** Route table in which every destination is local (TPROXY). */
export const ROUTE_TABLE = 133;
/** Where the kernel puts the first rule of a netns when no priority is told, as upstream does not. */
export const ROUTE_RULE_PRIORITY = 32765;

/** Conntrack zone of DNS between the proxy and the resolvers. */
export const DNS_UPSTREAM_ZONE = 1;
/** Conntrack zone of DNS between the applications and the proxy. */
export const DNS_CLIENT_ZONE = 2;

/** Source of connections the proxy opens to the application without knowing it (inbound passthrough), IPv4. */
export const PASSTHROUGH_SOURCE_V4: Cidr = { family: 4, bytes: Uint8Array.of(127, 0, 0, 6), prefixLength: 32 };
/** The same for IPv6: ::6/128, an address that has to be put on `lo` first. */
export const PASSTHROUGH_SOURCE_V6: Cidr = {
  family: 6,
  bytes: LOOPBACK[6].bytes.with(15, 6),
  prefixLength: 128,
};

/** What counts as the pod itself, per family. */
export function loopbackOf(capture: SidecarCapture, family: 4 | 6): Cidr {
  return family === 4 ? capture.loopbackCidrV4 : LOOPBACK[6];
}

/** The source of passthrough connections, per family. */
export function passthroughSourceOf(family: 4 | 6): Cidr {
  return family === 4 ? PASSTHROUGH_SOURCE_V4 : PASSTHROUGH_SOURCE_V6;
}
