// The expressions a rule consists of in nf_tables, as values and as bytes in both directions
// (uapi/linux/netfilter/nf_tables.h, nf_tables_compat.h). What we do not know comes out as `unknown`.

import type { Attribute } from "./message.ts";
import { attributeMap, parseAttributes, readString, readU32be } from "./message.ts";
import { NFTA_DATA, NFTA_LIST_ELEM } from "./nfnetlink.ts";
import type { NetlinkWriter } from "./writer.ts";

/** Keys of `meta` (enum nft_meta_keys). */
export const META = { mark: 3, iifname: 6, oifname: 7, skuid: 10, skgid: 11, nfproto: 15, l4proto: 16 } as const;
/** Keys of `ct` (enum nft_ct_keys). */
export const CT = { state: 0, mark: 3, zone: 17 } as const;
/** Bases of `payload` (enum nft_payload_bases). */
export const PAYLOAD_BASE = { network: 1, transport: 2 } as const;
/** Codes of an immediate verdict (enum nft_verdicts, uapi/linux/netfilter.h). */
export const VERDICT_CODE = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;

/** Flags of a range to translate to (NF_NAT_RANGE_*, uapi/linux/netfilter/nf_nat.h). */
export const NAT_RANGE = { MAP_IPS: 1, PROTO_SPECIFIED: 2 } as const;

/** One step of a rule. Registers are left out: there is one value in flight at a time, in register 1. */
export type Expression =
  | { readonly kind: "meta"; readonly key: number }
  | { readonly kind: "payload"; readonly base: number; readonly offset: number; readonly length: number }
  | { readonly kind: "bitwise"; readonly mask: Uint8Array; readonly xor: Uint8Array }
  | { readonly kind: "cmp"; readonly operator: "eq" | "neq"; readonly value: Uint8Array }
  | { readonly kind: "counter" }
  | { readonly kind: "verdict"; readonly code: number; readonly chain?: string }
  | { readonly kind: "match" | "target"; readonly name: string; readonly revision: number; readonly info: Uint8Array }
  /** A constant for the statement that follows. */
  | { readonly kind: "value"; readonly value: Uint8Array }
  | { readonly kind: "ct"; readonly key: number }
  | { readonly kind: "meta-set" | "ct-set"; readonly key: number }
  | { readonly kind: "redir" }
  | { readonly kind: "tproxy"; readonly family: number }
  /** Source translation to the address in the register, of this NFPROTO_* family. */
  | { readonly kind: "snat"; readonly family: number }
  /** In the set of this name; `setId` tells an anonymous one that is made in the same batch, 0: a named one. */
  | { readonly kind: "lookup"; readonly set: string; readonly setId: number; readonly inverted: boolean }
  | { readonly kind: "unknown"; readonly name: string };

const NFTA_EXPR = { NAME: 1, DATA: 2 } as const;
const NFTA_META = { DREG: 1, KEY: 2, SREG: 3 } as const;
const NFTA_CT = { DREG: 1, KEY: 2, DIRECTION: 3, SREG: 4 } as const;
const NFTA_REDIR = { REG_PROTO_MIN: 1, REG_PROTO_MAX: 2, FLAGS: 3 } as const;
const NFTA_NAT = { TYPE: 1, FAMILY: 2, ADDR_MIN: 3, ADDR_MAX: 4, PROTO_MIN: 5, PROTO_MAX: 6, FLAGS: 7 } as const;
const NFT_NAT_SNAT = 0;
const NFTA_TPROXY = { FAMILY: 1, REG_ADDR: 2, REG_PORT: 3 } as const;
const NFTA_LOOKUP = { SET: 1, SREG: 2, DREG: 3, SET_ID: 4, FLAGS: 5 } as const;
const NFT_LOOKUP_F_INV = 1;
const NFTA_PAYLOAD = { DREG: 1, BASE: 2, OFFSET: 3, LEN: 4 } as const;
const NFTA_CMP = { SREG: 1, OP: 2, DATA: 3 } as const;
const NFTA_BITWISE = { SREG: 1, DREG: 2, LEN: 3, MASK: 4, XOR: 5, OP: 6 } as const;
const NFTA_COUNTER = { BYTES: 1, PACKETS: 2 } as const;
const NFTA_IMMEDIATE = { DREG: 1, DATA: 2 } as const;
const NFTA_VERDICT = { CODE: 1, CHAIN: 2 } as const;
/** NFTA_MATCH_* and NFTA_TARGET_* have the same numbers. */
const NFTA_XT = { NAME: 1, REV: 2, INFO: 3 } as const;

