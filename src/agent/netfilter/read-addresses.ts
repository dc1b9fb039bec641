// The addresses in a network namespace, of both families, without waiting for anybody who makes or ends another one.
import { decodeAddresses, encodeGetAddresses, type InterfaceAddress } from "../../core/netlink/addresses.ts";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";
import { exchange } from "./netlink-conversation.ts";

/** Those of IPv4 first, each family in the kernel's order. `interrupted`: something changed meanwhile, ask again.
 * @param socket of rtnetlink. @throws {KernelRefusalError} */
export function readAddresses(socket: NetlinkSocket): {
  readonly addresses: readonly InterfaceAddress[];
  readonly interrupted: boolean;
} {
  const families = ([4, 6] as const).map((family) => {
    const { addresses, interrupted } = decodeAddresses(exchange(socket, encodeGetAddresses(family)));
    return { addresses: addresses.filter(({ ip }) => ip.family === family), interrupted };
  });
  return {
    addresses: families.flatMap(({ addresses }) => addresses),
    interrupted: families.some(({ interrupted }) => interrupted),
  };
}
