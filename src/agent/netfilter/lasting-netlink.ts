// One netlink socket for each protocol in one namespace, lent to one conversation after the other. Where somebody has deleted
// anything of nf_tables, closing a socket of netfilter waits until the kernel has freed it (nft_rcv_nl_event of
// net/netfilter/nf_tables_api.c): 15 ms in which no pod is answered, so whoever deletes at every pod's end closes none.
import { encodeGetGeneration } from "../../core/netlink/nfnetlink.ts";
import { NETLINK_PROTOCOL } from "../../core/netlink/rtnetlink.ts";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";

type OpenNetlink = (protocol: number, netnsFd: number) => NetlinkSocket;

export interface LastingNetlink extends Disposable {
  /** Lends the socket; closing what is lent ends the loan only. The namespace is the one it was made for.
   * @throws {ErrnoError} as `openNetlink`; Error after the end */
  readonly open: OpenNetlink;
  /** Returns when what was deleted of nf_tables is freed, up to 15 ms later: until then an ipset that a rule looked into counts
   * as looked into. @throws {ErrnoError} */
  settle(): void;
}

/** @param netnsFd has to stay open until the end */
export function createLastingNetlink(openNetlink: OpenNetlink, netnsFd: number): LastingNetlink {
  const sockets = new Map<number, NetlinkSocket>();
  let hasEnded = false;

  /** What fails in the socket itself leaves nobody knows what in it: the next loan is of a new one. */
  function guarded<T>(protocol: number, socket: NetlinkSocket, action: () => T): T {
    try {
      return action();
    } catch (error) {
      if (sockets.get(protocol) === socket) {
        sockets.delete(protocol);
        socket.close();
      }
      throw error;
    }
  }

  return {
    open(protocol) {
      if (hasEnded) throw new Error("Cannot ask the kernel: whoever looked after this network namespace has ended");
      const socket = sockets.get(protocol) ?? openNetlink(protocol, netnsFd);
      sockets.set(protocol, socket);
      // What a conversation that was cut short has left is no answer to the next one.
      guarded(protocol, socket, () => {
        while (socket.receive() !== undefined);
      });
      return {
        fd: socket.fd,
        send: (bytes) => guarded(protocol, socket, () => socket.send(bytes)),
        receive: () => guarded(protocol, socket, () => socket.receive()),
        close() {},
        [Symbol.dispose]() {},
      };
    },
    settle() {
      // The kernel tells nobody of the end of a socket that was never bound, and sending binds it.
      using socket = openNetlink(NETLINK_PROTOCOL.netfilter, netnsFd);
      socket.send(encodeGetGeneration());
    },
    [Symbol.dispose]() {
      hasEnded = true;
      for (const socket of sockets.values()) socket.close();
      sockets.clear();
    },
  };
}
