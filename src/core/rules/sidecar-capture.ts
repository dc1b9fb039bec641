// What to capture of one sidecar pod: the parameters of contract 5.1 after validation, and their defaults.
// Policy makes this value out of annotations and containers; the rules are made from it alone.

import { type Cidr, LOOPBACK } from "../address.ts";
import type { Families } from "./families.ts";

/** `netfilter` is told by numbers only: every name, list and blank of an annotation is settled before this type. */
export type SidecarCapture = {
  /** How inbound connections reach the proxy. */
  readonly mode: "REDIRECT" | "TPROXY";
  /** Destinations that go to the proxy; an empty list: none. `exclude` wins over `include`. Both families mixed. */
  readonly outboundIpRanges: { readonly include: "*" | readonly Cidr[]; readonly exclude: readonly Cidr[] };
  /** Inbound ports. An empty list: no inbound capture at all. `exclude` counts only where `include` is "*" (10.3). */
  readonly inboundPorts: { readonly include: "*" | readonly number[]; readonly exclude: readonly number[] };
  /**
   * Outbound ports: `include` is captured whatever the destination, `exclude` never (TCP and UDP).
   * Upstream's validation also admits "*" in both; its rules then fail in the tool, so policy refuses it.
   */
  readonly outboundPorts: { readonly include: readonly number[]; readonly exclude: readonly number[] };
  /** Interfaces whose traffic is left alone in both directions. */
  readonly excludeInterfaces: readonly string[];
  /** Virtual interfaces (virtual machines) whose inbound traffic is treated as outbound traffic of the pod. */
  readonly rerouteVirtualInterfaces: readonly string[];
  /** User ids the proxy runs as, in the order of the rules. */
  readonly proxyUids: readonly number[];
  /** Group ids the proxy runs as, in the order of the rules. */
  readonly proxyGids: readonly number[];
  /** Send all DNS of the pod to the proxy's DNS port. */
  readonly dnsCapture: boolean;
  /** Drop packets that conntrack calls INVALID. */
  readonly dropInvalid: boolean;
  /** Group ids of processes whose outbound traffic is captured. */
  readonly ownerGroups: { readonly include: "*" | readonly number[]; readonly exclude: readonly number[] };
  /** The IPv4 destinations that count as the pod itself (`ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR`); IPv6 is always ::1. */
  readonly loopbackCidrV4: Cidr;
  /** Families to write rules for. */
  readonly families: Families;
};

/** Ports the proxy answers itself (merged Prometheus, health, Envoy's Prometheus): never captured inbound (5.1 IN_EXC). */
export const PROXY_OWN_INBOUND_PORTS: readonly number[] = [15020, 15021, 15090];

/** Each virtual interface has a rule for each range (rows 30 and 31 of 5.4): the one product among the lists, and the only way in which
 * a few kilobytes of annotations could become a million rules. */
export const MAX_GUEST_RULES = 4096;

/** How many rules the capture has for what guests behind virtual interfaces send. */
export function countGuestRules(
  capture: Pick<SidecarCapture, "outboundIpRanges" | "rerouteVirtualInterfaces">,
): number {
  const { include } = capture.outboundIpRanges;
  return capture.rerouteVirtualInterfaces.length * (include === "*" ? 1 : include.length);
}

/** Where the proxy listens and the numbers both sides agreed on (contract 5.1, row "fixed"). */
export const SIDECAR_PORTS = { outbound: 15001, inbound: 15006, tunnel: 15008, dns: 15053 } as const;

/** A pod without any annotation or environment that counts: contract 5.1, column "default". */
export const DEFAULT_SIDECAR_CAPTURE: SidecarCapture = {
  mode: "REDIRECT",
  outboundIpRanges: { include: "*", exclude: [] },
  inboundPorts: { include: "*", exclude: PROXY_OWN_INBOUND_PORTS },
  outboundPorts: { include: [], exclude: [15020] },
  excludeInterfaces: [],
  rerouteVirtualInterfaces: [],
  proxyUids: [1337],
  proxyGids: [1337],
  dnsCapture: false,
  dropInvalid: false,
  ownerGroups: { include: "*", exclude: [] },
  loopbackCidrV4: LOOPBACK[4],
  families: { v4: true, v6: false },
};
