// Captures that between them reach every row of contract 5.4: the one case table of the golden, tracer and kernel tests.
// Not used by the product.

import type { Cidr } from "../../src/core/address.ts";
import { parseCidr } from "../../src/core/address.ts";
import type { SidecarCapture } from "../../src/core/rules/sidecar-capture.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../../src/core/rules/sidecar-capture.ts";

/** Name → capture, all with both families. */
export const SIDECAR_CASES: Readonly<Record<string, SidecarCapture>> = {
  default: both({}),
  dns: both({ dnsCapture: true }),
  tproxy: both({ mode: "TPROXY" }),
  "tproxy-dns-drop-invalid": both({ mode: "TPROXY", dnsCapture: true, dropInvalid: true }),
  "inbound-port-list": both({ inboundPorts: { include: [80, 443], exclude: [15020] } }),
  "tproxy-inbound-port-list": both({ mode: "TPROXY", inboundPorts: { include: [80, 443], exclude: [] } }),
  "no-inbound": both({ inboundPorts: { include: [], exclude: [] } }),
  "tproxy-no-inbound": both({ mode: "TPROXY", inboundPorts: { include: [], exclude: [] } }),
  "no-outbound": both({ outboundIpRanges: { include: [], exclude: [] } }),
  "outbound-ranges": both({
    outboundIpRanges: {
      include: cidrs("10.0.0.0/8", "fd00::/8", "172.16.5.4/12", "2001:db8::1/125"),
      exclude: cidrs("10.1.2.3/29", "fd00:1::/32", "192.168.0.1/32", "::102:304/128"),
    },
    outboundPorts: { include: [443, 8443], exclude: [15020, 3306] },
  }),
  "outbound-all-but": both({ outboundIpRanges: { include: "*", exclude: cidrs("0.0.0.0/0", "10.96.0.0/14") } }),
  "loopback-included": both({ outboundIpRanges: { include: cidrs("127.0.0.1/32", "10.0.0.0/8"), exclude: [] } }),
  interfaces: both({ excludeInterfaces: ["eth1", "net-2.x"], rerouteVirtualInterfaces: ["vnet0", "vnet1"] }),
  "tproxy-interfaces": both({ mode: "TPROXY", excludeInterfaces: ["eth1"], rerouteVirtualInterfaces: ["vnet0"] }),
  "virtual-interface-ranges": both({
    rerouteVirtualInterfaces: ["vnet0", "vnet1"],
    outboundIpRanges: { include: cidrs("10.0.0.0/8", "192.168.0.0/16", "fd00::/8"), exclude: [] },
  }),
  owners: both({ proxyUids: [1337, 2000], proxyGids: [1337, 4294967294], dnsCapture: true }),
  "owner-groups-excluded": both({ ownerGroups: { include: "*", exclude: [202, 203] } }),
  "owner-groups-included": both({ ownerGroups: { include: [202, 203], exclude: [] } }),
  "wide-loopback": both({ loopbackCidrV4: cidr("127.0.0.1/8"), dropInvalid: true }),
};

function both(capture: Partial<SidecarCapture>): SidecarCapture {
  return { ...DEFAULT_SIDECAR_CAPTURE, ...capture, families: { v4: true, v6: true } };
}

function cidrs(...texts: string[]): Cidr[] {
  return texts.map(cidr);
}

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new TypeError(`Cannot read case: ${text} is no prefix`);
  return parsed;
}
