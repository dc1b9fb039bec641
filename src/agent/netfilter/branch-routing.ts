// Keeps the ways of probes to pods with branch network interfaces (contract 7.9), in the node's own namespace. Level-triggered
// and without memory: looks at the node's routing and makes it what the pods need. A look costs three dumps.
import { FAMILIES, type IpAddress } from "../../core/address.ts";
import type { NetlinkMessage } from "../../core/netlink/message.ts";
import { encodeGetPolicyRules, encodeGetRoutes } from "../../core/netlink/policy-routing.ts";
import { KernelRefusalError, parseReplies } from "../../core/netlink/reply.ts";
import { NETLINK_PROTOCOL } from "../../core/netlink/rtnetlink.ts";
import {
  decodeHostRoutes,
  decodeLinkNames,
  decodeSteeringRules,
  encodeAddSteeringRule,
  encodeDeleteSteeringRule,
  encodeGetLinks,
} from "../../core/netlink/steering-rules.ts";
import { planBranchRules, type SteeringPlan, type SteeringView } from "../../core/policy/branch-interfaces.ts";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";
import { dump, exchange } from "./netlink-conversation.ts";

export interface BranchRouting {
  /** What `converge` would do. Changes nothing. @throws {KernelRefusalError} */
  plan(addresses: readonly IpAddress[]): SteeringPlan;
  /** Makes the node lead probes to these pods, and no others, by their veths. False: it did.
   * @throws {KernelRefusalError} after all was tried that could be */
  converge(addresses: readonly IpAddress[]): boolean;
}

const ENOENT = 2;
const EEXIST = 17;
const EAFNOSUPPORT = 97;

/** @param netnsFd the node's own network namespace; has to stay open */
export function createBranchRouting(
  openNetlink: (protocol: number, netnsFd: number) => NetlinkSocket,
  netnsFd: number,
): BranchRouting {
  function look(socket: NetlinkSocket): SteeringView {
    const rules = FAMILIES.flatMap((family) => decodeSteeringRules(read(socket, encodeGetPolicyRules(family))));
    // A node without such interfaces has no such rules, and its routes, which may be many, are not read.
    if (!rules.some(({ iif }) => iif !== undefined)) return { rules, routes: [], links: new Map() };
    return {
      rules,
      routes: FAMILIES.flatMap((family) => decodeHostRoutes(read(socket, encodeGetRoutes(family)))),
      links: decodeLinkNames(read(socket, encodeGetLinks())),
    };
  }

  return {
    plan(addresses) {
      using socket = openNetlink(NETLINK_PROTOCOL.route, netnsFd);
      return planBranchRules(look(socket), addresses);
    },
    converge(addresses) {
      using socket = openNetlink(NETLINK_PROTOCOL.route, netnsFd);
      const { add, remove } = planBranchRules(look(socket), addresses);
      const failures: unknown[] = [];
      const send = (action: string, request: Uint8Array, allowed: number): void => {
        const refused = [...exchange(socket, request)].flatMap(parseReplies).find((reply) => reply.kind === "refused");
        if (refused !== undefined && refused.errno !== allowed) failures.push(new KernelRefusalError(action, refused));
      };
      for (const rule of remove) send("delete a rule for probes", encodeDeleteSteeringRule(rule), ENOENT);
      for (const rule of add) send("add a rule for probes", encodeAddSteeringRule(rule), EEXIST);
      if (failures.length > 0) throw failures[0];
      return add.length + remove.length > 0;
    },
  };
}

function read(socket: NetlinkSocket, request: Uint8Array): readonly NetlinkMessage[] {
  try {
    return dump(socket, "read the node's routing", request);
  } catch (error) {
    // A kernel without the family has nothing of it.
    if (error instanceof KernelRefusalError && error.refusal.errno === EAFNOSUPPORT) return [];
    throw error;
  }
}
