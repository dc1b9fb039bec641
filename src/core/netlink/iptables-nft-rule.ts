// One rule in the dialect of iptables-nft 1.8.9: what it writes natively (interface, protocol, address, port, mark) and
// what it leaves to xtables (the rest), in both directions. Reading also understands the forms of older iptables.

import type { Cidr } from "../address.ts";
import { prefixMask } from "../address.ts";
import type { Match, Opaque, Protocol, Rule, Verdict } from "../rules/model.ts";
import { viewOf } from "./message.ts";
import type { Expression } from "./nft-expression.ts";
import { META, PAYLOAD_BASE, VERDICT_CODE } from "./nft-expression.ts";
import { decodeXtMatch, encodeXtMatch } from "./xt-match.ts";
import { decodeXtTarget, encodeXtTarget } from "./xt-target.ts";

type Family = 4 | 6;

/** IPPROTO_* of the protocols rules name. */
export const PROTOCOL_NUMBER: Record<Protocol, number> = { tcp: 6, udp: 17 };

/** Where the addresses stand in the network header. */
const ADDRESS_OFFSET = { 4: { source: 12, destination: 16 }, 6: { source: 8, destination: 24 } } as const;
const PROTOCOL_OFFSET_V4 = 9;
const PORT_OFFSET = { sport: 0, dport: 2 } as const;

/** The expressions of a rule. Throws RangeError or TypeError when it cannot be written (opaque, too many ports). */
export function encodeRule(rule: Rule, family: Family): Expression[] {
  const matches = rule.matches.flatMap((match) => encodeMatch(match, family));
  return [...matches, { kind: "counter" }, encodeVerdict(rule.verdict, family)];
}

/** The rule that expressions stand for; what is not understood becomes one opaque match or verdict. */
export function decodeRule(expressions: readonly Expression[], family: Family): Rule {
  const matches: Match[] = [];
  let verdict: Verdict | undefined;
  let index = 0;
  while (index < expressions.length) {
    const expression = expressions[index];
    if (expression === undefined) break;
    if (verdict !== undefined) return opaqueRule(matches, `${summary(expression)} behind the verdict`);
    const step = decodeStep(expressions.slice(index, index + 3), family);
    if (step === undefined) return opaqueRule(matches, summary(expression));
    matches.push(...(step.matches ?? []));
    verdict = step.verdict;
    index += step.length;
  }
  return verdict === undefined ? opaqueRule(matches, "no verdict") : { intent: "", matches, verdict };
}

function encodeMatch(match: Match, family: Family): Expression[] {
  switch (match.kind) {
    case "iifname":
    case "oifname":
      return [
        { kind: "meta", key: META[match.kind] },
        compare(match.negated, Uint8Array.of(...new TextEncoder().encode(match.name), 0)),
      ];
    case "protocol":
      return [
        { kind: "meta", key: META.l4proto },
        compare(match.negated, Uint8Array.of(PROTOCOL_NUMBER[match.protocol])),
      ];
    case "source":
    case "destination":
      return encodeAddress(match.cidr, ADDRESS_OFFSET[family][match.kind], match.negated);
    case "sport":
    case "dport":
      return [
        { kind: "payload", base: PAYLOAD_BASE.transport, offset: PORT_OFFSET[match.kind], length: 2 },
        compare(match.negated, Uint8Array.of(match.port >> 8, match.port & 0xff)),
      ];
    case "mark":
      return [
        { kind: "meta", key: META.mark },
        ...(match.mask === 0xffffffff ? [] : [bitwise(u32(match.mask))]),
        compare(match.negated, u32(match.value)),
      ];
    case "opaque":
      throw new TypeError(`Cannot encode a rule that was not understood when it was read: ${match.summary}`);
    default:
      return [encodeXtMatch(match)];
  }
}

