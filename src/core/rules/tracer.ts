// Walks one packet through rulesets as the kernel would, and says where it lands: what the rules mean, not what they are.
// For tests and for `install-cni trace`. It refuses to guess: a rule it does not understand is an error when it is reached.
// Left out: routing. The mark a packet leaves with is reported.

import { type IpAddress, LOOPBACK } from "../address.ts";
import { and, matchHolds, type Packet, type PacketHere, whyUnmatchable } from "./match-packet.ts";
import type { BaseChain, Chain, Hook, Rule, Ruleset, Verdict } from "./model.ts";
import { renderIptablesRule } from "./render-iptables.ts";

/** What a walk has to know beside rules. */
export type TraceOptions = {
  /** Who is in the named sets that rules look into. */
  readonly sets?: ReadonlyMap<string, readonly IpAddress[]>;
  /** By which interface a packet of this mark leaves: the kernel routes it anew when a chain of type route has changed its
   * mark. Undefined: by none. Without this function it stays where it was. */
  readonly reroute?: (mark: number) => string | undefined;
};

/** One thing that happened to the packet: a rule matched, a chain's policy dropped it, or there was no route for its mark. */
export type TraceStep = {
  readonly family: Ruleset["family"];
  readonly table: string;
  readonly chain: string;
  readonly hook: Hook;
  readonly what:
    | { readonly kind: "rule"; readonly rule: Rule }
    | { readonly kind: "policy" }
    | { readonly kind: "no-route" };
};

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
  readonly steps: readonly TraceStep[];
};

/** A walk reached something that this tracer cannot judge: an opaque rule, a jump to a chain that is not there, a loop. */
export class TraceError extends Error {
  readonly code = "untraceable";
  /** What is in the way, as a clause: "match set revision 4 is not understood". */
  readonly detail: string;
  readonly place: Omit<TraceStep, "what">;
  /** What happened to the packet before. */
  readonly steps: readonly TraceStep[];
  constructor(place: Omit<TraceStep, "what">, detail: string, steps: readonly TraceStep[]) {
    super(`Cannot trace ${place.table} ${place.chain}: ${detail}`);
    this.name = "TraceError";
    this.detail = detail;
    this.place = place;
    this.steps = steps;
  }
}

type State = { -readonly [K in keyof PacketHere]: PacketHere[K] } & {
  zone: number | undefined;
  isSourceDecided: boolean;
  landed: { kind: "redirected" | "tproxied"; port: number } | undefined;
  readonly steps: TraceStep[];
  asked: number;
  readonly reroute: TraceOptions["reroute"];
};

type Outcome = "accept" | "drop" | "fall-through";

/** More jumps than a kernel allows (NFT_JUMP_STACK_SIZE is 16). */
const MAX_DEPTH = 16;
/** Rules asked in one walk. Chains that jump to chains multiply, and whoever may write rules could write such. */
const MAX_ASKED = 50_000;

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
    steps: [],
    asked: 0,
    reroute: options.reroute,
  };
  const isDropped = direction === "inbound" ? walkInbound(rulesets, state) : walkOutbound(rulesets, state);
  const { source, mark, connmark, zone = 0, steps, landed } = state;
  return {
    end: isDropped ? { kind: "dropped" } : (landed ?? { kind: "untouched" }),
    source,
    mark,
    connmark,
    zone,
    path: steps.flatMap(({ family, table, chain, what }) =>
      what.kind === "rule" ? [`${table} ${renderIptablesRule(chain, what.rule, family)}`] : [],
    ),
    steps,
  };
}

function walkInbound(rulesets: readonly Ruleset[], state: State): boolean {
  return walkHook(rulesets, state, "prerouting") || walkHook(rulesets, state, "input");
}