const REGISTER_VERDICT = 0;
const REGISTER_DATA = 1;
const OPERATORS = ["eq", "neq"] as const;
const EIGHT_ZEROS = new Uint8Array(8);

/** Writes the list of a rule's expressions into the attribute `type`. */
export function writeExpressions(writer: NetlinkWriter, type: number, expressions: readonly Expression[]): void {
  writer.nested(type, () => {
    for (const expression of expressions) {
      writer.nested(NFTA_LIST_ELEM, () => {
        writer.attributeString(NFTA_EXPR.NAME, nameOf(expression));
        writer.nested(NFTA_EXPR.DATA, () => writeExpression(writer, expression));
      });
    }
  });
}

/** Reads the list of a rule's expressions. Throws NetlinkFormatError where an attribute has the wrong width. */
export function parseExpressions(bytes: Uint8Array): Expression[] {
  return parseAttributes(bytes).map(({ payload }) => {
    const attributes = attributeMap(payload);
    const name = readString(attributes.get(NFTA_EXPR.NAME) ?? new Uint8Array());
    const data = parseAttributes(attributes.get(NFTA_EXPR.DATA) ?? new Uint8Array());
    return parseExpression(name, data) ?? { kind: "unknown", name };
  });
}

function nameOf(expression: Expression): string {
  switch (expression.kind) {
    case "verdict":
    case "value":
      return "immediate";
    case "meta-set":
      return "meta";
    case "ct-set":
      return "ct";
    case "snat":
      return "nat";
    case "unknown":
      return expression.name;
    default:
      return expression.kind;
  }
}

function writeExpression(writer: NetlinkWriter, expression: Expression): void {
  switch (expression.kind) {
    case "meta":
    case "ct": {
      const types = expression.kind === "meta" ? NFTA_META : NFTA_CT;
      writer.attributeU32be(types.KEY, expression.key);
      writer.attributeU32be(types.DREG, REGISTER_DATA);
      return;
    }
    case "meta-set":
    case "ct-set": {
      const types = expression.kind === "meta-set" ? NFTA_META : NFTA_CT;
      writer.attributeU32be(types.KEY, expression.key);
      writer.attributeU32be(types.SREG, REGISTER_DATA);
      return;
    }
    case "payload":
      writer.attributeU32be(NFTA_PAYLOAD.DREG, REGISTER_DATA);
      writer.attributeU32be(NFTA_PAYLOAD.BASE, expression.base);
      writer.attributeU32be(NFTA_PAYLOAD.OFFSET, expression.offset);
      writer.attributeU32be(NFTA_PAYLOAD.LEN, expression.length);
      return;
    case "bitwise":
      writer.attributeU32be(NFTA_BITWISE.SREG, REGISTER_DATA);
      writer.attributeU32be(NFTA_BITWISE.DREG, REGISTER_DATA);
      writer.attributeU32be(NFTA_BITWISE.LEN, expression.mask.length);
      writer.nested(NFTA_BITWISE.MASK, () => writer.attributeBytes(NFTA_DATA.VALUE, expression.mask));
      writer.nested(NFTA_BITWISE.XOR, () => writer.attributeBytes(NFTA_DATA.VALUE, expression.xor));
      return;
    case "cmp":
      writer.attributeU32be(NFTA_CMP.SREG, REGISTER_DATA);
      writer.attributeU32be(NFTA_CMP.OP, OPERATORS.indexOf(expression.operator));
      writer.nested(NFTA_CMP.DATA, () => writer.attributeBytes(NFTA_DATA.VALUE, expression.value));
      return;
    case "counter":
      writer.attributeBytes(NFTA_COUNTER.BYTES, EIGHT_ZEROS);
      writer.attributeBytes(NFTA_COUNTER.PACKETS, EIGHT_ZEROS);
      return;
    case "verdict":
      writer.attributeU32be(NFTA_IMMEDIATE.DREG, REGISTER_VERDICT);
      writer.nested(NFTA_IMMEDIATE.DATA, () =>
        writer.nested(NFTA_DATA.VERDICT, () => {
          writer.attributeU32be(NFTA_VERDICT.CODE, expression.code);
          if (expression.chain !== undefined) writer.attributeString(NFTA_VERDICT.CHAIN, expression.chain);
        }),
      );
      return;
    case "match":
    case "target":
      writer.attributeString(NFTA_XT.NAME, expression.name);
      writer.attributeU32be(NFTA_XT.REV, expression.revision);
      writer.attributeBytes(NFTA_XT.INFO, expression.info);
      return;
    case "value":
      writer.attributeU32be(NFTA_IMMEDIATE.DREG, REGISTER_DATA);
      writer.nested(NFTA_IMMEDIATE.DATA, () => writer.attributeBytes(NFTA_DATA.VALUE, expression.value));
      return;
    case "redir":
      writer.attributeU32be(NFTA_REDIR.REG_PROTO_MIN, REGISTER_DATA);
      writer.attributeU32be(NFTA_REDIR.FLAGS, NAT_RANGE.PROTO_SPECIFIED);
      return;
    case "tproxy":
      writer.attributeU32be(NFTA_TPROXY.FAMILY, expression.family);
      writer.attributeU32be(NFTA_TPROXY.REG_PORT, REGISTER_DATA);
      return;
    case "snat":
      writer.attributeU32be(NFTA_NAT.TYPE, NFT_NAT_SNAT);
      writer.attributeU32be(NFTA_NAT.FAMILY, expression.family);
      writer.attributeU32be(NFTA_NAT.ADDR_MIN, REGISTER_DATA);
      return;
    case "lookup":
      writer.attributeU32be(NFTA_LOOKUP.SREG, REGISTER_DATA);
      writer.attributeString(NFTA_LOOKUP.SET, expression.set);
      if (expression.setId !== 0) writer.attributeU32be(NFTA_LOOKUP.SET_ID, expression.setId);
      writer.attributeU32be(NFTA_LOOKUP.FLAGS, expression.inverted ? NFT_LOOKUP_F_INV : 0);
      return;
    case "unknown":
      throw new TypeError(`Cannot encode expression ${expression.name}: it was read from a kernel and not understood`);
  }
}

