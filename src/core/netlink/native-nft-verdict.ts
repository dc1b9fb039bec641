// What a native nftables rule does, counter first, in both directions. The counter stands where upstream puts it: before
// the statement, with TPROXY before the accept (contract 5.5).

import { ADDRESS_BYTES, FAMILIES } from "../address.ts";
import type { Verdict } from "../rules/model.ts";
import { readNumber, viewOf } from "./message.ts";
import { NFPROTO } from "./nfnetlink.ts";
import type { Expression } from "./nft-expression.ts";
import { CT, META, VERDICT_CODE } from "./nft-expression.ts";
import { bitwise, u32 } from "./nft-match.ts";
import { decodePlainVerdict, encodePlainVerdict } from "./nft-verdict.ts";

const COUNTER: Expression = { kind: "counter" };
const WHOLE = 0xffffffff;

/** `family`: that of the rule's addresses; TPROXY needs one. Throws TypeError for what cannot be written. */
export function encodeNativeVerdict(verdict: Verdict, family: 4 | 6 | undefined): Expression[] {
  switch (verdict.kind) {
    case "return":
    case "accept":
    case "drop":
    case "jump":
      return [COUNTER, encodePlainVerdict(verdict)];
    case "redirect":
      return [COUNTER, { kind: "value", value: u16be(verdict.port) }, { kind: "redir" }];
    case "snat":
      return [
        COUNTER,
        { kind: "value", value: verdict.address.bytes },
        { kind: "snat", family: NFPROTO[verdict.address.family] },
      ];
    case "tproxy":
      if (family === undefined) throw new TypeError("Cannot encode tproxy: the rule names no address of its family");
      return [
        { kind: "value", value: u16be(verdict.port) },
        { kind: "tproxy", family: NFPROTO[family] },
        ...setMark("meta", META.mark, verdict.value, verdict.mask),
        COUNTER,
        encodePlainVerdict({ kind: "accept" }),
      ];
    case "set-xmark":
      return [COUNTER, ...setMark("meta", META.mark, verdict.value, verdict.mask)];
    case "connmark-set-xmark":
      return [COUNTER, ...setMark("ct", CT.mark, verdict.value, verdict.mask)];
    case "connmark-save":
    case "connmark-restore": {
      if (verdict.nfmask !== WHOLE || verdict.ctmask !== WHOLE) {
        throw new TypeError(`Cannot encode ${verdict.kind}: native nftables copies whole marks only`);
      }
      return verdict.kind === "connmark-save"
        ? [COUNTER, { kind: "meta", key: META.mark }, { kind: "ct-set", key: CT.mark }]
        : [COUNTER, { kind: "ct", key: CT.mark }, { kind: "meta-set", key: META.mark }];
    }
    case "ct-zone":
      return [COUNTER, { kind: "value", value: u16(verdict.zone) }, { kind: "ct-set", key: CT.zone }];
    case "opaque":
      throw new TypeError(`Cannot encode a rule that was not understood when it was read: ${verdict.summary}`);
  }
}

/** The verdict that the rest of a rule stands for, counters taken out; undefined when it is none of ours. */
export function decodeNativeVerdict(rest: readonly Expression[], family: 4 | 6 | undefined): Verdict | undefined {
  const [first, second, third] = rest;
  if (rest.length === 1 && first?.kind === "verdict") return decodePlainVerdict(first);
  if (rest.length === 2 && first?.kind === "value" && first.value.length === 2) {
    if (second?.kind === "redir") return { kind: "redirect", port: viewOf(first.value).getUint16(0) };
    if (second?.kind === "ct-set" && second.key === CT.zone) return { kind: "ct-zone", zone: readNumber(first.value) };
  }
  if (rest.length === 2 && first?.kind === "value" && second?.kind === "snat") {
    const addressFamily = FAMILIES.find((candidate) => NFPROTO[candidate] === second.family);
    if (addressFamily === undefined || first.value.length !== ADDRESS_BYTES[addressFamily]) return undefined;
    return { kind: "snat", address: { family: addressFamily, bytes: first.value } };
  }
  if (first?.kind === "value" && second?.kind === "tproxy" && first.value.length === 2) {
    const end = rest.at(-1);
    const mark = decodeSetMark(rest.slice(2, -1));
    const isAccepted = end?.kind === "verdict" && end.code === VERDICT_CODE.accept;
    if (mark?.target !== "meta" || !isAccepted || family === undefined || second.family !== NFPROTO[family])
      return undefined;
    return { kind: "tproxy", port: viewOf(first.value).getUint16(0), value: mark.value, mask: mark.mask };
  }
  if (rest.length === 2 && first?.kind === "meta" && first.key === META.mark && second?.kind === "ct-set") {
    return second.key === CT.mark ? { kind: "connmark-save", nfmask: WHOLE, ctmask: WHOLE } : undefined;
  }
  if (rest.length === 2 && first?.kind === "ct" && first.key === CT.mark && second?.kind === "meta-set") {
    return second.key === META.mark ? { kind: "connmark-restore", nfmask: WHOLE, ctmask: WHOLE } : undefined;
  }
  const mark = rest.length === 2 || (rest.length === 3 && third !== undefined) ? decodeSetMark(rest) : undefined;
  if (mark === undefined) return undefined;
  const { target, value, mask } = mark;
  return { kind: target === "meta" ? "set-xmark" : "connmark-set-xmark", value, mask };
}

/** mark = (mark & ~mask) ^ value; with a whole mask that is a constant. */
function setMark(target: "meta" | "ct", key: number, value: number, mask: number): Expression[] {
  const set: Expression = { kind: `${target}-set`, key };
  if (mask === WHOLE) return [{ kind: "value", value: u32(value) }, set];
  return [{ kind: target, key }, bitwise(u32(~mask >>> 0), u32(value)), set];
}

function decodeSetMark(
  steps: readonly Expression[],
): { target: "meta" | "ct"; value: number; mask: number } | undefined {
  const [first, second, third] = steps;
  const set = steps.at(-1);
  if (set?.kind !== "meta-set" && set?.kind !== "ct-set") return undefined;
  const target = set.kind === "meta-set" ? "meta" : "ct";
  if (set.key !== (target === "meta" ? META.mark : CT.mark)) return undefined;
  if (steps.length === 2 && first?.kind === "value" && first.value.length === 4) {
    return { target, value: readNumber(first.value), mask: WHOLE };
  }
  const isMasked = steps.length === 3 && third === set && second?.kind === "bitwise" && second.mask.length === 4;
  if (!isMasked || first?.kind !== target || first.key !== set.key) return undefined;
  return { target, value: readNumber(second.xor), mask: ~readNumber(second.mask) >>> 0 };
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >> 8);
}

function u16be(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}
