// What a pod's namespace holds at this moment, of whoever it is, as far as a packet meets it: rules of every table, addresses,
// names of interfaces, and the kernel's answer to which way a packet goes. Writes nothing.
import { decodeHeldRules, encodeHeldSetRequests, type HeldRules } from "../../core/netlink/held-rules.ts";
import { encodeNftDumpRequests } from "../../core/netlink/nft-dump.ts";
import {
  decodeRouteLookup,
  encodeRouteLookup,
  type RouteAnswer,
  type RouteQuestion,
} from "../../core/netlink/route-lookup.ts";
import { NETLINK_PROTOCOL } from "../../core/netlink/rtnetlink.ts";
import { decodeLinkNames, encodeGetLinks } from "../../core/netlink/steering-rules.ts";
import type { TracedNetns } from "../../core/trace/trace-pod.ts";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";
import { dump, exchange, readGeneration } from "./netlink-conversation.ts";
import { readAddresses } from "./read-addresses.ts";
import type { RuleStore } from "./rule-store.ts";

export interface NetnsPictureDeps {
  openNetlink(protocol: number, netnsFd: number): NetlinkSocket;
  /** Whether nf_tables answers on this node; if not, it holds nothing. */
  hasNfTables(): boolean;
  readonly legacy: Pick<RuleStore, "isAvailable" | "read">;
  /** Names of the legacy tables of a namespace, without making any. */
  legacyTables(netnsFd: number): Readonly<Record<4 | 6, readonly string[]>>;
}

export type NetnsPicture = Omit<TracedNetns, "route">;

export interface NetnsPictures {
  /** Rejects when the kernel does not answer, or somebody changes the rules all the time. */
  take(netnsFd: number): Promise<NetnsPicture>;
  /** Asked anew each time. Throws when the kernel does not answer. */
  route(netnsFd: number, question: RouteQuestion): RouteAnswer;
}

/** As often a picture is taken again that changed while it was drawn. */
const MAX_ROUNDS = 5;

export function createNetnsPictures(deps: NetnsPictureDeps): NetnsPictures {
  function readNfTables(netnsFd: number): HeldRules {
    if (!deps.hasNfTables()) return { rulesets: [], deviceChains: [] };
    using socket = deps.openNetlink(NETLINK_PROTOCOL.netfilter, netnsFd);
    for (let round = 1; round <= MAX_ROUNDS; round++) {
      const generation = readGeneration(socket, "the rules");
      const rules = encodeNftDumpRequests().flatMap((request) => dump(socket, "read the rules", request));
      const sets = encodeHeldSetRequests(rules).flatMap((request) => dump(socket, "read the sets", request));
      if (readGeneration(socket, "the rules") === generation) return decodeHeldRules([...rules, ...sets]);
    }
    throw new Error(`Cannot read the rules: they changed during each of ${MAX_ROUNDS} reads`);
  }

  async function readLegacy(netnsFd: number): Promise<Pick<NetnsPicture, "rulesets" | "unread">> {
    const names = deps.legacyTables(netnsFd);
    if (names[4].length + names[6].length === 0) return { rulesets: [], unread: undefined };
    if (deps.legacy.isAvailable()) return { rulesets: await deps.legacy.read(netnsFd), unread: undefined };
    const tables = [...new Set([...names[4], ...names[6]])].join(", ");
    return { rulesets: [], unread: `there are tables of iptables-legacy (${tables}), and no program here reads them` };
  }

  return {
    async take(netnsFd) {
      const { rulesets, deviceChains } = readNfTables(netnsFd);
      const legacy = await readLegacy(netnsFd);
      using socket = deps.openNetlink(NETLINK_PROTOCOL.route, netnsFd);
      return {
        rulesets: [...rulesets, ...legacy.rulesets],
        deviceChains,
        unread: legacy.unread,
        addresses: readAddresses(socket),
        interfaces: decodeLinkNames(dump(socket, "list the interfaces", encodeGetLinks())),
      };
    },
    route(netnsFd, question) {
      using socket = deps.openNetlink(NETLINK_PROTOCOL.route, netnsFd);
      return decodeRouteLookup(exchange(socket, encodeRouteLookup(question)));
    },
  };
}
