// Hears of every change of nf_tables in one pod's network namespace, and asks for the generation number, on one socket made
// inside it; on another one of changes to the routing that a capture needs. A socket keeps its namespace alive: whoever
// opens a monitor closes it when the sandbox ends.
import { codeOf } from "../../core/error-message.ts";
import { attributeMap, parseMessages, readString, readU32be } from "../../core/netlink/message.ts";
import { encodeGetGeneration, NFGENMSG_BYTES, NFT_MSG } from "../../core/netlink/nfnetlink.ts";
import { NETLINK_PROTOCOL } from "../../core/netlink/rtnetlink.ts";
import type { PodNetwork } from "../../core/rules/model.ts";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";

/** NFNLGRP_NFTABLES (uapi/linux/netfilter/nfnetlink.h). */
export const NFTABLES_GROUP = 7;

export interface ChangeMonitorDeps {
  openNetlink(protocol: number, netnsFd: number): NetlinkSocket;
  /** Subscribes a netlink socket to a multicast group. */
  joinGroup(fd: number, group: number): void;
  /** Calls whenever `fd` is readable (level-triggered) until disposed of. */
  watchReadable(fd: number, onReadable: () => void): Disposable;
}

/** A commit to nf_tables, as the kernel tells it: which generation it made and who sent it. */
export interface RuleChange {
  readonly generation: number;
  /** `pid` as the node counts; `program` is /proc/PID/comm without anything but plain characters. */
  readonly by: { readonly pid: number; readonly program: string } | undefined;
}

export interface ChangeMonitor extends Disposable {
  /** The generation now. Takes in what was waiting to be heard. @throws {ErrnoError}; Error when the kernel does not answer. */
  generation(): number;
  /** The latest commit heard of; undefined: none since the monitor was opened, or messages were lost. */
  lastChange(): RuleChange | undefined;
}

/** enum rtnetlink_groups (uapi/linux/rtnetlink.h). */
const RTNLGRP = { IPV4_ROUTE: 7, IPV4_RULE: 8, IPV6_IFADDR: 9, IPV6_ROUTE: 11, IPV6_RULE: 19 } as const;
/** enum nft_gen_attributes (uapi/linux/netfilter/nf_tables.h). */
const NFTA_GEN = { ID: 1, PROC_PID: 2, PROC_NAME: 3 } as const;
/** Sequence number that tells our own question from other people's commits; any number that tools do not use. */
const QUESTION = 0x67_65_6e_3f;
/** For one call, so that a namespace in which somebody writes without end does not keep the thread. */
const MAX_DATAGRAMS = 512;

/** `onChange` is called after something was committed by anybody, this process included: compare generations. It may also
 * be called without need. It gets the generations that were heard of since the last call; undefined: messages were lost.
 * @throws {ErrnoError} when the socket cannot be made. */
export function openChangeMonitor(
  deps: ChangeMonitorDeps,
  netnsFd: number,
  onChange: (generations: readonly number[] | undefined) => void,
): ChangeMonitor {
  let last: RuleChange | undefined;
  let heard: number[] | undefined = [];
  const { socket, close } = listen(deps, netnsFd, NETLINK_PROTOCOL.netfilter, [NFTABLES_GROUP], () => {
    hear();
    const generations = heard;
    heard = [];
    onChange(generations);
  });

  /** Reads all that waits; returns the newest generation among it. */
  function hear(): number | undefined {
    let newest: number | undefined;
    for (let count = 0; count < MAX_DATAGRAMS; count++) {
      const datagram = receiveFrom(socket);
      if (datagram === undefined) break;
      if (datagram === "lost") last = heard = undefined;
      for (const { type, sequence, payload } of datagram === "lost" ? [] : parseMessages(datagram)) {
        if (type !== NFT_MSG.NEWGEN) continue;
        const change = parseChange(payload);
        newest = change.generation;
        // The answer to our own question names us, and says nothing of who made that generation.
        if (sequence === QUESTION) continue;
        last = change;
        heard?.push(change.generation);
      }
    }
    return newest;
  }

  return {
    generation() {
      hear();
      socket.send(encodeGetGeneration(QUESTION));
      const generation = hear();
      if (generation === undefined)
        throw new Error("Cannot read the generation of the rules: the kernel did not answer");
      return generation;
    },
    lastChange: () => last,
    [Symbol.dispose]: close,
  };
}

/** Calls `onChange` after any change to what `network` needs beside netfilter; undefined: it needs nothing. Who made the
 * change is not known: our own are heard too. @throws {ErrnoError} */
export function openRouteMonitor(
  deps: ChangeMonitorDeps,
  netnsFd: number,
  network: PodNetwork,
  onChange: () => void,
): Disposable | undefined {
  const groups = [
    ...(network.addresses.length > 0 ? [RTNLGRP.IPV6_IFADDR] : []),
    ...network.policyRules.map(({ family }) => RTNLGRP[family === 4 ? "IPV4_RULE" : "IPV6_RULE"]),
    ...network.routes.map(({ destination }) => RTNLGRP[destination.family === 4 ? "IPV4_ROUTE" : "IPV6_ROUTE"]),
  ];
  if (groups.length === 0) return undefined;
  const { socket, close } = listen(deps, netnsFd, NETLINK_PROTOCOL.route, groups, () => {
    for (let count = 0; count < MAX_DATAGRAMS && receiveFrom(socket) !== undefined; count++);
    onChange();
  });
  return { [Symbol.dispose]: close };
}

/** A subscribed socket; `onReadable` has to read it empty. */
function listen(
  deps: ChangeMonitorDeps,
  netnsFd: number,
  protocol: number,
  groups: readonly number[],
  onReadable: () => void,
): { readonly socket: NetlinkSocket; close(): void } {
  using opening = new DisposableStack();
  const socket = opening.use(deps.openNetlink(protocol, netnsFd));
  for (const group of new Set(groups)) deps.joinGroup(socket.fd, group);
  const watch = opening.use(
    deps.watchReadable(socket.fd, () => {
      try {
        onReadable();
      } catch (error) {
        // A descriptor that fails stays readable for ever.
        watch[Symbol.dispose]();
        throw error;
      }
    }),
  );
  const owned = opening.move();
  return { socket, close: () => owned.dispose() };
}

function receiveFrom(socket: NetlinkSocket): Uint8Array | "lost" | undefined {
  try {
    return socket.receive();
  } catch (error) {
    // It had more to say than the socket could hold: something changed, and we do not know what.
    if (codeOf(error) === "ENOBUFS") return "lost";
    throw error;
  }
}

function parseChange(payload: Uint8Array): RuleChange {
  const attributes = attributeMap(payload.subarray(NFGENMSG_BYTES));
  const number = (type: number): number => readU32be(attributes.get(type) ?? new Uint8Array(4));
  const name = attributes.get(NFTA_GEN.PROC_NAME);
  const program = name === undefined ? "" : readString(name).replace(/[^-\w.:/]/g, "?");
  const pid = number(NFTA_GEN.PROC_PID);
  return { generation: number(NFTA_GEN.ID), by: pid === 0 ? undefined : { pid, program } };
}
