// Ways for probes to pods that have an interface of their own into the cloud's network (AWS security groups for pods: branch
// network interfaces, contract 7.9). Such a pod's packets go through the VPC in both directions, which does not know the probe
// source; two rules per pod lead probes and their answers through the pod's veth instead. What should be there follows from the
// addresses of the enrolled pods and from the network plugin's own rules and routes alone, so nothing has to be remembered.
// (istio cni/pkg/nodeagent/brancheni_linux.go@master.)

import { hostCidr, type IpAddress, isSameCidr, isSameIp } from "../address.ts";
import type { HostRoute, SteeringRule } from "../netlink/steering-rules.ts";

/** Marks rules as ours (FRA_PROTOCOL); no routing program uses the number. */
export const PROBE_RULE_PROTOCOL = 127;
/** That of the network plugin's own rules to pods without such an interface; upstream's. */
const FORWARD_PRIORITY = 512;
const LOCAL_TABLE = 255;
/** Unspecified, main and local: tables of everybody. */
const COMMON_TABLES: readonly number[] = [0, 254, LOCAL_TABLE];

/** What a node's routing consists of, as far as it matters. */
export type SteeringView = {
  readonly rules: readonly SteeringRule[];
  readonly routes: readonly HostRoute[];
  /** Names of interfaces by index. */
  readonly links: ReadonlyMap<number, string>;
};

export type SteeringPlan = { readonly add: readonly SteeringRule[]; readonly remove: readonly SteeringRule[] };

/** What is missing for these addresses, and which of our rules, or upstream's, serve none of them. */
export function planBranchRules(view: SteeringView, addresses: readonly IpAddress[]): SteeringPlan {
  const byInterface = view.rules.filter(({ iif, to, table }) => {
    return iif !== undefined && to === undefined && !COMMON_TABLES.includes(table);
  });
  const desired = addresses.flatMap((ip) => rulesFor(ip, byInterface, view));
  const held = view.rules.filter((rule) => isOurs(rule, byInterface));
  return {
    add: desired.filter((rule, index) => {
      const isFirst = desired.findIndex((other) => isSame(rule, other)) === index;
      return isFirst && !view.rules.some((other) => isSame(rule, other));
    }),
    remove: held.filter((rule) => !desired.some((other) => isSame(rule, other))),
  };
}

/** None for a pod whose way is in the main table, as nearly every pod's. */
function rulesFor(
  ip: IpAddress,
  byInterface: readonly SteeringRule[],
  { routes, links }: SteeringView,
): SteeringRule[] {
  for (const { family, table, iif, priority } of byInterface) {
    const isWay = (route: HostRoute): boolean =>
      route.table === table && isSameIp(route.destination, ip) && links.get(route.interfaceIndex) === iif;
    if (family !== ip.family || iif === undefined || !routes.some(isWay)) continue;
    const common = { family, protocol: PROBE_RULE_PROTOCOL };
    return [
      { ...common, to: hostCidr(ip), table, priority: FORWARD_PRIORITY },
      // Answers are for this node: before the rule by which the plugin sends all that the pod sends into the VPC.
      { ...common, iif, table: LOCAL_TABLE, priority: Math.max(0, priority - 1) },
    ];
  }
  return [];
}

/** By their mark, or by what only upstream's agent writes; the plugin's own rules at 512 lead to the main table. */
function isOurs(rule: SteeringRule, byInterface: readonly SteeringRule[]): boolean {
  if (rule.protocol === PROBE_RULE_PROTOCOL) return true;
  const { to, iif, table, priority } = rule;
  if (to !== undefined && iif === undefined) {
    const isHost = to.prefixLength === to.bytes.length * 8;
    return isHost && priority === FORWARD_PRIORITY && byInterface.some((other) => other.table === table);
  }
  return (
    to === undefined &&
    table === LOCAL_TABLE &&
    byInterface.some((other) => other.iif === iif && Math.max(0, other.priority - 1) === priority)
  );
}

function isSame(left: SteeringRule, right: SteeringRule): boolean {
  const isSameTo =
    left.to === undefined || right.to === undefined ? left.to === right.to : isSameCidr(left.to, right.to);
  const { family, iif, table, priority } = left;
  return (
    isSameTo && family === right.family && iif === right.iif && table === right.table && priority === right.priority
  );
}
