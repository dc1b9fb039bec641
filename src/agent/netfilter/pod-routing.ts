// What a capture needs beside netfilter (contract 5.6, 7.7), over rtnetlink: an address on lo, policy rules and routes by mark.
// Looks before it writes: what stands is left as it is, at whatever priority it stands, and nothing is added twice (D18).
import { FAMILIES, formatCidr, type IpAddress } from "../../core/address.ts";
import { decodeLoopbackHasIpv6, encodeGetLoopback } from "../../core/netlink/loopback-ipv6.ts";
import { decodeLoopbackIsUp, encodeRaiseLoopback, parseRaiseLoopback } from "../../core/netlink/loopback-up.ts";
import {
  encodeAddPodNetwork,
  encodeRemovePodNetwork,
  type HeldPodNetwork,
  isEmptyNetwork,
  missingPodNetwork,
  parseNetworkOutcome,
  surplusPodNetwork,
  withoutIpv6,
} from "../../core/netlink/pod-network.ts";
import {
  decodeLocalRoutes,
  decodePolicyRules,
  encodeGetPolicyRules,
  encodeGetRoutes,
} from "../../core/netlink/policy-routing.ts";
import { KernelRefusalError } from "../../core/netlink/reply.ts";
import { LOOPBACK_INDEX, NETLINK_PROTOCOL } from "../../core/netlink/rtnetlink.ts";
import type { PodNetwork } from "../../core/rules/model.ts";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";
import { exchange, whole } from "./netlink-conversation.ts";
import { readAddresses } from "./read-addresses.ts";

export interface PodRoutingDeps {
  openNetlink(protocol: number, netnsFd: number): NetlinkSocket;
}

/** What a namespace lacks of the routing it should have, and what it has of ours that it should not have. */
export interface RoutingDrift {
  readonly missing: PodNetwork;
  readonly surplus: PodNetwork;
}

const READ = "read the pod's network";
const EAFNOSUPPORT = 97;
const ENETDOWN = 100;

export function createPodRouting({ openNetlink }: PodRoutingDeps) {
  const open = (netnsFd: number) => openNetlink(NETLINK_PROTOCOL.route, netnsFd);

  /** Adds the parts of `network` that the namespace does not hold and could, and returns them; asks only for what can answer
   * that. @throws {KernelRefusalError} */
  function ensure(netnsFd: number, network: PodNetwork): PodNetwork {
    if (isEmptyNetwork(network)) return network;
    using socket = open(netnsFd);
    const missing = possible(socket, missingPodNetwork(network, look(socket, network)));
    const add = () => send(socket, "add the routing the capture needs", encodeAddPodNetwork(missing));
    try {
      add();
    } catch (error) {
      if (!(error instanceof KernelRefusalError) || error.refusal.errno !== ENETDOWN) throw error;
      // containerd calls the loopback plugin beside the pod's network, not before it (go-cni attachNetworks): on a busy node
      // we are sometimes first, and do what it is about to do.
      raiseLoopback(socket);
      add();
    }
    return missing;
  }

  /** `ours`: what only captures put into a namespace. */
  function drift(netnsFd: number, network: PodNetwork, ours: PodNetwork): RoutingDrift {
    using socket = open(netnsFd);
    const held = look(socket);
    return {
      missing: possible(socket, missingPodNetwork(network, held)),
      surplus: surplusPodNetwork(ours, network, held),
    };
  }

  function send(socket: NetlinkSocket, action: string, requests: Uint8Array | undefined): void {
    if (requests === undefined) return;
    const outcome = parseNetworkOutcome(exchange(socket, requests));
    const [first] = outcome.kind === "refused" ? outcome.refusals : [];
    if (first !== undefined) throw new KernelRefusalError(action, first);
  }

  function raiseLoopback(socket: NetlinkSocket): void {
    const refusal = parseRaiseLoopback(exchange(socket, encodeRaiseLoopback()));
    if (refusal !== undefined) throw new KernelRefusalError("switch lo on, which the capture needs", refusal);
  }

  return {
    /** The addresses in the namespace, in the kernel's order. */
    addresses(netnsFd: number): readonly IpAddress[] {
      using socket = open(netnsFd);
      return readAddresses(socket).map(({ ip }) => ip);
    },
    ensure,
    drift,
    /** Whether `lo` is switched on. */
    isLoopbackUp(netnsFd: number): boolean {
      using socket = open(netnsFd);
      return decodeLoopbackIsUp(exchange(socket, encodeGetLoopback()));
    },
    /** Removes all of it. @throws {KernelRefusalError} */
    remove(netnsFd: number, network: PodNetwork): void {
      if (isEmptyNetwork(network)) return;
      using socket = open(netnsFd);
      send(socket, "remove the routing of the capture", encodeRemovePodNetwork(network));
    },
  };
}

