// Asks the kernel by which way a packet would leave, and reads the answer (uapi/linux/rtnetlink.h, RTM_GETROUTE without a
// dump): policy rules and tables are the kernel's business then, and nobody has to walk them again.

import { ADDRESS_BYTES, type IpAddress } from "../address.ts";
import { NetlinkFormatError, readNumber } from "./message.ts";
import { parseReplies } from "./reply.ts";
import { ADDRESS_FAMILY, NLM_F, openMessage, ROUTE_HEADER_BYTES, RTA, RTM, RTN } from "./rtnetlink.ts";
import { NetlinkWriter } from "./writer.ts";

/** Blackhole, unreachable, prohibit, throw: what iproute2 prints as such. */
const RTN_NO_WAY = [6, 7, 8, 9];

/** What is sent, as far as routing looks at it. */
export type RouteQuestion = {
  readonly destination: IpAddress;
  /** Bound by the sender; undefined: the kernel chooses. */
  readonly source?: IpAddress;
  readonly mark: number;
  readonly uid: number;
};

/** `local`: to this namespace itself. `none`: nowhere; `errno` 0 where the kernel tells a route that leads nowhere. */
export type RouteAnswer =
  | { readonly kind: "local" | "out"; readonly interfaceIndex: number; readonly source: IpAddress | undefined }
  | { readonly kind: "none"; readonly errno: number };

/** Equiv: ip [-6] route get DESTINATION [from SOURCE] mark MARK uid UID */
export function encodeRouteLookup({ destination, source, mark, uid }: RouteQuestion): Uint8Array {
  const writer = new NetlinkWriter();
  const bits = ({ bytes }: IpAddress): number => bytes.length * 8;
  writer.message({ type: RTM.GETROUTE, flags: NLM_F.REQUEST, sequence: 1 }, () => {
    // struct rtmsg { __u8 family, dst_len, src_len, tos, table, protocol, scope, type; __u32 flags; }
    const lengths = [bits(destination), source === undefined ? 0 : bits(source)];
    writer.raw(Uint8Array.of(ADDRESS_FAMILY[destination.family], ...lengths, 0, 0, 0, 0, 0));
    writer.u32(0);
    writer.attributeBytes(RTA.DST, destination.bytes);
    if (source !== undefined) writer.attributeBytes(RTA.SRC, source.bytes);
    if (mark !== 0) writer.attributeU32(RTA.MARK, mark);
    writer.attributeU32(RTA.UID, uid);
  });
  return writer.finish();
}

/** Throws NetlinkFormatError when it is no answer. */
export function decodeRouteLookup(datagrams: Iterable<Uint8Array>): RouteAnswer {
  for (const reply of [...datagrams].flatMap(parseReplies)) {
    if (reply.kind === "refused") return { kind: "none", errno: reply.errno };
    if (reply.kind === "data" && reply.message.type === RTM.NEWROUTE) return parseAnswer(reply.message.payload);
  }
  throw new NetlinkFormatError("Cannot read the way of a packet: the kernel did not answer");
}

function parseAnswer(payload: Uint8Array): RouteAnswer {
  const { family, view, attributes } = openMessage("the way of a packet", payload, ROUTE_HEADER_BYTES);
  const type = view.getUint8(7);
  const oif = attributes.get(RTA.OIF);
  if (RTN_NO_WAY.includes(type) || oif === undefined) return { kind: "none", errno: 0 };
  const bytes = attributes.get(RTA.PREFSRC);
  const isAddress = family !== undefined && bytes?.length === ADDRESS_BYTES[family];
  return {
    kind: type === RTN.LOCAL ? "local" : "out",
    interfaceIndex: readNumber(oif),
    source: isAddress ? { family, bytes: bytes.slice() } : undefined,
  };
}