/** NAT is decided once for a connection: what comes in by `lo` was decided when it went out, so nat is not asked again. */
function walkOutbound(rulesets: readonly Ruleset[], state: State): boolean {
  if (walkHook(rulesets, state, "output") || walkHook(rulesets, state, "postrouting")) return true;
  if (state.interface !== "lo") return false;
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
    if (chain.type === "nat" && !isNatAsked(state)) continue;
    const walk = { family: ruleset.family, table, chains: new Map(chains.map((one) => [one.name, one])) };
    const { mark } = state;
    const outcome = walkChain(walk, chain.rules, chain.name, state, 0);
    if (outcome === "drop") return true;
    if (outcome === "fall-through" && chain.policy === "drop") {
      state.steps.push({ ...placeOf(walk, chain.name, state), what: { kind: "policy" } });
      return true;
    }
    if (chain.type !== "route" || state.mark === mark || state.reroute === undefined) continue;
    const leaves = state.reroute(state.mark);
    if (leaves === undefined) {
      state.steps.push({ ...placeOf(walk, chain.name, state), what: { kind: "no-route" } });
      return true;
    }
    state.interface = leaves;
  }
  return false;
}

function placeOf({ family, table }: Walk, chain: string, { hook }: State): Omit<TraceStep, "what"> {
  return { family, table, chain, hook };
}

type Walk = { readonly family: Ruleset["family"]; readonly table: string; readonly chains: ReadonlyMap<string, Chain> };

function walkChain(walk: Walk, rules: readonly Rule[], name: string, state: State, depth: number): Outcome {
  if (depth > MAX_DEPTH) fail(walk, name, state, `more than ${MAX_DEPTH} jumps`);
  for (const rule of rules) {
    state.asked += 1;
    if (state.asked > MAX_ASKED) fail(walk, name, state, `more than ${MAX_ASKED} rules would have to be asked`);
    if (!allHold(rule, walk, name, state)) continue;
    // What is not understood did not happen.
    if (rule.verdict.kind === "opaque") fail(walk, name, state, `${rule.verdict.summary} is not understood`);
    state.steps.push({ ...placeOf(walk, name, state), what: { kind: "rule", rule } });
    const outcome = act(rule.verdict, walk, name, state, depth);
    if (outcome === "return") return "fall-through";
    if (outcome !== "next") return outcome;
  }
  return "fall-through";
}

function allHold({ matches }: Rule, walk: Walk, name: string, state: State): boolean {
  return matches.every((match) => {
    const why = whyUnmatchable(match, state);
    if (match.kind === "opaque" || why !== undefined) return fail(walk, name, state, why ?? "");
    return matchHolds(match, state, walk.family);
  });
}

function fail(walk: Walk, name: string, state: State, detail: string): never {
  throw new TraceError(placeOf(walk, name, state), detail, state.steps);
}

function act(
  verdict: Exclude<Verdict, { kind: "opaque" }>,
  walk: Walk,
  name: string,
  state: State,
  depth: number,
): Outcome | "return" | "next" {
  switch (verdict.kind) {
    case "return":
    case "accept":
    case "drop":
      return verdict.kind;
    case "jump": {
      const target = walk.chains.get(verdict.chain);
      if (target?.kind !== "own") return fail(walk, name, state, `there is no chain ${verdict.chain}`);
      const outcome = walkChain(walk, target.rules, target.name, state, depth + 1);
      return outcome === "fall-through" ? "next" : outcome;
    }
    case "redirect":
      state.landed = { kind: "redirected", port: verdict.port };
      state.dport = verdict.port;
      // REDIRECT on the way out goes to the loopback address; on the way in to that of the interface, which is not needed.
      if (state.hook === "output") {
        state.interface = "lo";
        state.destination = LOOPBACK[state.packet.source.family];
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
  }
}

/** Where it goes is decided at the first two hooks, from where it comes at the other two; each once. */
function isNatAsked({ packet, hook, landed, isSourceDecided }: State): boolean {
  if ((packet.ctstate ?? "NEW") !== "NEW") return false;
  return hook === "prerouting" || hook === "output" ? landed === undefined : !isSourceDecided;
}

function xmark(mark: number, value: number, mask: number): number {
  return ((mark & ~mask) ^ value) >>> 0;
}
