// The kernel structs of the xtables matches we write and read (uapi/linux/netfilter/xt_*.h). Sizes are those the kernel
// checks: XT_ALIGN rounds up to 8. Fields without a value here are zero. Unknown contents are undefined: then the rule
// is not one of ours.

import type { ConntrackState, Match, Protocol } from "../rules/model.ts";
import { CONNTRACK_STATES } from "../rules/model.ts";
import { viewOf } from "./message.ts";
import type { Expression } from "./nft-expression.ts";

type XtMatch = Extract<Expression, { kind: "match" | "target" }>;

const XT_OWNER_UID = 1;
const XT_OWNER_GID = 2;
const XT_OWNER_SOCKET = 4;
const XT_OWNER_BYTES = 24;
const XT_MULTIPORT_SOURCE = 0;
const XT_MULTIPORT_DESTINATION = 1;
const XT_MULTIPORT_BYTES = 48;
/** XT_MULTI_PORTS: the struct has room for so many. */
export const MULTIPORT_MAX = 15;
const XT_CONNMARK_BYTES = 16;
const XT_CONNTRACK_STATE = 1;
const XT_CONNTRACK_BYTES = 168;
/** Where match_flags stands in struct xt_conntrack_mtinfo3: behind 8 addresses, 2 times, l4proto and 4 ports. */
const XT_CONNTRACK_FLAGS_OFFSET = 8 * 16 + 2 * 4 + 2 + 4 * 2;

const XT_PORTS_BYTES = 16;
const XT_SET_BYTES = 48;
const XT_SET_INV_MATCH = 1;
/** IPSET_DIM_ONE_SRC: the bit of the first dimension; without it the destination is looked up. */
const XT_SET_SOURCE = 2;

/**
 * ipsets by the numbers the kernel gives them: what the match of iptables holds is a number, and a set of the same name
 * made anew has another one. The numbers are of one network namespace and stay for as long as a rule names the set; iptables
 * asks for them by getsockopt(SO_IP_SET), nfnetlink answers IPSET_CMD_GET_BYNAME and GET_BYINDEX (ipset protocol 7).
 */
export type SetNumbers = {
  numberOf(name: string): number | undefined;
  nameOf(number: number): string | undefined;
};

/** Nothing is known of sets: what looks into one can not be written, and is opaque when it is read. */
export const NO_SETS: SetNumbers = { numberOf: () => undefined, nameOf: () => undefined };

/** XT_CONNTRACK_STATE_*: 1 << (ctinfo % IP_CT_IS_REPLY + 1), and the two that are no ctinfo (xt_conntrack.h). */
const STATE_BIT: Record<ConntrackState, number> = { INVALID: 1, ESTABLISHED: 2, RELATED: 4, NEW: 8, UNTRACKED: 0x100 };

/**
 * The match expression of an xtables match. Throws RangeError when the struct cannot hold the value, TypeError for what is
 * no xtables match and for a set without a number.
 */
export function encodeXtMatch(match: Match, sets: SetNumbers = NO_SETS): XtMatch {
  switch (match.kind) {
    case "uid-owner":
    case "gid-owner":
    case "socket-exists":
      return { kind: "match", name: "owner", revision: 1, info: encodeOwner(match) };
    case "sports":
    case "dports":
      return { kind: "match", name: "multiport", revision: 1, info: encodeMultiport(match) };
    case "connmark": {
      // struct xt_connmark_mtinfo1 { __u32 mark, mask; __u8 invert; }
      const info = new Uint8Array(XT_CONNMARK_BYTES);
      viewOf(info).setUint32(0, match.value, true);
      viewOf(info).setUint32(4, match.mask, true);
      info[8] = Number(match.negated);
      return { kind: "match", name: "connmark", revision: 1, info };
    }
    case "ctstate": {
      const info = new Uint8Array(XT_CONNTRACK_BYTES);
      const states = match.states.reduce((bits, state) => bits | STATE_BIT[state], 0);
      // __u16 match_flags, invert_flags, state_mask, status_mask;
      viewOf(info).setUint16(XT_CONNTRACK_FLAGS_OFFSET, XT_CONNTRACK_STATE, true);
      viewOf(info).setUint16(XT_CONNTRACK_FLAGS_OFFSET + 2, match.negated ? XT_CONNTRACK_STATE : 0, true);
      viewOf(info).setUint16(XT_CONNTRACK_FLAGS_OFFSET + 4, states, true);
      return { kind: "match", name: "conntrack", revision: 3, info };
    }
    case "any-port": {
      if (match.negated) throw new RangeError("Cannot encode a match of no port: the kernel's struct cannot say it");
      const info = new Uint8Array(XT_PORTS_BYTES);
      viewOf(info).setUint16(2, 0xffff, true);
      viewOf(info).setUint16(6, 0xffff, true);
      return { kind: "match", name: match.protocol, revision: 0, info };
    }
    case "set":
      return { kind: "match", name: "set", revision: 4, info: encodeSet(match, sets) };
    default:
      throw new TypeError(`Cannot encode match ${match.kind}: it is no xtables match`);
  }
}

