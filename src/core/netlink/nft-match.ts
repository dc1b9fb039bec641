// Matches that both dialects write with the same native expressions (interface, protocol, address, port, packet mark),
// in both directions. Not here: what iptables leaves to xtables, and what only native nftables has.

import { ADDRESS_BYTES, type Cidr, prefixMask } from "../address.ts";
import type { Match, Protocol } from "../rules/model.ts";
import { readString, viewOf } from "./message.ts";
import type { Expression } from "./nft-expression.ts";
import { META, PAYLOAD_BASE } from "./nft-expression.ts";
import { nameBytes } from "./writer.ts";

/** IPPROTO_* of the protocols rules name. */
export const PROTOCOL_NUMBER: Record<Protocol, number> = { tcp: 6, udp: 17 };

/** Where the addresses stand in the network header. */
const ADDRESS_OFFSET = { 4: { source: 12, destination: 16 }, 6: { source: 8, destination: 24 } } as const;
const PROTOCOL_OFFSET_V4 = 9;
const PORT_OFFSET = { sport: 0, dport: 2 } as const;

/** The expressions of a match that is written natively, undefined for any other. An inet address needs its family first. */
export function encodePlainMatch(match: Match): Expression[] | undefined {
  switch (match.kind) {
    case "iifname":
    case "oifname":
      return [
        { kind: "meta", key: META[match.kind] },
        compare(match.negated, Uint8Array.of(...nameBytes(match.name), 0)),
      ];
    case "protocol":
      return [
        { kind: "meta", key: META.l4proto },
        compare(match.negated, Uint8Array.of(PROTOCOL_NUMBER[match.protocol])),
      ];
    case "source":
    case "destination":
      return encodeAddress(match.cidr, ADDRESS_OFFSET[match.cidr.family][match.kind], match.negated);
    case "sport":
    case "dport":
      return [loadPort(match.kind), compare(match.negated, Uint8Array.of(match.port >> 8, match.port & 0xff))];
    case "mark":
      return [{ kind: "meta", key: META.mark }, ...compareMasked(match.value, match.mask, match.negated)];
    default:
      return undefined;
  }
}

/** Loads a port of the transport header. */
export function loadPort(side: "sport" | "dport"): Expression {
  return { kind: "payload", base: PAYLOAD_BASE.transport, offset: PORT_OFFSET[side], length: 2 };
}

/** Loads a whole address of the network header. */
export function loadAddress(side: "source" | "destination", family: 4 | 6): Expression {
  const [offset, length] = [ADDRESS_OFFSET[family][side], ADDRESS_BYTES[family]];
  return { kind: "payload", base: PAYLOAD_BASE.network, offset, length };
}

/** Compares the 32 bits loaded before, as the CPU holds them, with a value under a mask. */
export function compareMasked(value: number, mask: number, negated: boolean): Expression[] {
  return [...(mask === 0xffffffff ? [] : [bitwise(u32(mask), u32(0))]), compare(negated, u32(value))];
}

/** A prefix that ends at a byte is compared by loading fewer bytes, any other by masking; so is 0. */
function encodeAddress(cidr: Cidr, offset: number, negated: boolean): Expression[] {
  const { family, prefixLength } = cidr;
  const payload = (length: number): Expression => ({ kind: "payload", base: PAYLOAD_BASE.network, offset, length });
  const whole = prefixLength >> 3;
  if (prefixLength > 0 && prefixLength % 8 === 0)
    return [payload(whole), compare(negated, cidr.bytes.subarray(0, whole))];
  return [
    payload(cidr.bytes.length),
    bitwise(prefixMask(family, prefixLength), new Uint8Array(cidr.bytes.length)),
    compare(negated, cidr.bytes),
  ];
}