/** A prefix that ends at a byte is compared by loading fewer bytes, any other by masking. */
function encodeAddress(cidr: Cidr, offset: number, negated: boolean): Expression[] {
  const { family, prefixLength } = cidr;
  const payload = (length: number): Expression => ({ kind: "payload", base: PAYLOAD_BASE.network, offset, length });
  const whole = prefixLength >> 3;
  if (prefixLength % 8 === 0) return [payload(whole), compare(negated, cidr.bytes.subarray(0, whole))];
  return [payload(cidr.bytes.length), bitwise(prefixMask(family, prefixLength)), compare(negated, cidr.bytes)];
}

function encodeVerdict(verdict: Verdict, family: Family): Expression {
  switch (verdict.kind) {
    case "return":
    case "accept":
    case "drop":
      return { kind: "verdict", code: VERDICT_CODE[verdict.kind] };
    case "jump":
      return { kind: "verdict", code: VERDICT_CODE.jump, chain: verdict.chain };
    case "opaque":
      throw new TypeError(`Cannot encode a rule that was not understood when it was read: ${verdict.summary}`);
    default:
      return encodeXtTarget(verdict, family);
  }
}

type Step = { readonly length: number; readonly matches?: readonly Match[]; readonly verdict?: Verdict };

/** What the expressions at hand begin with, undefined when it is nothing we know. */
function decodeStep(window: readonly Expression[], family: Family): Step | undefined {
  const [first, second, third] = window;
  switch (first?.kind) {
    case "counter":
      return { length: 1 };
    case "verdict":
      return wrapVerdict(decodeImmediate(first.code, first.chain));
    case "target":
      return wrapVerdict(decodeXtTarget(first, family));
    case "match": {
      const matches = decodeXtMatch(first);
      return matches === undefined ? undefined : { length: 1, matches };
    }
    case "meta":
    case "payload": {
      const mask = second?.kind === "bitwise" && second.xor.every((byte) => byte === 0) ? second.mask : undefined;
      const compared = mask === undefined ? second : third;
      if (compared?.kind !== "cmp") return undefined;
      const matches = decodeCompare(first, mask, compared.value, compared.operator === "neq", family);
      return matches === undefined ? undefined : { length: mask === undefined ? 2 : 3, matches };
    }
    default:
      return undefined;
  }
}

function decodeImmediate(code: number, chain: string | undefined): Verdict | undefined {
  if (code === VERDICT_CODE.jump) return chain === undefined ? undefined : { kind: "jump", chain };
  if (code === VERDICT_CODE.return) return { kind: "return" };
  if (code === VERDICT_CODE.accept) return { kind: "accept" };
  return code === VERDICT_CODE.drop ? { kind: "drop" } : undefined;
}

function decodeCompare(
  load: Extract<Expression, { kind: "meta" | "payload" }>,
  mask: Uint8Array | undefined,
  value: Uint8Array,
  negated: boolean,
  family: Family,
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
  const addressBytes = family === 4 ? 4 : 16;
  if (kind === undefined || prefixLength === undefined || value.length !== length || length > addressBytes)
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
  // Without its terminating zero the name is a prefix ("eth+").
  if (kind === undefined || end < 1) return undefined;
  return [{ kind, name: new TextDecoder().decode(value.subarray(0, end)), negated }];
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

function wrapVerdict(verdict: Verdict | undefined): Step | undefined {
  return verdict === undefined ? undefined : { length: 1, verdict };
}

function opaqueRule(matches: readonly Match[], text: string): Rule {
  const opaque: Opaque = { kind: "opaque", summary: text };
  return { intent: "", matches: [...matches, opaque], verdict: opaque };
}

function summary(expression: Expression): string {
  if (expression.kind === "match" || expression.kind === "target") {
    return `${expression.kind} ${expression.name} revision ${expression.revision}`;
  }
  return expression.kind === "unknown" ? expression.name : expression.kind;
}

function compare(negated: boolean, value: Uint8Array): Expression {
  return { kind: "cmp", operator: negated ? "neq" : "eq", value };
}

function bitwise(mask: Uint8Array): Expression {
  return { kind: "bitwise", mask, xor: new Uint8Array(mask.length) };
}

/** Marks are compared as the CPU holds them. */
function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, true);
  return bytes;
}
