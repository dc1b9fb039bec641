// One rule in native nftables, in both directions: what `nft` 1.0.6 writes for the rules of contract 5.5. A list of ports
// is an anonymous set of its own; the rule refers to it by an id within the batch, and by name when it is read back.

import { FAMILIES } from "../address.ts";
import type { Match, Rule } from "../rules/model.ts";
import { CONNTRACK_STATES } from "../rules/model.ts";
import { orderMatches } from "../rules/planned-rule.ts";
import { readNumber, viewOf } from "./message.ts";
import { decodeNativeVerdict, encodeNativeVerdict } from "./native-nft-verdict.ts";
import { NFPROTO } from "./nfnetlink.ts";
import type { Expression } from "./nft-expression.ts";
import { CT, META, PAYLOAD_BASE } from "./nft-expression.ts";
import {
  bitwise,
  compare,
  compareMasked,
  decodePlainMatch,
  encodePlainMatch,
  loadAddress,
  loadPort,
  u32,
} from "./nft-match.ts";
import { nameBytes } from "./writer.ts";

/** What a rule consists of: its expressions, and the sets they look up by index (`setId` counts from `firstSetId`). */
export type NativeRule = { readonly expressions: readonly Expression[]; readonly sets: readonly (readonly number[])[] };

/** The ports of an anonymous set, undefined when it is not known or holds something else. */
export type FindSet = (name: string) => readonly number[] | undefined;

/** State bits of `ct state` (uapi/linux/netfilter/nf_conntrack_common.h, NF_CT_STATE_BIT). */
const STATE_BIT = { INVALID: 1, ESTABLISHED: 2, RELATED: 4, NEW: 8, UNTRACKED: 64 } as const;
/** Names are compared in the whole width of an interface name (IFNAMSIZ). */
const IFNAMSIZ = 16;
/** The kernel replaces %d by the next free number. */
const ANONYMOUS_SET = "__set%d";
/** What such names look like then. */
const ANONYMOUS_NAME = /^__(?:set|map)\d+$/;

/** Throws TypeError for a rule that cannot be written: opaque, or with a masked mark copy. */
export function encodeNativeRule(rule: Rule, firstSetId: number): NativeRule {
  const sets: (readonly number[])[] = [];
  const expressions: Expression[] = [];
  let family: 4 | 6 | undefined;
  for (const match of rule.matches) {
    const named = familyOf(match);
    if (named !== undefined && named !== family) {
      family = named;
      expressions.push(...loadFamily(family, false));
    }
    if (match.kind === "sports" || match.kind === "dports") {
      const setId = firstSetId + sets.length;
      sets.push(match.ports);
      const load = loadPort(match.kind === "sports" ? "sport" : "dport");
      expressions.push(load, { kind: "lookup", set: ANONYMOUS_SET, setId, inverted: match.negated });
    } else expressions.push(...encodeMatch(match));
  }
  return { expressions: [...expressions, ...encodeNativeVerdict(rule.verdict, family)], sets };
}

/** The rule that expressions stand for; what is not understood becomes one opaque match or verdict. */
export function decodeNativeRule(expressions: readonly Expression[], findSet: FindSet): Rule {
  const matches: Match[] = [];
  let family: 4 | 6 | undefined;
  const steps = expressions.filter(({ kind }) => kind !== "counter");
  let index = 0;
  while (index < steps.length) {
    const dependency = decodeFamily(steps[index], steps[index + 1]);
    if (dependency !== undefined) {
      if (family !== undefined && family !== dependency) break;
      family = dependency;
      index += 2;
      continue;
    }
    const step = decodeMatch(steps.slice(index, index + 3), family, findSet);
    if (step === undefined) break;
    matches.push(...step.matches);
    index += step.length;
  }
  // A family that no address needs is a condition of its own.
  const isNamed = family === undefined || matches.some((match) => familyOf(match) === family);
  if (family !== undefined && !isNamed) matches.push({ kind: "nfproto", family, negated: false });
  const verdict = decodeNativeVerdict(steps.slice(index), family);
  if (verdict === undefined) {
    const opaque = { kind: "opaque", summary: steps[index]?.kind ?? "no verdict" } as const;
    return { intent: "", matches: [...matches, opaque], verdict: opaque };
  }
  // nft writes a protocol where its text needs it, not where the rule names it.
  return orderMatches({ intent: "", matches, verdict });
}

/** The family that has to be known before a match can be asked. */
function familyOf(match: Match): 4 | 6 | undefined {
  if (match.kind === "source" || match.kind === "destination") return match.cidr.family;
  if (match.kind === "nfproto") return match.negated ? undefined : match.family;
  return match.kind === "set" ? match.family : undefined;
}

function loadFamily(family: 4 | 6, negated: boolean): Expression[] {
  return [{ kind: "meta", key: META.nfproto }, compare(negated, Uint8Array.of(NFPROTO[family]))];
}

