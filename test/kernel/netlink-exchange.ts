// Sends bytes to a kernel and yields what it answers, for the kernel tests of the netlink codec.
import type { NetlinkSocket } from "../../src/platform/linux/netlink-socket.ts";

/** The kernel has answered by the time `send` returns, so the first empty read is the end; lazy, to stop at a dump's end. */
export function* exchange(socket: NetlinkSocket, bytes: Uint8Array): Generator<Uint8Array> {
  socket.send(bytes);
  for (let datagram = socket.receive(0); datagram !== undefined; datagram = socket.receive(0)) yield datagram;
}
