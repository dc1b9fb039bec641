// The host's probe sets as ipsets: for the rules of iptables, over nf_tables or legacy. Over netlink, nothing is executed.
import { FAMILIES } from "../../core/address.ts";
import { codeOf } from "../../core/error-message.ts";
import { decodeIndex, encodeIndexRequest, IP_SET_OPTION } from "../../core/netlink/ip-set-index.ts";
import {
  describeIpsetErrno,
  encodeIpsetAdd,
  encodeIpsetCreate,
  encodeIpsetDelete,
  encodeIpsetDestroy,
  encodeIpsetList,
  ipsetRefusal,
} from "../../core/netlink/ipset.ts";
import { decodeIpset, type HeldIpset } from "../../core/netlink/ipset-dump.ts";
import { KernelRefusalError, parseReplies, type Refusal } from "../../core/netlink/reply.ts";
import { NETLINK_PROTOCOL } from "../../core/netlink/rtnetlink.ts";
import type { SetNumbers } from "../../core/netlink/xt-match.ts";
import { PROBE_SETS } from "../../core/rules/ambient-numbers.ts";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";
import { dump, exchange } from "./netlink-conversation.ts";
import type { ProbeSets } from "./probe-sets.ts";

export interface IpsetDeps {
  openNetlink(protocol: number, netnsFd: number): NetlinkSocket;
  /** getsockopt(2) on a raw socket in the namespace. @throws {ErrnoError} */
  readIpOption(netnsFd: number, level: number, name: number, value: Uint8Array): Uint8Array;
}

/** How a set was found: as it has to be, not there, or as something that cannot be used (in words). */
export type IpsetState = "usable" | "absent" | { readonly unusable: string };

export interface HostIpsets extends ProbeSets {
  state(family: 4 | 6): IpsetState;
  /** Makes the set unless it is there. @throws {KernelRefusalError} also where another kind of set has the name. */
  create(family: 4 | 6): void;
  /** False: a rule looks into it, so it stays. @throws {KernelRefusalError} */
  destroy(family: 4 | 6): boolean;
  /** The numbers by which rules know our sets, as they are now. */
  numbers(): SetNumbers;
}

/** The sets of one namespace. `netnsFd` has to stay open. `settle` returns when rules that were deleted before are freed. */
export function createHostIpsets(deps: IpsetDeps, netnsFd: number, settle: () => void = () => {}): HostIpsets {
  /** What became of each request; the first refusal that is not allowed ends it. */
  function request(
    action: string,
    messages: readonly Uint8Array[],
    allowed: readonly string[] = [],
  ): Refusal | undefined {
    if (messages.length === 0) return undefined;
    using socket = deps.openNetlink(NETLINK_PROTOCOL.netfilter, netnsFd);
    for (const message of messages) {
      const replies = [...exchange(socket, message)].flatMap(parseReplies);
      const refused = replies.find((reply) => reply.kind === "refused");
      if (refused !== undefined && allowed.includes(ipsetRefusal(refused.errno))) return refused;
      if (refused !== undefined) throw withWords(action, refused);
      if (!replies.some(({ kind }) => kind === "ack")) throw new Error(`Cannot ${action}: the kernel did not answer`);
    }
    return undefined;
  }

  /** Undefined: no such set. */
  function list(family: 4 | 6): HeldIpset | undefined {
    using socket = deps.openNetlink(NETLINK_PROTOCOL.netfilter, netnsFd);
    const action = `read ipset ${PROBE_SETS[family]}`;
    try {
      return decodeIpset(dump(socket, action, encodeIpsetList(PROBE_SETS[family])));
    } catch (error) {
      if (!(error instanceof KernelRefusalError)) throw error;
      const kind = ipsetRefusal(error.refusal.errno);
      if (kind === "no-set" || kind === "no-ipset") return undefined;
      throw withWords(action, error.refusal);
    }
  }

  return {
    kind: "ipset",
    read(family) {
      const held = list(family);
      if (held === undefined || whyUnusable(held, family) !== undefined) return undefined;
      return held.entries.map(({ ip, comment }) => ({ ip, podUid: comment }));
    },
    write(family, put, remove) {
      const name = PROBE_SETS[family];
      const entries = put.map(({ ip, podUid }) => ({ ip, comment: podUid }));
      request(`take addresses out of ipset ${name}`, encodeIpsetDelete(name, remove));
      request(`put addresses into ipset ${name}`, encodeIpsetAdd(name, entries));
    },
    state(family) {
      const held = list(family);
      if (held === undefined) return "absent";
      const unusable = whyUnusable(held, family);
      return unusable === undefined ? "usable" : { unusable };
    },
    create(family) {
      request(`make ipset ${PROBE_SETS[family]}`, [encodeIpsetCreate(PROBE_SETS[family], family)]);
    },
    destroy(family) {
      const message = encodeIpsetDestroy(PROBE_SETS[family]);
      const isInUse = (): boolean => {
        const refused = request(`destroy ipset ${PROBE_SETS[family]}`, [message], ["in-use", "no-set", "no-ipset"]);
        return refused !== undefined && ipsetRefusal(refused.errno) === "in-use";
      };
      if (!isInUse()) return true;
      // By a rule of nf_tables that is deleted and not freed yet, perhaps.
      settle();
      return !isInUse();
    },
    numbers() {
      const known = FAMILIES.flatMap((family) => {
        const number = numberOf(PROBE_SETS[family]);
        return number === undefined ? [] : [[PROBE_SETS[family], number] as const];
      });
      const [byName, byNumber] = [
        new Map<string, number>(known),
        new Map(known.map(([name, number]) => [number, name])),
      ];
      return { numberOf: (name) => byName.get(name), nameOf: (number) => byNumber.get(number) };
    },
  };

  function numberOf(name: string): number | undefined {
    try {
      return decodeIndex(deps.readIpOption(netnsFd, IP_SET_OPTION.level, IP_SET_OPTION.name, encodeIndexRequest(name)));
    } catch (error) {
      // Nobody has made a set on this kernel yet, so no rule looks into one.
      if (codeOf(error) === "ENOPROTOOPT") return undefined;
      throw error;
    }
  }
}

/** Every address of the family, for good, each with its comment: anything else does not serve. */
function whyUnusable({ type, family, hasComments, hasTimeout }: HeldIpset, wanted: 4 | 6): string | undefined {
  if (type !== "hash:ip") return `it is of type ${type}`;
  if (family !== wanted) return `it is not of IPv${wanted}`;
  if (!hasComments) return "it has no comments";
  return hasTimeout ? "its entries time out" : undefined;
}

function withWords(action: string, refusal: Refusal): KernelRefusalError {
  const words = refusal.text ?? describeIpsetErrno(refusal.errno);
  return new KernelRefusalError(action, { ...refusal, ...(words !== undefined && { text: words }) });
}
