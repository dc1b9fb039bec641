// Whether `lo` of a netns is on, and switching it on, as the runtime's loopback plugin does for pods: without it the kernel takes no
// route through it.
import { NetlinkFormatError, parseMessages, viewOf } from "./message.ts";
import { parseReplies, type Refusal } from "./reply.ts";
import { LOOPBACK_INDEX, NLM_F, RTM } from "./rtnetlink.ts";
import { NetlinkWriter } from "./writer.ts";

const IFF_UP = 1;
/** In struct ifinfomsg, below. */
const FLAGS_AT = 8;

/** Equiv: ip link set lo up. Doing it twice is harmless. */
export function encodeRaiseLoopback(): Uint8Array {
  const writer = new NetlinkWriter();
  writer.message({ type: RTM.NEWLINK, flags: NLM_F.REQUEST | NLM_F.ACK, sequence: 1 }, () => {
    // struct ifinfomsg { unsigned char ifi_family, pad; unsigned short ifi_type; int ifi_index; unsigned ifi_flags, ifi_change; }
    writer.u32(0);
    writer.u32(LOOPBACK_INDEX);
    writer.u32(IFF_UP);
    writer.u32(IFF_UP);
  });
  return writer.finish();
}

/** Why the kernel did not; undefined: it did. @throws {NetlinkFormatError} */
export function parseRaiseLoopback(datagrams: Iterable<Uint8Array>): Refusal | undefined {
  return [...datagrams].flatMap((datagram) => parseReplies(datagram)).find((reply) => reply.kind === "refused");
}

/** Reads the answer to `encodeGetLoopback()` of loopback-ipv6.ts. @throws {NetlinkFormatError} also when it is no answer */
export function decodeLoopbackIsUp(datagrams: Iterable<Uint8Array>): boolean {
  const link = [...datagrams].flatMap((datagram) => parseMessages(datagram)).find(({ type }) => type === RTM.NEWLINK);
  if (link === undefined || link.payload.length < FLAGS_AT + 4)
    throw new NetlinkFormatError("Cannot read whether lo is on: the kernel does not tell");
  return (viewOf(link.payload).getUint32(FLAGS_AT, true) & IFF_UP) !== 0;
}
