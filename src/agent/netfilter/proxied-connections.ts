// Who in a namespace still talks to its proxy: connections that the proxy accepted there and has not finished. The kernel is
// asked for sockets, not for conntrack entries: those outlive their connections by minutes.
import { FAMILIES } from "../../core/address.ts";
import {
  decodeTcpConnections,
  encodeGetTcpConnections,
  SOCK_DIAG_PROTOCOL,
  TCP_STATE,
} from "../../core/netlink/inet-diag.ts";
import { KernelRefusalError } from "../../core/netlink/reply.ts";
import { PROXY_PORTS } from "../../core/policy/backend-drain.ts";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";
import { exchange } from "./netlink-conversation.ts";

/** TCP_LAST_ACK and TCP_CLOSING (net/tcp_states.h). */
const ENDING = [9, 11];
/** All that has still something to send or to hear; whoever only waits (TIME_WAIT) has not. */
const STATES = [...Object.values(TCP_STATE), ...ENDING];
const EAFNOSUPPORT = 97;
const ENOENT = 2;

/** How many connections there are; undefined: this kernel does not tell (no inet_diag). Connections that TPROXY took are
 * accepted at their own ports and not counted. @throws {KernelRefusalError} */
export function countProxiedConnections(
  openNetlink: (protocol: number, netnsFd: number) => NetlinkSocket,
  netnsFd: number,
): number | undefined {
  using socket = openNetlink(SOCK_DIAG_PROTOCOL, netnsFd);
  let count = 0;
  for (const family of FAMILIES) {
    for (const localPort of PROXY_PORTS) {
      try {
        const request = encodeGetTcpConnections(family, { localPort, states: STATES });
        count += decodeTcpConnections(family, exchange(socket, request)).length;
      } catch (error) {
        if (!(error instanceof KernelRefusalError)) throw error;
        if (error.refusal.errno === ENOENT) return undefined;
        // A kernel without the family has no connections of it.
        if (error.refusal.errno !== EAFNOSUPPORT) throw error;
      }
    }
  }
  return count;
}
