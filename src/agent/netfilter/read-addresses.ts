// The addresses in a network namespace, of both families, without waiting for anybody who makes or ends another one.
import { FAMILIES } from "../../core/address.ts";
import { decodeAddresses, encodeGetAddresses, type InterfaceAddress } from "../../core/netlink/addresses.ts";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";
import { whole } from "./netlink-conversation.ts";

/** Those of IPv4 first, each family in the kernel's order.
 * @param socket of rtnetlink. @throws {KernelRefusalError}; Error when something changes every time. */
export function readAddresses(socket: NetlinkSocket): readonly InterfaceAddress[] {
  return FAMILIES.flatMap((family) => {
    const { addresses } = whole(socket, "read the addresses", (ask) =>
      decodeAddresses(ask(encodeGetAddresses(family))),
    );
    return addresses.filter(({ ip }) => ip.family === family);
  });
}
