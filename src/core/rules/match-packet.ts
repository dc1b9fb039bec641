// Whether a condition of a rule holds for a packet on its walk (tracer.ts).

import type { IpAddress } from "../address.ts";
import { cidrContains, isSameIp } from "../address.ts";
import type { ConntrackState, Hook, Match, Protocol, Ruleset } from "./model.ts";

/** The first packet of a connection, unless `ctstate` says otherwise. */
export type Packet = {
  readonly protocol: Protocol;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly sport: number;
  readonly dport: number;
  /** The interface it comes in by or goes out by. Outbound by `lo` means to the pod itself: it comes in again there. */
  readonly interface: string;
  /** Who sends it; undefined: no socket of this netns. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  readonly mark?: number;
  readonly connmark?: number;
  readonly ctstate?: ConntrackState;
};

/** A packet as it is at one point of its walk. */
export type PacketHere = {
  readonly packet: Packet;
  /** Who is in the named sets. */
  readonly sets: ReadonlyMap<string, readonly IpAddress[]>;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly dport: number;
  readonly hook: Hook;
  readonly interface: string;
  readonly mark: number;
  readonly connmark: number;
};

/** Why nobody can say whether the match holds; undefined: `matchHolds` can. */
export function whyUnmatchable(match: Match, here: PacketHere): string | undefined {
  if (match.kind === "opaque") return `${match.summary} is not understood`;
  if (match.kind !== "set" || match.family !== here.source.family || here.sets.has(match.name)) return undefined;
  return `what is in set ${match.name} was not told`;
}

/** Whether the match holds, turned round where it is negated. `family`: of the table, which decides what owners mean. */
export function matchHolds(
  match: Exclude<Match, { kind: "opaque" }>,
  here: PacketHere,
  family: Ruleset["family"],
): boolean {
  return holds(match, here, family) !== match.negated;
}

/** At these hooks a packet is known by the interface it came in by, and by no socket. */
function isInbound(hook: Hook): boolean {
  return hook === "prerouting" || hook === "input";
}

/** The bits that both have, as a mark is. */
export function and(value: number, mask: number): number {
  return (value & mask) >>> 0;
}

/** Whether the match holds before "!" is applied. */
function holds(match: Exclude<Match, { kind: "opaque" }>, here: PacketHere, family: Ruleset["family"]): boolean {
  const { packet, hook } = here;
  // Who sends is known on the way out only.
  const owner = isInbound(hook) ? undefined : packet.owner;
  switch (match.kind) {
    case "nfproto":
      return packet.source.family === match.family;
    case "iifname":
      return isInbound(hook) && here.interface === match.name;
    case "oifname":
      return !isInbound(hook) && here.interface === match.name;
    case "protocol":
    case "any-port":
      return packet.protocol === match.protocol;
    case "source":
      return addressHolds(match, here.source);
    case "destination":
      return addressHolds(match, here.destination);
    case "sport":
      return packet.sport === match.port;
    case "dport":
      return here.dport === match.port;
    case "sports":
      return match.ports.includes(packet.sport);
    case "dports":
      return match.ports.includes(here.dport);
    case "uid-owner":
    case "gid-owner": {
      // xt_owner turns "no socket" round too; `meta skuid` of native nftables matches nothing then.
      if (owner === undefined) return family === "inet" && match.negated;
      return match.id === (match.kind === "uid-owner" ? owner.uid : owner.gid);
    }
    case "socket-exists":
      return owner !== undefined;
    case "set":
      return setHolds(match, here);
    case "mark":
      return and(here.mark, match.mask) === match.value;
    case "connmark":
      return and(here.connmark, match.mask) === match.value;
    case "ctstate":
      return match.states.includes(packet.ctstate ?? "NEW");
  }
}

/** In an inet table a prefix of the other family never matches, turned round or not. */
function addressHolds(match: Extract<Match, { kind: "source" | "destination" }>, address: IpAddress): boolean {
  return match.cidr.family === address.family ? cidrContains(match.cidr, address) : match.negated;
}

/** A set is of one family: an address of the other is not in it, and in an inet table the rule is not asked. */
function setHolds(match: Extract<Match, { kind: "set" }>, { sets, source, destination }: PacketHere): boolean {
  const address = match.side === "source" ? source : destination;
  if (address.family !== match.family) return match.negated;
  return (sets.get(match.name) ?? []).some((element) => isSameIp(element, address));
}
