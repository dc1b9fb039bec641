// Walks one packet through rulesets as the kernel would, and says where it lands: what the rules mean, not what they are.
// For tests and for "explain this pod". It refuses to guess: a rule it does not understand is an error when it is reached.
// Left out: routing. The mark a packet leaves with is reported, and `policyRuleFor` says which route rule it chooses.

import type { IpAddress } from "../address.ts";
import { cidrContains, isSameIp } from "../address.ts";
import type {
  BaseChain,
  Chain,
  ConntrackState,
  Hook,
  Match,
  PodNetwork,
  PolicyRule,
  Protocol,
  Rule,
  Ruleset,
  Verdict,
} from "./model.ts";
import { renderIptablesRule } from "./render-iptables.ts";

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

/** What a walk has to know beside rules: who is in the named sets they look into. */
export type TraceOptions = { readonly sets?: ReadonlyMap<string, readonly IpAddress[]> };

/** Where a packet ends up. */
export type Trace = {
  readonly end:
    | { readonly kind: "untouched" }
    | { readonly kind: "dropped" }
    | { readonly kind: "redirected"; readonly port: number }
    | { readonly kind: "tproxied"; readonly port: number };
  /** The packet's source as it leaves: another one where SNAT gave it one. */
  readonly source: IpAddress;
  readonly mark: number;
  readonly connmark: number;
  readonly zone: number;
  /** The rules that matched, in order: "nat -A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN". */
  readonly path: readonly string[];
};

/** A walk reached something that this tracer cannot judge: an opaque rule, a jump to a chain that is not there, a loop. */
export class TraceError extends Error {
  readonly code = "untraceable";
  constructor(message: string) {
    super(message);
    this.name = "TraceError";
  }
}

type State = {
  readonly packet: Packet;
  readonly sets: NonNullable<TraceOptions["sets"]>;
  source: IpAddress;
  hook: Hook;
  interface: string;
  destination: IpAddress;
  dport: number;
  mark: number;
  connmark: number;
  zone: number | undefined;
  isSourceDecided: boolean;
  landed: { kind: "redirected" | "tproxied"; port: number } | undefined;
  readonly path: string[];
};

type Outcome = "accept" | "drop" | "fall-through";

/** More jumps than a kernel allows (NFT_JUMP_STACK_SIZE is 16). */
const MAX_DEPTH = 16;

/** Traces a packet that comes into the netns, or that a process of the netns sends. Throws TraceError. */
export function trace(
  rulesets: readonly Ruleset[],
  packet: Packet,
  direction: "inbound" | "outbound",
  options: TraceOptions = {},
): Trace {
  const state: State = {
    packet,
    sets: options.sets ?? new Map(),
    source: packet.source,
    hook: "prerouting",
    interface: packet.interface,
    destination: packet.destination,
    dport: packet.dport,
    mark: packet.mark ?? 0,
    connmark: packet.connmark ?? 0,
    zone: undefined,
    isSourceDecided: false,
    landed: undefined,
    path: [],
  };
  const isDropped = direction === "inbound" ? walkInbound(rulesets, state) : walkOutbound(rulesets, state);
  const { source, mark, connmark, zone = 0, path, landed } = state;
  return {
    end: isDropped ? { kind: "dropped" } : (landed ?? { kind: "untouched" }),
    source,
    mark,
    connmark,
    zone,
    path,
  };
}

/**
 * The first answer to a packet whose walk is `asked`: addresses and ports turned round, the connection's mark kept, nat
 * not asked. `direction` is that of the answer; `interface` by which it goes, where that is another one.
 */
export function traceAnswer(
  rulesets: readonly Ruleset[],
  packet: Packet,
  asked: Trace,
  direction: "inbound" | "outbound",
  answer: { readonly interface?: string; readonly owner?: Packet["owner"]; readonly mark?: number } = {},
): Trace {
  const turned: Packet = {
    protocol: packet.protocol,
    source: packet.destination,
    destination: packet.source,
    sport: packet.dport,
    dport: packet.sport,
    interface: answer.interface ?? packet.interface,
    ...(answer.owner === undefined ? {} : { owner: answer.owner }),
    mark: answer.mark ?? 0,
    connmark: asked.connmark,
    ctstate: "ESTABLISHED",
  };
  return trace(rulesets, turned, direction);
}

