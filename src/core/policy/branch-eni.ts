// Pods with an AWS branch network interface (security groups for pods): the VPC CNI sends all their traffic through the VPC,
// which drops the link-local source of probes. Two policy rules of the node lead the node's own connections to such a pod, and
// the answers, straight over its veth (contract 7.9; istio cni/pkg/nodeagent/brancheni_linux.go@1.30.3). Which rules there
// should be, and what has to change for it. Not here: that it is wanted, how the kernel is asked.
import { formatIp, type IpAddress } from "../address.ts";

/** A policy rule of the node that looks up a table. */
export interface NodeRule {
  readonly family: 4 | 6;
  readonly priority: number;
  readonly table: number;
  /** For this address alone. */
  readonly destination: IpAddress | undefined;
  /** What comes in there. */
  readonly iifName: string | undefined;
  /** Who made it: a number of its maker's choice (FRA_PROTOCOL). */
  readonly protocol: number;
  /** It chooses by something else too; then it is somebody else's. */
  readonly isOther: boolean;
}

/** A route to one address, in any table. */
export interface HostRoute {
  readonly destination: IpAddress;
  readonly table: number;
  readonly interfaceName: string;
}

export interface BranchEniChange {
  /** Before `add`: one of them may be to be replaced. */
  readonly remove: readonly NodeRule[];
  /** In pairs: the way back, then the way there. One without the other breaks what worked. */
  readonly add: readonly (readonly [back: NodeRule, there: NodeRule])[];
}

/** By it our rules are known again, also by the next agent; nobody else in iproute2's table has it. */
export const BRANCH_ENI_PROTOCOL = 137;
/** As the VPC CNI gives its own rules for other pods. */
const THERE_PRIORITY = 512;
const LOCAL_TABLE = 255;
/** Unspecified, default, main, local. */
const USUAL_TABLES: readonly number[] = [0, 253, 254, LOCAL_TABLE];

/** @param ips addresses of enrolled pods; none: everything of ours goes */
export function decideBranchEni(
  ips: readonly IpAddress[],
  rules: readonly NodeRule[],
  routes: readonly HostRoute[],
): BranchEniChange {
  const routeTo = Map.groupBy(routes, ({ destination }) => formatIp(destination));
  const wanted = ips.flatMap((ip) => pairFor(ip, rules, routeTo.get(formatIp(ip)) ?? []));
  const isOurs = ({ isOther, protocol }: NodeRule): boolean => !isOther && protocol === BRANCH_ENI_PROTOCOL;
  const standing = new Set(rules.filter(isOurs).map(keyOf));
  const add = wanted.filter((pair) => !pair.every((rule) => standing.has(keyOf(rule))));
  const keys = new Set(wanted.flat().map(keyOf));
  const toAdd = new Set(add.flat().map(keyOf));
  // The same rule of another maker, upstream's agent for one, would stay for ever when the pod is gone: ours takes its place.
  const remove = rules.filter((rule) =>
    isOurs(rule) ? !keys.has(keyOf(rule)) : !rule.isOther && toAdd.has(keyOf(rule)),
  );
  return { remove, add };
}

/** None where the pod's traffic goes the usual way. */
function pairFor(ip: IpAddress, rules: readonly NodeRule[], routes: readonly HostRoute[]): [NodeRule, NodeRule][] {
  const { family } = ip;
  for (const { table, interfaceName: iifName } of routes) {
    if (USUAL_TABLES.includes(table)) continue;
    const theirs = rules.find((rule) => rule.family === family && rule.table === table && rule.iifName === iifName);
    if (theirs === undefined) continue;
    const common = { family, protocol: BRANCH_ENI_PROTOCOL, isOther: false } as const;
    const priority = Math.max(theirs.priority - 1, 0);
    return [
      [
        { ...common, priority, table: LOCAL_TABLE, destination: undefined, iifName },
        { ...common, priority: THERE_PRIORITY, table, destination: ip, iifName: undefined },
      ],
    ];
  }
  return [];
}

/** All but its maker. */
function keyOf({ family, priority, table, destination, iifName }: NodeRule): string {
  return [family, priority, table, destination === undefined ? "" : formatIp(destination), iifName ?? ""].join(" ");
}
