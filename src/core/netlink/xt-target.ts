// The kernel structs of the xtables targets we write and read (uapi/linux/netfilter/xt_*.h, nf_nat.h). Sizes are those
// the kernel checks: XT_ALIGN rounds up to 8. Fields without a value here are zero.

import type { Family } from "../address.ts";
import type { Verdict } from "../rules/model.ts";
import { viewOf } from "./message.ts";
import { type Expression, NAT_RANGE } from "./nft-expression.ts";

type XtTarget = Extract<Expression, { kind: "match" | "target" }>;

const NAT_RANGE_V4_BYTES = 24;
const NAT_RANGE_V6_BYTES = 40;
/** Where the flags and both ends of the range of addresses stand: revision 0 for IPv4, 1 for IPv6 (structs of REDIRECT). */
const SNAT_LAYOUT = { 4: { flags: 4, low: 8, high: 12, end: 16 }, 6: { flags: 0, low: 4, high: 20, end: 36 } } as const;
const TPROXY_BYTES = 32;
const CT_BYTES = 72;
const CONNMARK_MODES = ["connmark-set-xmark", "connmark-save", "connmark-restore"] as const;

/** The target expression of an xtables target. */
export function encodeXtTarget(verdict: Verdict, family: Family): XtTarget {
  const target = (name: string, revision: number, bytes: number, fill: (view: DataView) => void): XtTarget => {
    const info = new Uint8Array(bytes);
    fill(viewOf(info));
    return { kind: "target", name, revision, info };
  };
  switch (verdict.kind) {
    case "redirect":
      return family === 4
        ? // struct nf_nat_ipv4_multi_range_compat { unsigned rangesize; struct { unsigned flags; __be32 min_ip, max_ip; __be16 min, max; } range[1]; }
          target("REDIRECT", 0, NAT_RANGE_V4_BYTES, (view) => {
            view.setUint32(0, 1, true);
            view.setUint32(4, NAT_RANGE.PROTO_SPECIFIED, true);
            view.setUint16(16, verdict.port);
            view.setUint16(18, verdict.port);
          })
        : // struct nf_nat_range { unsigned flags; union nf_inet_addr min_addr, max_addr; __be16 min_proto, max_proto; }
          target("REDIRECT", 0, NAT_RANGE_V6_BYTES, (view) => {
            view.setUint32(0, NAT_RANGE.PROTO_SPECIFIED, true);
            view.setUint16(36, verdict.port);
            view.setUint16(38, verdict.port);
          });
    case "snat":
      if (verdict.address.family !== family) {
        throw new TypeError(
          `Cannot encode SNAT: the address is of IPv${verdict.address.family}, the rule of IPv${family}`,
        );
      }
      return target("SNAT", family === 4 ? 0 : 1, family === 4 ? NAT_RANGE_V4_BYTES : NAT_RANGE_V6_BYTES, (view) => {
        const at = SNAT_LAYOUT[family];
        if (family === 4) view.setUint32(0, 1, true);
        view.setUint32(at.flags, NAT_RANGE.MAP_IPS, true);
        for (const [index, byte] of verdict.address.bytes.entries()) {
          view.setUint8(at.low + index, byte);
          view.setUint8(at.high + index, byte);
        }
      });
    case "tproxy":
      // struct xt_tproxy_target_info_v1 { __u32 mark_mask, mark_value; union nf_inet_addr laddr; __be16 lport; }
      return target("TPROXY", 1, TPROXY_BYTES, (view) => {
        view.setUint32(0, verdict.mask, true);
        view.setUint32(4, verdict.value, true);
        view.setUint16(24, verdict.port);
      });
    case "set-xmark":
      // struct xt_mark_tginfo2 { __u32 mark, mask; }
      return target("MARK", 2, 8, (view) => {
        view.setUint32(0, verdict.value, true);
        view.setUint32(4, verdict.mask, true);
      });
    case "connmark-set-xmark":
      return target("CONNMARK", 2, 16, (view) => fillConnmark(view, verdict.value, verdict.mask, 0xffffffff, 0));
    case "connmark-save":
      return target("CONNMARK", 2, 16, (view) => fillConnmark(view, 0, verdict.ctmask, verdict.nfmask, 1));
    case "connmark-restore":
      return target("CONNMARK", 2, 16, (view) => fillConnmark(view, 0, verdict.ctmask, verdict.nfmask, 2));
    case "ct-zone":
      // struct xt_ct_target_info_v1 { __u16 flags, zone; __u32 ct_events, exp_events; char helper[16], timeout[32]; struct nf_conn *ct; }
      return target("CT", 2, CT_BYTES, (view) => view.setUint16(2, verdict.zone, true));
    default:
      throw new TypeError(`Cannot encode verdict ${verdict.kind}: it is no xtables target`);
  }
}

