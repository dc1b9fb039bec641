// What a pod's netns needs beside netfilter (address on lo, policy rules, routes), as one datagram of rtnetlink requests.
// The kernel carries out each on its own; what is there already counts as done, so applying twice is harmless (D13, D18).

import type { Cidr } from "../address.ts";
import { isSameCidr } from "../address.ts";
import type { LocalRoute, PodNetwork } from "../rules/model.ts";
import { writeAddAddress, writeDeleteAddress } from "./addresses.ts";
import type { HeldLocalRoute, HeldPolicyRule, TableLookup } from "./policy-routing.ts";
import {
  writeAddLocalRoute,
  writeAddPolicyRule,
  writeDeleteLocalRoute,
  writeDeletePolicyRule,
} from "./policy-routing.ts";
import type { Refusal } from "./reply.ts";
import { parseReplies } from "./reply.ts";
import { LOOPBACK_INDEX, RTM } from "./rtnetlink.ts";
import { NetlinkWriter } from "./writer.ts";

const ENOENT = 2;
const ESRCH = 3;
const EEXIST = 17;
const EADDRNOTAVAIL = 99;
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
  /** Tables that policy rules of another kind look into. */
  readonly otherLookups: readonly TableLookup[];
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
  return {
    addresses: network.addresses.filter(({ cidr }) => !held.addresses.some((other) => isSameCidr(cidr, other))),
    policyRules: network.policyRules.filter(
      (rule) => !held.policyRules.some((other) => isSameLookup(rule, other) && other.priority < MAIN_TABLE_PRIORITY),
    ),
    routes: network.routes.filter((route) => !held.routes.some((other) => isSameRoute(route, other))),
  };
}

/**
 * What the netns holds of `ours` without needing it for `wanted`. A route stays as long as a rule of somebody else looks
 * into its table; every rule of ours is named, at each priority at which it stands.
 */
export function surplusPodNetwork(ours: PodNetwork, wanted: PodNetwork, held: HeldPodNetwork): PodNetwork {
  const policyRules = ours.policyRules
    .filter((rule) => !wanted.policyRules.some((other) => isSameLookup(rule, other)))
    .flatMap(({ intent, ...rule }) =>
      held.policyRules.filter((other) => isSameLookup(rule, other)).map((other) => ({ intent, ...other })),
    );
  const isOurs = (rule: HeldPolicyRule): boolean => ours.policyRules.some((other) => isSameLookup(rule, other));
  const others = [...held.otherLookups, ...held.policyRules.filter((rule) => !isOurs(rule))];
  const isLookedUp = ({ destination, table }: LocalRoute): boolean =>
    others.some((rule) => rule.family === destination.family && rule.table === table);
  return {
    addresses: ours.addresses.filter(
      ({ cidr }) =>
        !wanted.addresses.some((other) => isSameCidr(cidr, other.cidr)) &&
        held.addresses.some((other) => isSameCidr(cidr, other)),
    ),
    policyRules,
    routes: ours.routes.filter(
      (route) =>
        !wanted.routes.some(
          (other) => other.table === route.table && isSameCidr(other.destination, route.destination),
        ) &&
        held.routes.some((other) => isSameRoute(route, other)) &&
        !isLookedUp(route),
    ),
  };
}

/** Whether there is nothing in it. */
export function isEmptyNetwork({ addresses, policyRules, routes }: PodNetwork): boolean {
  return addresses.length + policyRules.length + routes.length === 0;
}

/** The same without IPv6, for a netns whose `lo` has none (contract 7.7: disable_ipv6). */
export function withoutIpv6({ addresses, policyRules, routes }: PodNetwork): PodNetwork {
  return {
    addresses: addresses.filter(({ cidr }) => cidr.family === 4),
    policyRules: policyRules.filter(({ family }) => family === 4),
    routes: routes.filter(({ destination }) => destination.family === 4),
  };
}

/** The same mark sends to the same table; the priority does not count. */
function isSameLookup(left: Omit<HeldPolicyRule, "priority">, right: Omit<HeldPolicyRule, "priority">): boolean {
  return (
    left.family === right.family &&
    left.fwmark === right.fwmark &&
    left.fwmask === right.fwmask &&
    left.table === right.table
  );
}

function isSameRoute(route: LocalRoute, held: HeldLocalRoute): boolean {
  return (
    held.table === route.table &&
    held.interfaceIndex === LOOPBACK_INDEX &&
    isSameCidr(held.destination, route.destination)
  );
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
