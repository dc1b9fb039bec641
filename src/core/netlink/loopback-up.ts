// Switches `lo` of a netns on, as the runtime's loopback plugin does for pods: without it the kernel takes no route through it.
import { parseReplies, type Refusal } from "./reply.ts";
import { LOOPBACK_INDEX, NLM_F, RTM } from "./rtnetlink.ts";
import { NetlinkWriter } from "./writer.ts";

const IFF_UP = 1;

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
