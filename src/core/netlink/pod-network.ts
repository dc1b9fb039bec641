// What a pod's netns needs beside netfilter (address on lo, policy rules, routes), as one datagram of rtnetlink requests.
// The kernel carries out each on its own; what is there already counts as done, so applying twice is harmless (D13, D18).

import type { Cidr } from "../address.ts";
import { isSameCidr } from "../address.ts";
import type { LocalRoute, PodNetwork, PolicyRule } from "../rules/model.ts";
import { writeAddAddress, writeDeleteAddress } from "./addresses.ts";
import type { HeldLocalRoute, HeldPolicyRule } from "./policy-routing.ts";
import {
  writeAddLocalRoute,
  writeAddPolicyRule,
  writeDeleteLocalRoute,
  writeDeletePolicyRule,
} from "./policy-routing.ts";
import type { Refusal } from "./reply.ts";
import { parseReplies } from "./reply.ts";
import { LOOPBACK_INDEX, NLM_F, RTM } from "./rtnetlink.ts";
import { NetlinkWriter } from "./writer.ts";

const ENOENT = 2;
const ESRCH = 3;
const EEXIST = 17;
const EADDRNOTAVAIL = 99;
const IFF_UP = 1;
/** Where every netns looks up its main table: a rule behind that comes too late. */
const MAIN_TABLE_PRIORITY = 32766;

/** What rtnetlink requests came to: everything stands as wanted, or these requests were refused. */
export type NetworkOutcome =
  | { readonly kind: "done" }
  | { readonly kind: "refused"; readonly refusals: readonly Refusal[] };

/** What a netns holds of the things PodNetwork speaks of. */
export type HeldPodNetwork = {
  /** Addresses of `lo`. */
  readonly addresses: readonly Cidr[];
  readonly policyRules: readonly HeldPolicyRule[];
  readonly routes: readonly HeldLocalRoute[];
};

/** Requests that add everything. Undefined: there is nothing to add. Read the answers with parseNetworkOutcome. */
export function encodeAddPodNetwork(network: PodNetwork): Uint8Array | undefined {
  const add = { address: writeAddAddress, rule: writeAddPolicyRule, route: writeAddLocalRoute };
  return encodePodNetwork(network, add);
}

/** Requests that delete everything. Undefined: there is nothing to delete. */
export function encodeRemovePodNetwork(network: PodNetwork): Uint8Array | undefined {
  const remove = { address: writeDeleteAddress, rule: writeDeletePolicyRule, route: writeDeleteLocalRoute };
  return encodePodNetwork(network, remove);
}

/** Request that takes an interface up. Equiv: ip link set dev … up */
export function encodeLinkUp(interfaceIndex = LOOPBACK_INDEX, sequence = 1): Uint8Array {
  const writer = new NetlinkWriter();
  writer.message({ type: RTM.NEWLINK, flags: NLM_F.REQUEST | NLM_F.ACK, sequence }, () => {
    // struct ifinfomsg { unsigned char ifi_family, pad; unsigned short ifi_type; int ifi_index; unsigned ifi_flags, ifi_change; }
    writer.u32(0);
    writer.u32(interfaceIndex);
    writer.u32(IFF_UP);
    writer.u32(IFF_UP);
  });
  return writer.finish();
}

/** Reads all answers to requests of this file. "Is there" and "is not there" are what was wanted. */
export function parseNetworkOutcome(datagrams: Iterable<Uint8Array>): NetworkOutcome {
  const harmless = [EEXIST, ENOENT, ESRCH, EADDRNOTAVAIL];
  const refusals = [...datagrams]
    .flatMap((datagram) => parseReplies(datagram))
    .filter((reply) => reply.kind === "refused")
    .filter(({ errno, requestType }) => !(harmless.includes(errno) && isExpected(errno, requestType)));
  return refusals.length === 0 ? { kind: "done" } : { kind: "refused", refusals };
}

/** What of `network` the netns does not hold; all lists empty: nothing is missing. */
export function missingPodNetwork(network: PodNetwork, held: HeldPodNetwork): PodNetwork {
  const hasRule = (rule: PolicyRule): boolean =>
    held.policyRules.some(
      (other) =>
        other.family === rule.family &&
        other.fwmark === rule.fwmark &&
        other.fwmask === rule.fwmask &&
        other.table === rule.table &&
        other.priority < MAIN_TABLE_PRIORITY,
    );
  const hasRoute = (route: LocalRoute): boolean =>
    held.routes.some(
      (other) =>
        other.table === route.table &&
        other.interfaceIndex === LOOPBACK_INDEX &&
        isSameCidr(other.destination, route.destination),
    );
  return {
    addresses: network.addresses.filter(({ cidr }) => !held.addresses.some((other) => isSameCidr(cidr, other))),
    policyRules: network.policyRules.filter((rule) => !hasRule(rule)),
    routes: network.routes.filter((route) => !hasRoute(route)),
  };
}

function encodePodNetwork(
  network: PodNetwork,
  write: {
    address: typeof writeAddAddress;
    rule: typeof writeAddPolicyRule;
    route: typeof writeAddLocalRoute;
  },
): Uint8Array | undefined {
  const writer = new NetlinkWriter();
  let sequence = 0;
  for (const { cidr } of network.addresses) write.address(writer, cidr, LOOPBACK_INDEX, ++sequence);
  for (const rule of network.policyRules) write.rule(writer, rule, ++sequence);
  for (const route of network.routes) write.route(writer, route, ++sequence);
  return sequence === 0 ? undefined : writer.finish();
}

/** Adding what exists and deleting what does not; anything else with the same number is a failure. */
function isExpected(errno: number, requestType: number): boolean {
  const isAdd = requestType === RTM.NEWADDR || requestType === RTM.NEWRULE || requestType === RTM.NEWROUTE;
  return isAdd === (errno === EEXIST);
}