function parseExpression(name: string, data: readonly Attribute[]): Expression | undefined {
  const attributes = new Map(data.map(({ type, payload }) => [type, payload]));
  // An attribute that is not there equals no number.
  const number = (type: number): number => {
    const payload = attributes.get(type);
    return payload === undefined ? Number.NaN : readU32be(payload);
  };
  const value = (type: number): Uint8Array =>
    attributeMap(attributes.get(type) ?? new Uint8Array()).get(NFTA_DATA.VALUE) ?? new Uint8Array();
  const usesRegister = (...types: number[]): boolean => types.every((type) => number(type) === REGISTER_DATA);
  switch (name) {
    case "meta":
      return parseLoadOrSet("meta", attributes, NFTA_META);
    case "ct":
      // Of one direction of the connection only ("ct original zone set 1").
      return attributes.has(NFTA_CT.DIRECTION) ? undefined : parseLoadOrSet("ct", attributes, NFTA_CT);
    case "payload": {
      if (!attributes.has(NFTA_PAYLOAD.DREG) || !usesRegister(NFTA_PAYLOAD.DREG)) return undefined;
      const [base, offset] = [number(NFTA_PAYLOAD.BASE), number(NFTA_PAYLOAD.OFFSET)];
      return { kind: "payload", base, offset, length: number(NFTA_PAYLOAD.LEN) };
    }
    case "bitwise": {
      const isBoolean = !attributes.has(NFTA_BITWISE.OP) || number(NFTA_BITWISE.OP) === 0;
      if (!isBoolean || !usesRegister(NFTA_BITWISE.SREG, NFTA_BITWISE.DREG)) return undefined;
      return { kind: "bitwise", mask: value(NFTA_BITWISE.MASK), xor: value(NFTA_BITWISE.XOR) };
    }
    case "cmp": {
      const operator = OPERATORS[number(NFTA_CMP.OP)];
      if (operator === undefined || !usesRegister(NFTA_CMP.SREG)) return undefined;
      return { kind: "cmp", operator, value: value(NFTA_CMP.DATA) };
    }
    case "counter":
      return { kind: "counter" };
    case "immediate":
      if (number(NFTA_IMMEDIATE.DREG) === REGISTER_VERDICT) return parseVerdict(attributes.get(NFTA_IMMEDIATE.DATA));
      return usesRegister(NFTA_IMMEDIATE.DREG) ? { kind: "value", value: value(NFTA_IMMEDIATE.DATA) } : undefined;
    case "redir": {
      const isByPort = attributes.has(NFTA_REDIR.FLAGS) && number(NFTA_REDIR.FLAGS) === NAT_RANGE.PROTO_SPECIFIED;
      // The kernel tells a single port as both ends of a range.
      const isOnePort = !attributes.has(NFTA_REDIR.REG_PROTO_MAX) || usesRegister(NFTA_REDIR.REG_PROTO_MAX);
      return isByPort && isOnePort && usesRegister(NFTA_REDIR.REG_PROTO_MIN) ? { kind: "redir" } : undefined;
    }
    case "tproxy":
      if (attributes.has(NFTA_TPROXY.REG_ADDR) || !usesRegister(NFTA_TPROXY.REG_PORT)) return undefined;
      return { kind: "tproxy", family: number(NFTA_TPROXY.FAMILY) };
    case "nat":
      return parseSourceNat(attributes, number);
    case "lookup": {
      if (attributes.has(NFTA_LOOKUP.DREG) || !usesRegister(NFTA_LOOKUP.SREG)) return undefined;
      const set = readString(attributes.get(NFTA_LOOKUP.SET) ?? new Uint8Array());
      const inverted = attributes.has(NFTA_LOOKUP.FLAGS) && number(NFTA_LOOKUP.FLAGS) === NFT_LOOKUP_F_INV;
      return { kind: "lookup", set, setId: 0, inverted };
    }
    case "match":
    case "target": {
      const info = attributes.get(NFTA_XT.INFO) ?? new Uint8Array();
      const text = readString(attributes.get(NFTA_XT.NAME) ?? new Uint8Array());
      return { kind: name, name: text, revision: number(NFTA_XT.REV), info };
    }
    default:
      return undefined;
  }
}

