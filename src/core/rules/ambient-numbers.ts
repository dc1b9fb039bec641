// Names, addresses and numbers of the ambient redirection that ztunnel, the kubelet's probes and upstream's agents rely on
// (contract 1.3, 7.6 to 7.8; istio cni/pkg/config/config.go@1.30.3).

import type { Cidr, IpAddress } from "../address.ts";
import { hostCidr, parseIpAddress } from "../address.ts";

/** Where ztunnel listens in the pod's netns: what leaves, what comes in as plain text, HBONE, DNS. */
export const AMBIENT_PORTS = { outbound: 15001, inbound: 15006, hbone: 15008, dns: 15053 } as const;

/** Own chains of pods and of the host in the iptables dialect. */
export const AMBIENT_CHAIN = {
  prerouting: "ISTIO_PRERT",
  output: "ISTIO_OUTPUT",
  postrouting: "ISTIO_POSTRT",
} as const;

/** The bits of packet and connection marks that are the mesh's; the others are left as they are. */
export const MARK_MASK = 0xfff;
/** ztunnel puts it on every packet it sends (1337). */
export const ZTUNNEL_MARK = 0x539;
/** On the answers to connections that ztunnel opened under its client's address, and on those connections. */
export const RETURN_MARK = 0x111;

/** Route table in which every destination is local, and the priority of the rule that leads there. */
export const AMBIENT_ROUTE_TABLE = 100;
export const AMBIENT_RULE_PRIORITY = 32764;

/** Conntrack zone of DNS between ztunnel and the resolvers. */
export const ZTUNNEL_DNS_ZONE = 1;

/** The sets of the host that hold the addresses of all enrolled pods of the node, per family. */
export const PROBE_SETS = { 4: "istio-inpod-probes-v4", 6: "istio-inpod-probes-v6" } as const;

/** `HOST_PROBE_SNAT_IP` and `HOST_PROBE_SNAT_IPV6` where they are not set. */
export const DEFAULT_PROBE_SOURCE: { readonly v4: IpAddress; readonly v6: IpAddress } = {
  v4: known(parseIpAddress("169.254.7.127")),
  v6: known(parseIpAddress("fd16:9254:7127:1337:ffff:ffff:ffff:ffff")),
};

/**
 * Where probes of a family come from, as what a rule matches or gives.
 * @throws {RangeError} when the address is of the other family.
 */
export function probeSourceOf(source: { readonly v4: IpAddress; readonly v6: IpAddress }, family: 4 | 6): Cidr {
  const address = family === 4 ? source.v4 : source.v6;
  if (address.family === family) return hostCidr(address);
  throw new RangeError(`Cannot let probes pass: their IPv${family} source is an IPv${address.family} address`);
}

function known<T>(value: T | undefined): T {
  if (value === undefined) throw new TypeError("Cannot read an address of this file");
  return value;
}