/** The matches that a load and a comparison stand for, undefined when they are none of ours. */
export function decodePlainMatch(
  load: Extract<Expression, { kind: "meta" | "payload" }>,
  mask: Uint8Array | undefined,
  value: Uint8Array,
  negated: boolean,
  family: 4 | 6,
): Match[] | undefined {
  if (load.kind === "meta") return decodeMeta(load.key, mask, value, negated);
  const { base, offset, length } = load;
  if (base === PAYLOAD_BASE.transport)
    return mask === undefined ? decodePorts(offset, length, value, negated) : undefined;
  if (base !== PAYLOAD_BASE.network) return undefined;
  if (family === 4 && offset === PROTOCOL_OFFSET_V4 && length === 1 && mask === undefined) {
    return decodeProtocol(value, negated);
  }
  const kind = (["source", "destination"] as const).find((side) => ADDRESS_OFFSET[family][side] === offset);
  const prefixLength = mask === undefined ? length * 8 : prefixLengthOf(mask);
  const addressBytes = ADDRESS_BYTES[family];
  if (kind === undefined || prefixLength === undefined || value.length !== length || length > addressBytes)
    return undefined;
  // A bit behind the mask is never there: such a comparison holds for nothing, and for everything when it is turned round.
  if (mask !== undefined && (mask.length !== length || value.some((byte, at) => (byte & ~(mask[at] ?? 0)) !== 0)))
    return undefined;
  const bytes = new Uint8Array(addressBytes);
  bytes.set(value);
  return [{ kind, cidr: { family, bytes, prefixLength }, negated }];
}

function decodeMeta(
  key: number,
  mask: Uint8Array | undefined,
  value: Uint8Array,
  negated: boolean,
): Match[] | undefined {
  if (key === META.mark && value.length === 4) {
    const bits = mask === undefined ? 0xffffffff : mask.length === 4 ? viewOf(mask).getUint32(0, true) : undefined;
    if (bits === undefined) return undefined;
    return [{ kind: "mark", value: viewOf(value).getUint32(0, true), mask: bits, negated }];
  }
  if (mask !== undefined) return undefined;
  if (key === META.l4proto) return decodeProtocol(value, negated);
  const kind = (["iifname", "oifname"] as const).find((name) => META[name] === key);
  const end = value.indexOf(0);
  // Without its terminating zero the name is a prefix ("eth+"); with anything else behind it, it is no name.
  if (kind === undefined || end < 1 || value.subarray(end).some((byte) => byte !== 0)) return undefined;
  return [{ kind, name: readString(value), negated }];
}

function decodeProtocol(value: Uint8Array, negated: boolean): Match[] | undefined {
  if (value.length !== 1) return undefined;
  const protocol = (["tcp", "udp"] as const).find((name) => PROTOCOL_NUMBER[name] === value[0]);
  return protocol === undefined ? undefined : [{ kind: "protocol", protocol, negated }];
}

/** One port, or both in one load of four bytes as iptables writes it where both must be equal. */
function decodePorts(offset: number, length: number, value: Uint8Array, negated: boolean): Match[] | undefined {
  if (value.length !== length) return undefined;
  const view = viewOf(value);
  if (length === 4 && offset === 0 && !negated) {
    return [
      { kind: "sport", port: view.getUint16(0), negated },
      { kind: "dport", port: view.getUint16(2), negated },
    ];
  }
  const kind = (["sport", "dport"] as const).find((side) => PORT_OFFSET[side] === offset);
  return kind === undefined || length !== 2 ? undefined : [{ kind, port: view.getUint16(0), negated }];
}

function prefixLengthOf(mask: Uint8Array): number | undefined {
  const bits = [...mask].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return /^1*0*$/.test(bits) ? bits.lastIndexOf("1") + 1 : undefined;
}

/** Compares what was loaded before. */
export function compare(negated: boolean, value: Uint8Array): Expression {
  return { kind: "cmp", operator: negated ? "neq" : "eq", value };
}

/** (value & mask) ^ xor of what was loaded before. */
export function bitwise(mask: Uint8Array, xor: Uint8Array): Expression {
  return { kind: "bitwise", mask, xor };
}

/** Marks are held as the CPU holds them. */
export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, true);
  return bytes;
}