function encodeMatch(match: Match): Expression[] {
  switch (match.kind) {
    case "nfproto":
      return match.negated ? loadFamily(match.family, true) : []; // stands already, as what the rule begins with
    case "set":
      return [
        loadAddress(match.side, match.family),
        { kind: "lookup", set: match.name, setId: 0, inverted: match.negated },
      ];
    case "socket-exists":
    case "any-port":
      throw new TypeError(`Cannot encode match ${match.kind}: native nftables has no such match`);
    case "iifname":
    case "oifname": {
      const name = new Uint8Array(IFNAMSIZ);
      name.set(nameBytes(match.name).subarray(0, IFNAMSIZ - 1));
      return [{ kind: "meta", key: META[match.kind] }, compare(match.negated, name)];
    }
    case "uid-owner":
    case "gid-owner":
      return [{ kind: "meta", key: ownerKey(match.kind) }, compare(match.negated, u32(match.id))];
    case "connmark":
      return [{ kind: "ct", key: CT.mark }, ...compareMasked(match.value, match.mask, match.negated)];
    case "ctstate": {
      const bits = match.states.reduce((sum, state) => sum | STATE_BIT[state], 0);
      return [{ kind: "ct", key: CT.state }, bitwise(u32(bits), u32(0)), compare(!match.negated, u32(0))];
    }
    case "opaque":
      throw new TypeError(`Cannot encode a rule that was not understood when it was read: ${match.summary}`);
    default:
      return encodePlainMatch(match) ?? [];
  }
}

type Step = { readonly length: number; readonly matches: readonly Match[] };

function decodeMatch(
  [load, second, third]: readonly Expression[],
  family: 4 | 6 | undefined,
  findSet: FindSet,
): Step | undefined {
  if (load?.kind !== "meta" && load?.kind !== "payload" && load?.kind !== "ct") return undefined;
  if (load.kind === "payload" && second?.kind === "lookup") {
    const side = (["sport", "dport"] as const).find((name) => isSameLoad(loadPort(name), load));
    if (side === undefined) return decodeNamedSet(load, second, family);
    const ports = findSet(second.set);
    if (ports === undefined) return undefined;
    return { length: 2, matches: [{ kind: `${side}s`, ports, negated: second.inverted }] };
  }
  const mask = second?.kind === "bitwise" && second.xor.every((byte) => byte === 0) ? second.mask : undefined;
  const compared = mask === undefined ? second : third;
  if (compared?.kind !== "cmp") return undefined;
  const negated = compared.operator === "neq";
  const matches = decodeCompared(load, mask, compared.value, negated, family);
  return matches === undefined ? undefined : { length: mask === undefined ? 2 : 3, matches };
}

/** An address looked up in a set that has a name; one without is somebody else's list of addresses. */
function decodeNamedSet(
  load: Extract<Expression, { kind: "payload" }>,
  { set, inverted }: Extract<Expression, { kind: "lookup" }>,
  family: 4 | 6 | undefined,
): Step | undefined {
  if (family === undefined || ANONYMOUS_NAME.test(set)) return undefined;
  const side = (["source", "destination"] as const).find((name) => isSameLoad(loadAddress(name, family), load));
  if (side === undefined) return undefined;
  return { length: 2, matches: [{ kind: "set", name: set, side, family, negated: inverted }] };
}

function decodeCompared(
  load: Extract<Expression, { kind: "meta" | "payload" | "ct" }>,
  mask: Uint8Array | undefined,
  value: Uint8Array,
  negated: boolean,
  family: 4 | 6 | undefined,
): readonly Match[] | undefined {
  if (load.kind === "ct") return decodeConntrack(load.key, mask, value, negated);
  if (load.kind === "meta" && (load.key === META.skuid || load.key === META.skgid)) {
    if (mask !== undefined || value.length !== 4) return undefined;
    const kind = load.key === META.skuid ? "uid-owner" : "gid-owner";
    return [{ kind, id: readNumber(value), negated }];
  }
  if (load.kind === "meta" && load.key === META.nfproto) {
    const other = FAMILIES.find((candidate) => NFPROTO[candidate] === value[0]);
    const isPlain = mask === undefined && value.length === 1 && negated && other !== undefined;
    return isPlain ? [{ kind: "nfproto", family: other, negated }] : undefined;
  }
  // Without a family before it, what stands in the network header is not known.
  if (load.kind === "payload" && family === undefined && load.base === PAYLOAD_BASE.network) return undefined;
  return decodePlainMatch(load, mask, value, negated, family ?? 6);
}

function decodeConntrack(
  key: number,
  mask: Uint8Array | undefined,
  value: Uint8Array,
  negated: boolean,
): readonly Match[] | undefined {
  if (value.length !== 4 || (mask !== undefined && mask.length !== 4)) return undefined;
  const [number, bits] = [readNumber(value), mask === undefined ? 0xffffffff : viewOf(mask).getUint32(0, true)];
  if (key === CT.mark) return [{ kind: "connmark", value: number, mask: bits, negated }];
  if (key !== CT.state || number !== 0) return undefined;
  const states = CONNTRACK_STATES.filter((state) => (bits & STATE_BIT[state]) !== 0);
  const known = states.reduce((sum, state) => sum | STATE_BIT[state], 0);
  return known === bits ? [{ kind: "ctstate", states, negated: !negated }] : undefined;
}

/** `meta nfproto ipv4` says of which family the address is that follows. */
function decodeFamily(load: Expression | undefined, compared: Expression | undefined): 4 | 6 | undefined {
  if (load?.kind !== "meta" || load.key !== META.nfproto) return undefined;
  if (compared?.kind !== "cmp" || compared.operator !== "eq" || compared.value.length !== 1) return undefined;
  return FAMILIES.find((family) => NFPROTO[family] === compared.value[0]);
}

function isSameLoad(left: Expression, right: Extract<Expression, { kind: "payload" }>): boolean {
  if (left.kind !== "payload") return false;
  return left.base === right.base && left.offset === right.offset && left.length === right.length;
}

function ownerKey(kind: "uid-owner" | "gid-owner"): number {
  return kind === "uid-owner" ? META.skuid : META.skgid;
}