/** The verdict an xtables target stands for, undefined when it says more than we know. */
export function decodeXtTarget({ name, revision, info }: XtTarget, family: Family): Verdict | undefined {
  const view = viewOf(info);
  switch (`${name} ${revision}`) {
    case "REDIRECT 0":
      return decodeRedirect(info, view, family);
    case "SNAT 0":
      return family === 4 ? decodeSourceNat(info, view, 4) : undefined;
    case "SNAT 1":
      return family === 6 ? decodeSourceNat(info, view, 6) : undefined;
    case "TPROXY 1": {
      if (info.length < 26 || info.subarray(8, 24).some((byte) => byte !== 0)) return undefined;
      const [mask, value] = [view.getUint32(0, true), view.getUint32(4, true)];
      return { kind: "tproxy", port: view.getUint16(24), value, mask };
    }
    case "MARK 2":
      if (info.length < 8) return undefined;
      return { kind: "set-xmark", value: view.getUint32(0, true), mask: view.getUint32(4, true) };
    case "CONNMARK 1":
    case "CONNMARK 2":
      return decodeConnmark(info, view, revision);
    case "CT 2": {
      const saysMore = info.subarray(4, 60).some((byte) => byte !== 0);
      if (info.length < 60 || view.getUint16(0, true) !== 0 || saysMore) return undefined;
      return { kind: "ct-zone", zone: view.getUint16(2, true) };
    }
    default:
      return undefined;
  }
}

/** struct xt_connmark_tginfo2 { __u32 ctmark, ctmask, nfmask; __u8 shift_dir, shift_bits, mode; } */
function fillConnmark(view: DataView, ctmark: number, ctmask: number, nfmask: number, mode: number): void {
  view.setUint32(0, ctmark, true);
  view.setUint32(4, ctmask, true);
  view.setUint32(8, nfmask, true);
  view.setUint8(14, mode);
}

/** Revision 1 is the same without the shift: { __u32 ctmark, ctmask, nfmask; __u8 mode; } */
function decodeConnmark(info: Uint8Array, view: DataView, revision: number): Verdict | undefined {
  if (info.length < 15) return undefined;
  if (revision === 2 && (info[12] !== 0 || info[13] !== 0)) return undefined;
  const kind = CONNMARK_MODES[(revision === 2 ? info[14] : info[12]) ?? CONNMARK_MODES.length];
  const [ctmark, ctmask, nfmask] = [view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true)];
  if (kind === undefined) return undefined;
  if (kind === "connmark-set-xmark") return { kind, value: ctmark, mask: ctmask };
  return { kind, nfmask, ctmask };
}

function decodeRedirect(info: Uint8Array, view: DataView, family: Family): Verdict | undefined {
  if (info.length < (family === 4 ? 20 : 40)) return undefined;
  if (family === 4 && view.getUint32(0, true) !== 1) return undefined;
  const flags = view.getUint32(family === 4 ? 4 : 0, true);
  const portOffset = family === 4 ? 16 : 36;
  const port = view.getUint16(portOffset);
  if (flags !== NAT_RANGE.PROTO_SPECIFIED || view.getUint16(portOffset + 2) !== port) return undefined;
  return { kind: "redirect", port };
}

/** One address and no ports. */
function decodeSourceNat(info: Uint8Array, view: DataView, family: Family): Verdict | undefined {
  const { flags, low, high, end } = SNAT_LAYOUT[family];
  if (info.length < end + 4 || (family === 4 && view.getUint32(0, true) !== 1)) return undefined;
  const isOneAddress = info.subarray(low, high).every((byte, index) => byte === info[high + index]);
  const hasPorts = info.subarray(end, end + 4).some((byte) => byte !== 0);
  if (view.getUint32(flags, true) !== NAT_RANGE.MAP_IPS || !isOneAddress || hasPorts) return undefined;
  return { kind: "snat", address: { family, bytes: info.slice(low, high) } };
}