/**
 * The matches an xtables match stands for (one struct may hold several); undefined when it says more than we know. `family`
 * is the rule's.
 */
export function decodeXtMatch(
  { name, revision, info }: XtMatch,
  family: 4 | 6,
  sets: SetNumbers = NO_SETS,
): Match[] | undefined {
  if (name === "set" && revision === 4) return decodeSet(info, family, sets);
  const decode = DECODERS.get(`${name} ${revision}`);
  return decode === undefined || info.length < decode.bytes ? undefined : decode.read(info, viewOf(info));
}

type Decoder = { readonly bytes: number; readonly read: (info: Uint8Array, view: DataView) => Match[] | undefined };

const DECODERS: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  ["owner 1", { bytes: 18, read: decodeOwner }],
  ["multiport 1", { bytes: 48, read: decodeMultiport }],
  ["connmark 1", { bytes: 9, read: (info, view) => decodeMark("connmark", info, view) }],
  ["mark 1", { bytes: 9, read: (info, view) => decodeMark("mark", info, view) }],
  ["conntrack 3", { bytes: XT_CONNTRACK_FLAGS_OFFSET + 6, read: decodeConntrack }],
  [
    "tcp 0",
    {
      bytes: 12,
      read: (info, view) =>
        info[8] === 0 && info[9] === 0 && info[10] === 0 ? decodePorts("tcp", view, info[11] ?? 0) : undefined,
    },
  ],
  ["udp 0", { bytes: 9, read: (info, view) => decodePorts("udp", view, info[8] ?? 0) }],
]);

/** struct xt_owner_match_info { __u32 uid_min, uid_max, gid_min, gid_max; __u8 match, invert; } */
function encodeOwner(match: Extract<Match, { kind: "uid-owner" | "gid-owner" | "socket-exists" }>): Uint8Array {
  const info = new Uint8Array(XT_OWNER_BYTES);
  const view = viewOf(info);
  if (match.kind === "socket-exists") {
    info[16] = XT_OWNER_SOCKET;
    info[17] = match.negated ? XT_OWNER_SOCKET : 0;
    return info;
  }
  const isUid = match.kind === "uid-owner";
  view.setUint32(isUid ? 0 : 8, match.id, true);
  view.setUint32(isUid ? 4 : 12, match.id, true);
  info[16] = isUid ? XT_OWNER_UID : XT_OWNER_GID;
  info[17] = match.negated ? info[16] : 0;
  return info;
}

function decodeOwner(info: Uint8Array, view: DataView): Match[] | undefined {
  const [flags, inverted] = [info[16] ?? 0, info[17] ?? 0];
  if (flags === 0 || (flags & ~(XT_OWNER_UID | XT_OWNER_GID | XT_OWNER_SOCKET)) !== 0) return undefined;
  const matches: Match[] = [];
  if ((flags & XT_OWNER_SOCKET) !== 0) {
    matches.push({ kind: "socket-exists", negated: (inverted & XT_OWNER_SOCKET) !== 0 });
  }
  for (const [flag, kind, offset] of [
    [XT_OWNER_UID, "uid-owner", 0],
    [XT_OWNER_GID, "gid-owner", 8],
  ] as const) {
    if ((flags & flag) === 0) continue;
    const id = view.getUint32(offset, true);
    if (view.getUint32(offset + 4, true) !== id) return undefined;
    matches.push({ kind, id, negated: (inverted & flag) !== 0 });
  }
  return matches;
}

/** struct xt_multiport_v1 { __u8 flags, count; __u16 ports[15]; __u8 pflags[15]; __u8 invert; }, ports in host order */
function encodeMultiport(match: Extract<Match, { kind: "sports" | "dports" }>): Uint8Array {
  const { ports } = match;
  if (ports.length === 0 || ports.length > MULTIPORT_MAX) {
    throw new RangeError(`Cannot encode multiport: ${ports.length} ports, 1 to ${MULTIPORT_MAX} fit`);
  }
  const info = new Uint8Array(XT_MULTIPORT_BYTES);
  info[0] = match.kind === "sports" ? XT_MULTIPORT_SOURCE : XT_MULTIPORT_DESTINATION;
  info[1] = ports.length;
  for (const [index, port] of ports.entries()) viewOf(info).setUint16(2 + index * 2, port, true);
  info[47] = Number(match.negated);
  return info;
}

