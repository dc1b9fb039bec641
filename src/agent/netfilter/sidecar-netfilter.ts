// Programs the sidecar redirection of one pod in the dialect of iptables-nft: one batch over netlink, no program executed,
// no lock taken (DESIGN 3.4). Synchronous; the thread is in the pod's namespace only while the socket is made.
import type { IpAddress } from "../../core/address.ts";
import { decodeAddresses, encodeGetAddresses } from "../../core/netlink/addresses.ts";
import {
  decodeIptablesNft,
  encodeIptablesNft,
  encodeIptablesNftRemove,
  type HeldRuleset,
} from "../../core/netlink/iptables-nft.ts";
import { type BatchOutcome, describeRefused, parseBatchOutcome } from "../../core/netlink/nfnetlink.ts";
import { encodeNftDumpRequests } from "../../core/netlink/nft-dump.ts";
import { encodeAddPodNetwork, parseNetworkOutcome } from "../../core/netlink/pod-network.ts";
import { KernelRefusalError } from "../../core/netlink/reply.ts";
import { NETLINK_PROTOCOL } from "../../core/netlink/rtnetlink.ts";
import { describeDrift } from "../../core/rules/drift.ts";
import { sidecarNetwork, sidecarRules } from "../../core/rules/sidecar.ts";
import type { SidecarCapture } from "../../core/rules/sidecar-capture.ts";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";
import { dump, exchange } from "./netlink-conversation.ts";

export interface SidecarNetfilterDeps {
  openNetlink(protocol: number, netnsFd: number): NetlinkSocket;
  netnsId(netnsFd: number): { readonly dev: bigint; readonly ino: bigint };
}

export interface SidecarNetfilterOptions {
  /** Namespaces that are no pod's: the node's and the agent's. */
  readonly forbidden: readonly { readonly dev: bigint; readonly ino: bigint }[];
}

const EEXIST = 17;

export function createSidecarNetfilter(deps: SidecarNetfilterDeps, options: SidecarNetfilterOptions) {
  return {
    /** The addresses in the namespace, in the kernel's order. */
    addresses(netnsFd: number): readonly IpAddress[] {
      using socket = deps.openNetlink(NETLINK_PROTOCOL.route, netnsFd);
      return decodeAddresses(exchange(socket, encodeGetAddresses())).addresses.map(({ ip }) => ip);
    },

    /** Makes the namespace hold exactly this capture; other people's rules stay. All or nothing per family set.
     * @throws {KernelRefusalError} naming what the kernel refused. */
    apply(netnsFd: number, capture: SidecarCapture): { readonly changed: boolean } {
      const desired = sidecarRules(capture);
      using socket = deps.openNetlink(NETLINK_PROTOCOL.netfilter, netnsFd);
      addPodNetwork(netnsFd, capture);
      // A fresh sandbox holds nothing of ours, so creating is tried first; own chains that exist refuse the whole batch.
      const create = encodeIptablesNft(desired);
      const first = commit(socket, create);
      if (first.kind === "committed") return { changed: true };
      if (!first.refusals.some(({ errno }) => errno === EEXIST)) throw refusal(create, first);
      const held = read(socket);
      if (describeDrift(held, desired).length === 0) return { changed: false };
      const remove = encodeIptablesNftRemove(held, desired);
      for (const batch of remove === undefined ? [create] : [remove, create]) {
        const outcome = commit(socket, batch);
        if (outcome.kind === "refused") throw refusal(batch, outcome);
      }
      return { changed: true };
    },

    /** What differs from this capture, one sentence each; empty when it stands. */
    drift(netnsFd: number, capture: SidecarCapture): readonly string[] {
      using socket = deps.openNetlink(NETLINK_PROTOCOL.netfilter, netnsFd);
      return describeDrift(read(socket), sidecarRules(capture));
    },

    /** True for the node's own namespace, or the agent's. */
    isForbidden(netnsFd: number): boolean {
      const { dev, ino } = deps.netnsId(netnsFd);
      return options.forbidden.some((other) => other.dev === dev && other.ino === ino);
    },
  };

  /** Address, policy rules and routes; what is there already is left as it is. */
  function addPodNetwork(netnsFd: number, capture: SidecarCapture): void {
    const requests = encodeAddPodNetwork(sidecarNetwork(capture));
    if (requests === undefined) return;
    using socket = deps.openNetlink(NETLINK_PROTOCOL.route, netnsFd);
    const outcome = parseNetworkOutcome(exchange(socket, requests));
    const [first] = outcome.kind === "refused" ? outcome.refusals : [];
    if (first !== undefined) throw new KernelRefusalError("add the routing the capture needs", first);
  }
}

function read(socket: NetlinkSocket): HeldRuleset[] {
  return ([4, 6] as const).map((family) => {
    const messages = encodeNftDumpRequests(family).flatMap((request) => dump(socket, "read the rules", request));
    return decodeIptablesNft(messages, family);
  });
}

function commit(socket: NetlinkSocket, batch: Uint8Array): BatchOutcome {
  const outcome = parseBatchOutcome(exchange(socket, batch));
  if (outcome === undefined) throw new Error("Cannot program the pod: the kernel did not answer the batch");
  return outcome;
}

function refusal(batch: Uint8Array, outcome: Extract<BatchOutcome, { kind: "refused" }>): Error {
  const [first] = outcome.refusals;
  if (first === undefined) return new Error("Cannot program the pod: the kernel refused the batch without a reason");
  return new KernelRefusalError(`program the ${describeRefused(batch, first)}`, first);
}
