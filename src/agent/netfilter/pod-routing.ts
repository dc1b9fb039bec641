// What the capture needs beside netfilter (contract 5.6), over rtnetlink: an address on lo, the policy rule and route of
// TPROXY. What is there already is left as it is.
import type { IpAddress } from "../../core/address.ts";
import { decodeAddresses, encodeGetAddresses } from "../../core/netlink/addresses.ts";
import {
  encodeAddPodNetwork,
  encodeRemovePodNetwork,
  missingPodNetwork,
  parseNetworkOutcome,
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
import { exchange } from "./netlink-conversation.ts";

export interface PodRoutingDeps {
  openNetlink(protocol: number, netnsFd: number): NetlinkSocket;
}

const FAMILIES = [4, 6] as const;
/** As often a picture is taken again that changed while it was drawn. */
const MAX_DUMPS = 5;

export function createPodRouting({ openNetlink }: PodRoutingDeps) {
  const open = (netnsFd: number) => openNetlink(NETLINK_PROTOCOL.route, netnsFd);

  /** The parts of `network` that the namespace does not hold. */
  function missing(netnsFd: number, network: PodNetwork): PodNetwork {
    using socket = open(netnsFd);
    const { addresses } = whole(() => decodeAddresses(exchange(socket, encodeGetAddresses())));
    const policyRules = FAMILIES.flatMap(
      (family) => whole(() => decodePolicyRules(exchange(socket, encodeGetPolicyRules(family)))).rules,
    );
    const routes = FAMILIES.flatMap(
      (family) => whole(() => decodeLocalRoutes(exchange(socket, encodeGetRoutes(family)))).routes,
    );
    const onLoopback = addresses.filter(({ interfaceIndex }) => interfaceIndex === LOOPBACK_INDEX);
    return missingPodNetwork(network, {
      addresses: onLoopback.map(({ ip, prefixLength }) => ({ ...ip, prefixLength })),
      policyRules,
      routes,
    });
  }

  function send(netnsFd: number, action: string, requests: Uint8Array | undefined): void {
    if (requests === undefined) return;
    using socket = open(netnsFd);
    const outcome = parseNetworkOutcome(exchange(socket, requests));
    const [first] = outcome.kind === "refused" ? outcome.refusals : [];
    if (first !== undefined) throw new KernelRefusalError(action, first);
  }

  return {
    /** The addresses in the namespace, in the kernel's order. */
    addresses(netnsFd: number): readonly IpAddress[] {
      using socket = open(netnsFd);
      return whole(() => decodeAddresses(exchange(socket, encodeGetAddresses()))).addresses.map(({ ip }) => ip);
    },
    missing,
    /** Adds all of it, without a look. @throws {KernelRefusalError} */
    add(netnsFd: number, network: PodNetwork): void {
      send(netnsFd, "add the routing the capture needs", encodeAddPodNetwork(network));
    },
    /** Removes all of it. @throws {KernelRefusalError} */
    remove(netnsFd: number, network: PodNetwork): void {
      send(netnsFd, "remove the routing of the capture", encodeRemovePodNetwork(network));
    },
  };
}

/** One sentence per part of a network that is missing. */
export function describeMissingNetwork({ addresses, policyRules, routes }: PodNetwork): string[] {
  return [
    ...addresses.map(() => "the address ::6 of lo is missing"),
    ...policyRules.map(({ family, table }) => `the IPv${family} policy rule to table ${table} is missing`),
    ...routes.map(({ destination, table }) => `the IPv${destination.family} route in table ${table} is missing`),
  ];
}

function whole<T extends { readonly interrupted: boolean }>(read: () => T): T {
  for (let attempt = 1; attempt <= MAX_DUMPS; attempt++) {
    const picture = read();
    if (!picture.interrupted) return picture;
  }
  throw new Error(`Cannot read the pod's network: it changed during each of ${MAX_DUMPS} reads`);
}