/** The policy rule that routes a packet of this mark, undefined: none of these, the main table does. */
export function policyRuleFor(network: PodNetwork, family: 4 | 6, mark: number): PolicyRule | undefined {
  return network.policyRules.find((rule) => rule.family === family && and(mark, rule.fwmask) === rule.fwmark);
}

function walkInbound(rulesets: readonly Ruleset[], state: State): boolean {
  return walkHook(rulesets, state, "prerouting") || walkHook(rulesets, state, "input");
}

/** NAT is decided once for a connection: what comes in by `lo` was decided when it went out, so nat is not asked again. */
function walkOutbound(rulesets: readonly Ruleset[], state: State): boolean {
  if (walkHook(rulesets, state, "output")) return true;
  if (state.interface !== "lo") return walkHook(rulesets, state, "postrouting");
  state.zone ??= 0; // tracked already
  const seenAgain = rulesets.map((ruleset) => withoutNat(ruleset));
  return walkHook(seenAgain, state, "prerouting") || walkHook(seenAgain, state, "input");
}

function withoutNat(ruleset: Ruleset): Ruleset {
  const isNat = (chain: Chain): boolean => chain.kind === "base" && chain.type === "nat";
  const tables = ruleset.tables.map(({ name, chains }) => ({ name, chains: chains.filter((chain) => !isNat(chain)) }));
  return { family: ruleset.family, tables };
}

/** Runs the base chains of a hook by priority; true when one drops the packet. */
function walkHook(rulesets: readonly Ruleset[], state: State, hook: Hook): boolean {
  state.hook = hook;
  const entries = rulesets
    .filter(({ family }) => family === "inet" || family === state.packet.source.family)
    .flatMap((ruleset) =>
      ruleset.tables.flatMap((table) =>
        table.chains
          .filter((chain): chain is BaseChain => chain.kind === "base" && chain.hook === hook)
          .map((chain) => ({ ruleset, table: table.name, chains: table.chains, chain })),
      ),
    )
    .toSorted((left, right) => left.chain.priority - right.chain.priority);
  for (const { ruleset, table, chains, chain } of entries) {
    if (chain.type === "nat" && !isFirstOfConnection(state)) continue;
    const walk = { family: ruleset.family, table, chains };
    const outcome = walkChain(walk, chain.rules, chain.name, state, 0);
    if (outcome === "drop" || (outcome === "fall-through" && chain.policy === "drop")) return true;
  }
  return false;
}

type Walk = { readonly family: Ruleset["family"]; readonly table: string; readonly chains: readonly Chain[] };

function walkChain(walk: Walk, rules: readonly Rule[], name: string, state: State, depth: number): Outcome {
  if (depth > MAX_DEPTH) throw new TraceError(`Cannot trace ${walk.table} ${name}: more than ${MAX_DEPTH} jumps`);
  for (const rule of rules) {
    if (!rule.matches.every((match) => matches(match, state, walk, name))) continue;
    state.path.push(`${walk.table} ${renderIptablesRule(name, rule, walk.family)}`);
    const outcome = act(rule.verdict, walk, name, state, depth);
    if (outcome === "return") return "fall-through";
    if (outcome !== "next") return outcome;
  }
  return "fall-through";
}

function act(verdict: Verdict, walk: Walk, name: string, state: State, depth: number): Outcome | "return" | "next" {
  switch (verdict.kind) {
    case "return":
    case "accept":
    case "drop":
      return verdict.kind;
    case "jump": {
      const target = walk.chains.find((chain) => chain.kind === "own" && chain.name === verdict.chain);
      if (target === undefined) throw new TraceError(`Cannot trace ${walk.table} ${name}: no chain ${verdict.chain}`);
      const outcome = walkChain(walk, target.rules, target.name, state, depth + 1);
      return outcome === "fall-through" ? "next" : outcome;
    }
    case "redirect":
      state.landed = { kind: "redirected", port: verdict.port };
      state.dport = verdict.port;
      // REDIRECT on the way out goes to the loopback address; on the way in to that of the interface, which is not needed.
      if (state.hook === "output") {
        state.interface = "lo";
        state.destination = loopbackAddress(state.packet.source.family);
      }
      return "accept";
    case "snat":
      state.source = verdict.address;
      state.isSourceDecided = true;
      return "accept";
    case "tproxy":
      state.landed = { kind: "tproxied", port: verdict.port };
      state.mark = xmark(state.mark, verdict.value, verdict.mask);
      return "accept";
    case "set-xmark":
      state.mark = xmark(state.mark, verdict.value, verdict.mask);
      return "next";
    case "connmark-set-xmark":
      state.connmark = xmark(state.connmark, verdict.value, verdict.mask);
      return "next";
    case "connmark-save":
      state.connmark = xmark(state.connmark, and(state.mark, verdict.nfmask), verdict.ctmask);
      return "next";
    case "connmark-restore":
      state.mark = xmark(state.mark, and(state.connmark, verdict.ctmask), verdict.nfmask);
      return "next";
    case "ct-zone":
      state.zone ??= verdict.zone; // the first one counts (xt_ct_target, nft_ct_set_zone_eval)
      return "next";
    case "opaque":
      throw new TraceError(`Cannot trace ${walk.table} ${name}: ${verdict.summary} is not understood`);
  }
}