/** To one address, nothing else said; the kernel tells the address twice, as both ends of a range, and so in its flags. */
function parseSourceNat(
  attributes: ReadonlyMap<number, Uint8Array>,
  number: (type: number) => number,
): Expression | undefined {
  const isOneAddress =
    number(NFTA_NAT.ADDR_MIN) === REGISTER_DATA &&
    (!attributes.has(NFTA_NAT.ADDR_MAX) || number(NFTA_NAT.ADDR_MAX) === REGISTER_DATA) &&
    (!attributes.has(NFTA_NAT.FLAGS) || number(NFTA_NAT.FLAGS) === NAT_RANGE.MAP_IPS);
  const hasPorts = attributes.has(NFTA_NAT.PROTO_MIN) || attributes.has(NFTA_NAT.PROTO_MAX);
  if (number(NFTA_NAT.TYPE) !== NFT_NAT_SNAT || !isOneAddress || hasPorts) return undefined;
  return { kind: "snat", family: number(NFTA_NAT.FAMILY) };
}

function parseLoadOrSet(
  kind: "meta" | "ct",
  attributes: ReadonlyMap<number, Uint8Array>,
  types: { KEY: number; DREG: number; SREG: number },
): Expression | undefined {
  const number = (type: number): number | undefined => {
    const payload = attributes.get(type);
    return payload === undefined ? undefined : readU32be(payload);
  };
  const key = number(types.KEY);
  if (key === undefined) return undefined;
  if (number(types.DREG) === REGISTER_DATA) return { kind, key };
  return number(types.SREG) === REGISTER_DATA ? { kind: `${kind}-set`, key } : undefined;
}

function parseVerdict(data: Uint8Array | undefined): Expression | undefined {
  const verdict = data === undefined ? undefined : attributeMap(data).get(NFTA_DATA.VERDICT);
  if (verdict === undefined) return undefined;
  const attributes = attributeMap(verdict);
  const number = attributes.get(NFTA_VERDICT.CODE);
  if (number === undefined) return undefined;
  const code = readU32be(number) | 0;
  const chain = attributes.get(NFTA_VERDICT.CHAIN);
  return chain === undefined ? { kind: "verdict", code } : { kind: "verdict", code, chain: readString(chain) };
}
