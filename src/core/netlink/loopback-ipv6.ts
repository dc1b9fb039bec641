// Whether `lo` of a netns has IPv6 at all: where it was switched off (sysctl net.ipv6.conf.lo.disable_ipv6), or the kernel was
// started without it, the kernel refuses addresses and local routes, and nothing of IPv6 can pass there either
// (uapi/linux/if_link.h, IFLA_AF_SPEC; uapi/linux/ipv6.h, DEVCONF_*).

import { attributeMap, NetlinkFormatError, parseMessages, viewOf } from "./message.ts";
import { ADDRESS_FAMILY, LOOPBACK_INDEX, NLM_F, RTM } from "./rtnetlink.ts";
import { NetlinkWriter } from "./writer.ts";

const IFINFOMSG_BYTES = 16;
const IFLA_AF_SPEC = 26;
const IFLA_INET6_CONF = 2;
/** An array of 32-bit settings, each at its number. */
const DEVCONF_DISABLE_IPV6 = 26;

/** Asks for `lo`. Equiv: ip link show lo */
export function encodeGetLoopback(): Uint8Array {
  const writer = new NetlinkWriter();
  writer.message({ type: RTM.GETLINK, flags: NLM_F.REQUEST, sequence: 1 }, () => {
    // struct ifinfomsg { unsigned char ifi_family, pad; unsigned short ifi_type; int ifi_index; unsigned ifi_flags, ifi_change; }
    writer.u32(0);
    writer.u32(LOOPBACK_INDEX);
    writer.u32(0);
    writer.u32(0);
  });
  return writer.finish();
}

/** Reads the answer to `encodeGetLoopback`. Throws NetlinkFormatError, also when it is no answer: not knowing is not no. */
export function decodeLoopbackHasIpv6(datagrams: Iterable<Uint8Array>): boolean {
  const links = [...datagrams]
    .flatMap((datagram) => parseMessages(datagram))
    .filter(({ type }) => type === RTM.NEWLINK);
  if (links.length === 0) throw new NetlinkFormatError("Cannot read the settings of lo: the kernel does not tell");
  return links.some(({ payload }) => {
    const perFamily = attributeMap(payload.subarray(IFINFOMSG_BYTES)).get(IFLA_AF_SPEC);
    const ipv6 = perFamily === undefined ? undefined : attributeMap(perFamily).get(ADDRESS_FAMILY[6]);
    const settings = ipv6 === undefined ? undefined : attributeMap(ipv6).get(IFLA_INET6_CONF);
    const at = DEVCONF_DISABLE_IPV6 * 4;
    return settings !== undefined && settings.length >= at + 4 && viewOf(settings).getUint32(at, true) === 0;
  });
}