function matches(match: Match, state: State, walk: Walk, name: string): boolean {
  if (match.kind === "opaque") {
    throw new TraceError(`Cannot trace ${walk.table} ${name}: ${match.summary} is not understood`);
  }
  if (match.kind === "set" && match.family === state.source.family && !state.sets.has(match.name)) {
    throw new TraceError(`Cannot trace ${walk.table} ${name}: what is in set ${match.name} was not told`);
  }
  return holds(match, state, walk.family) !== match.negated;
}

/** Whether the match holds before "!" is applied. */
function holds(match: Exclude<Match, { kind: "opaque" }>, state: State, family: Ruleset["family"]): boolean {
  const { packet } = state;
  switch (match.kind) {
    case "nfproto":
      return packet.source.family === match.family;
    case "iifname":
      return isInbound(state.hook) && state.interface === match.name;
    case "oifname":
      return !isInbound(state.hook) && state.interface === match.name;
    case "protocol":
      return packet.protocol === match.protocol;
    case "any-port":
      return packet.protocol === match.protocol;
    case "source":
      return addressHolds(match, state.source);
    case "destination":
      return addressHolds(match, state.destination);
    case "sport":
      return packet.sport === match.port;
    case "dport":
      return state.dport === match.port;
    case "sports":
      return match.ports.includes(packet.sport);
    case "dports":
      return match.ports.includes(state.dport);
    case "uid-owner":
    case "gid-owner": {
      // xt_owner turns "no socket" round too; `meta skuid` of native nftables matches nothing then.
      if (packet.owner === undefined) return family === "inet" && match.negated;
      return match.id === (match.kind === "uid-owner" ? packet.owner.uid : packet.owner.gid);
    }
    case "socket-exists":
      return packet.owner !== undefined;
    case "set":
      return setHolds(match, state);
    case "mark":
      return and(state.mark, match.mask) === match.value;
    case "connmark":
      return and(state.connmark, match.mask) === match.value;
    case "ctstate":
      return match.states.includes(packet.ctstate ?? "NEW");
  }
}

/** In an inet table a prefix of the other family never matches, turned round or not. */
function addressHolds(match: Extract<Match, { kind: "source" | "destination" }>, address: IpAddress): boolean {
  return match.cidr.family === address.family ? cidrContains(match.cidr, address) : match.negated;
}

/** A set is of one family: an address of the other is not in it, and in an inet table the rule is not asked. */
function setHolds(match: Extract<Match, { kind: "set" }>, { sets, source, destination }: State): boolean {
  const address = match.side === "source" ? source : destination;
  if (address.family !== match.family) return match.negated;
  return (sets.get(match.name) ?? []).some((element) => isSameIp(element, address));
}

function isInbound(hook: Hook): boolean {
  return hook === "prerouting" || hook === "input";
}

function isFirstOfConnection(state: State): boolean {
  return (state.packet.ctstate ?? "NEW") === "NEW" && state.landed === undefined && !state.isSourceDecided;
}

function loopbackAddress(family: 4 | 6): IpAddress {
  const bytes = new Uint8Array(family === 4 ? 4 : 16);
  bytes[bytes.length - 1] = 1;
  if (family === 4) bytes[0] = 127;
  return { family, bytes };
}

function xmark(mark: number, value: number, mask: number): number {
  return ((mark & ~mask) ^ value) >>> 0;
}

function and(value: number, mask: number): number {
  return (value & mask) >>> 0;
}