function decodeMultiport(info: Uint8Array, view: DataView): Match[] | undefined {
  const [side, count] = [info[0] ?? 0, info[1] ?? 0];
  const hasRanges = info.subarray(32, 47).some((flag) => flag !== 0);
  if (side > XT_MULTIPORT_DESTINATION || count === 0 || count > MULTIPORT_MAX || hasRanges) return undefined;
  const ports = Array.from({ length: count }, (_, index) => view.getUint16(2 + index * 2, true));
  return [{ kind: side === XT_MULTIPORT_SOURCE ? "sports" : "dports", ports, negated: info[47] !== 0 }];
}

/** struct xt_set_info_match_v4 { struct { __u16 index; __u8 dim, flags; } match_set; two counters of 16 bytes; __u32 flags; } */
function encodeSet(match: Extract<Match, { kind: "set" }>, sets: SetNumbers): Uint8Array {
  const number = sets.numberOf(match.name);
  if (number === undefined) throw new TypeError(`Cannot encode a look into set ${match.name}: its number is not known`);
  const info = new Uint8Array(XT_SET_BYTES);
  viewOf(info).setUint16(0, number, true);
  info[2] = 1;
  info[3] = (match.side === "source" ? XT_SET_SOURCE : 0) | (match.negated ? XT_SET_INV_MATCH : 0);
  return info;
}

function decodeSet(info: Uint8Array, family: 4 | 6, sets: SetNumbers): Match[] | undefined {
  if (info.length < XT_SET_BYTES) return undefined;
  const flags = info[3] ?? 0;
  // Counters and further flags: a look that says more than whether the address is in the set.
  const saysMore = info[2] !== 1 || info.subarray(4, 44).some((byte) => byte !== 0);
  const name = sets.nameOf(viewOf(info).getUint16(0, true));
  if (saysMore || name === undefined || (flags & ~(XT_SET_SOURCE | XT_SET_INV_MATCH)) !== 0) return undefined;
  const side = (flags & XT_SET_SOURCE) === 0 ? "destination" : "source";
  return [{ kind: "set", name, side, family, negated: (flags & XT_SET_INV_MATCH) !== 0 }];
}

/** struct xt_mark_mtinfo1 has the fields of struct xt_connmark_mtinfo1. */
function decodeMark(kind: "mark" | "connmark", info: Uint8Array, view: DataView): Match[] {
  return [{ kind, value: view.getUint32(0, true), mask: view.getUint32(4, true), negated: info[8] !== 0 }];
}

function decodeConntrack(info: Uint8Array, view: DataView): Match[] | undefined {
  const flags = view.getUint16(XT_CONNTRACK_FLAGS_OFFSET, true);
  const inverted = view.getUint16(XT_CONNTRACK_FLAGS_OFFSET + 2, true);
  const bits = view.getUint16(XT_CONNTRACK_FLAGS_OFFSET + 4, true);
  const states = CONNTRACK_STATES.filter((state) => (bits & STATE_BIT[state]) !== 0);
  const known = states.reduce((sum, state) => sum | STATE_BIT[state], 0);
  const saysMore = info.subarray(0, XT_CONNTRACK_FLAGS_OFFSET).some((byte) => byte !== 0);
  const isKnown = flags === XT_CONNTRACK_STATE && (inverted & ~XT_CONNTRACK_STATE) === 0;
  if (!isKnown || known !== bits || saysMore) return undefined;
  return [{ kind: "ctstate", states, negated: inverted === XT_CONNTRACK_STATE }];
}

/**
 * struct xt_tcp { __u16 spts[2], dpts[2]; __u8 option, flg_mask, flg_cmp, invflags; } and
 * struct xt_udp { __u16 spts[2], dpts[2]; __u8 invflags; }: with ports the form that iptables before 1.8.9 writes.
 */
function decodePorts(protocol: Protocol, view: DataView, inverted: number): Match[] | undefined {
  if ((inverted & ~3) !== 0) return undefined;
  const matches: Match[] = [];
  for (const [kind, offset, bit] of [
    ["sport", 0, 1],
    ["dport", 4, 2],
  ] as const) {
    const [low, high] = [view.getUint16(offset, true), view.getUint16(offset + 2, true)];
    const negated = (inverted & bit) !== 0;
    if (low === 0 && high === 0xffff && !negated) continue;
    if (low !== high) return undefined;
    matches.push({ kind, port: low, negated });
  }
  return matches.length > 0 ? matches : [{ kind: "any-port", protocol, negated: false }];
}
