// Keeps the node's policy rules for pods with an AWS branch network interface, where they are switched on and the node is one
// of those: AWS asks for net.ipv4.tcp_early_demux=0 there, and nobody else does. On other nodes the kernel is asked for that
// setting and for nothing else. Which rules: core/policy/branch-eni.ts. Failures keep no pod out of anything.
import type { IpAddress } from "../../core/address.ts";
import {
  encodeGetLinks,
  parseHostRoutes,
  parseLinkNames,
  parseNodeRules,
  writeAddNodeRule,
  writeDeleteNodeRule,
} from "../../core/netlink/node-routing.ts";
import { encodeGetPolicyRules, encodeGetRoutes } from "../../core/netlink/policy-routing.ts";
import { KernelRefusalError, parseReplies, type Refusal } from "../../core/netlink/reply.ts";
import { NETLINK_PROTOCOL } from "../../core/netlink/rtnetlink.ts";
import { NetlinkWriter } from "../../core/netlink/writer.ts";
import { decideBranchEni, type NodeRule } from "../../core/policy/branch-eni.ts";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";
import { dump, exchange } from "./netlink-conversation.ts";

export interface BranchEniDeps {
  openNetlink(protocol: number, netnsFd: number): NetlinkSocket;
  /** A setting below net/ of that namespace, as "ipv4/tcp_early_demux". */
  readNetSysctl(netnsFd: number, name: string): string;
}

export interface BranchEniOptions {
  readonly netnsFd: number;
  readonly families: readonly (4 | 6)[];
  /** `AMBIENT_ENABLE_AWS_BRANCH_ENI_PROBE`. */
  readonly isEnabled: boolean;
}

export interface BranchEniDone {
  readonly added: number;
  readonly removed: number;
}

const EEXIST = 17;
const ENOENT = 2;
const EAFNOSUPPORT = 97;
const IDLE: BranchEniDone = { added: 0, removed: 0 };

export function createBranchEni(deps: BranchEniDeps, options: BranchEniOptions) {
  const { netnsFd, families, isEnabled } = options;
  /** Nothing of ours is there, and nothing shall be. */
  let isClean = false;

  /** Whether this node may have such pods. Asked each time: the setting may come after us. */
  function isExpected(): boolean {
    return deps.readNetSysctl(netnsFd, "ipv4/tcp_early_demux").startsWith("0");
  }

  function convergeFamily(socket: NetlinkSocket, family: 4 | 6, ips: readonly IpAddress[]): BranchEniDone {
    const rules = parseNodeRules(dump(socket, "list the node's policy rules", encodeGetPolicyRules(family)));
    const wanted = ips.filter((ip) => ip.family === family);
    // Without a rule by interface no pod of this node can have such an interface, and the routes are not looked through.
    const mayHave = wanted.length > 0 && rules.some(({ iifName }) => iifName !== undefined);
    const { remove, add } = decideBranchEni(wanted, rules, mayHave ? hostRoutes(socket, family) : []);
    for (const rule of remove) change(socket, rule, writeDeleteNodeRule, ENOENT);
    for (const pair of add) addPair(socket, pair);
    return { added: add.length, removed: remove.length };
  }

  function hostRoutes(socket: NetlinkSocket, family: 4 | 6) {
    const names = parseLinkNames(dump(socket, "list the node's interfaces", encodeGetLinks()));
    return parseHostRoutes(dump(socket, "list the node's routes", encodeGetRoutes(family)), names);
  }

  function convergeAll(ips: readonly IpAddress[]): BranchEniDone {
    using socket = deps.openNetlink(NETLINK_PROTOCOL.route, netnsFd);
    return families
      .map((family) => unlessMissing(() => convergeFamily(socket, family, ips)))
      .reduce((sum, one) => ({ added: sum.added + one.added, removed: sum.removed + one.removed }), IDLE);
  }

  return {
    /** What these addresses of enrolled pods need stands, and nothing of ours besides; again it changes nothing. Where it is
     * switched off, or the node is not of AWS's kind, what an agent left goes. @throws {KernelRefusalError}; what was done
     * before stays */
    converge(ips: readonly IpAddress[]): BranchEniDone {
      const isActive = isEnabled && isExpected();
      if (!isActive && isClean) return IDLE;
      const done = convergeAll(isActive ? ips : []);
      isClean = !isActive;
      return done;
    },
    /** The product goes. @throws {KernelRefusalError} */
    removeAll: (): BranchEniDone => convergeAll([]),
  };
}

/** A kernel without the family has nothing of it. */
function unlessMissing(converge: () => BranchEniDone): BranchEniDone {
  try {
    return converge();
  } catch (error) {
    if (error instanceof KernelRefusalError && error.refusal.errno === EAFNOSUPPORT) return IDLE;
    throw error;
  }
}

/** Both or none: the way there alone would lead answers astray that found their way before. */
function addPair(socket: NetlinkSocket, [back, there]: readonly [NodeRule, NodeRule]): void {
  change(socket, back, writeAddNodeRule, EEXIST);
  try {
    change(socket, there, writeAddNodeRule, EEXIST);
  } catch (error) {
    change(socket, back, writeDeleteNodeRule, ENOENT);
    throw error;
  }
}

/** @param harmless the errno that says there is nothing to do */
function change(
  socket: NetlinkSocket,
  rule: NodeRule,
  write: (writer: NetlinkWriter, rule: NodeRule, sequence: number) => void,
  harmless: number,
): void {
  const writer = new NetlinkWriter();
  write(writer, rule, 1);
  const refusals: Refusal[] = [...exchange(socket, writer.finish())]
    .flatMap((datagram) => parseReplies(datagram))
    .flatMap((reply) => (reply.kind === "refused" && reply.errno !== harmless ? [reply] : []));
  const [first] = refusals;
  if (first !== undefined) throw new KernelRefusalError("change a policy rule for probes of the node", first);
}