/** What the namespace holds, as far as it matters for `network`; undefined: all. */
function look(socket: NetlinkSocket, network?: PodNetwork): HeldPodNetwork {
  const matters = (part: (network: PodNetwork) => boolean): boolean => network === undefined || part(network);
  const addresses = matters((one) => one.addresses.length > 0) ? readAddresses(socket) : [];
  const rules = FAMILIES.filter((family) =>
    matters(({ policyRules }) => policyRules.some((rule) => rule.family === family)),
  ).map((family) => readPolicyRules(socket, family));
  const routes = FAMILIES.filter((family) =>
    matters((one) => one.routes.some(({ destination }) => destination.family === family)),
  ).map((family) => whole(socket, READ, (ask) => decodeLocalRoutes(ask(encodeGetRoutes(family)))));
  const onLoopback = addresses.filter(({ interfaceIndex }) => interfaceIndex === LOOPBACK_INDEX);
  return {
    addresses: onLoopback.map(({ ip, prefixLength }) => ({ ...ip, prefixLength })),
    policyRules: rules.flatMap((one) => one.rules),
    otherLookups: rules.flatMap(({ otherLookups }) => otherLookups),
    routes: routes.flatMap((one) => one.routes),
  };
}

function readPolicyRules(socket: NetlinkSocket, family: 4 | 6) {
  try {
    return whole(socket, READ, (ask) => decodePolicyRules(ask(encodeGetPolicyRules(family))));
  } catch (error) {
    // A kernel without the family has no rules of it.
    if (!(error instanceof KernelRefusalError) || error.refusal.errno !== EAFNOSUPPORT) throw error;
    return { rules: [], otherLookups: [] };
  }
}

/** What is missing and can be there: IPv6 only where `lo` has it. */
function possible(socket: NetlinkSocket, missing: PodNetwork): PodNetwork {
  const onlyIpv4 = withoutIpv6(missing);
  if (isSameSize(onlyIpv4, missing) || decodeLoopbackHasIpv6(exchange(socket, encodeGetLoopback()))) return missing;
  return onlyIpv4;
}

function isSameSize(left: PodNetwork, right: PodNetwork): boolean {
  return (["addresses", "policyRules", "routes"] as const).every((part) => left[part].length === right[part].length);
}

/** One sentence per part that is missing or left over; empty when there is no drift. */
export function describeRoutingDrift({ missing, surplus }: RoutingDrift): string[] {
  return [...describe(missing, "is missing"), ...describe(surplus, "is left over")];
}

/** Whether nothing is missing and nothing left over. */
export function isInPlace({ missing, surplus }: RoutingDrift): boolean {
  return isEmptyNetwork(missing) && isEmptyNetwork(surplus);
}

function describe({ addresses, policyRules, routes }: PodNetwork, state: string): string[] {
  return [
    ...addresses.map(({ cidr }) => `the address ${formatCidr(cidr)} of lo ${state}`),
    ...policyRules.map(({ family, table }) => `the IPv${family} policy rule to table ${table} ${state}`),
    ...routes.map(({ destination, table }) => `the IPv${destination.family} route in table ${table} ${state}`),
  ];
}
