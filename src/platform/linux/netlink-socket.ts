// A netlink socket. It keeps the network namespace it was made in, so everything after its creation is done at home. That
// namespace is a pod's: whoever has CAP_NET_ADMIN in it can send netlink too, so who has sent is asked of the kernel.

import { constants } from "node:os";
import { ErrnoError } from "./errno-error.ts";
import { checked, closeFd, connectSocket, lastErrno, recvfrom, send, setsockopt, socket } from "./libc.ts";
import { runInNetns } from "./netns.ts";
import { AF_NETLINK, MSG_DONTWAIT, MSG_TRUNC, SOCK_CLOEXEC, SOCK_RAW, SOL_SOCKET } from "./socket-numbers.ts";

const { EINTR, EAGAIN } = constants.errno;

const SO_SNDBUF = 7;
const SO_SNDBUFFORCE = 32;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;

/** sizeof(struct sockaddr_nl) { u16 family; u16 pad; u32 pid; u32 groups } (linux/netlink.h). */
const ADDRESS_BYTES = 12;
const PORT_ID_AT = 4;
/** The port id of the kernel itself. */
const KERNEL = 0;

/** Largest datagram we take. The kernel fills dumps up to 32 KiB, errors carry at most what we sent. */
const RECEIVE_CAPACITY = 128 * 1024;

/** One conversation with the kernel. The kernel handles a request inside `send`, so its replies can be read at once. */
export interface NetlinkSocket extends Disposable {
  readonly fd: number;
  /** Sends one datagram. @throws {ErrnoError}; Error after the end, as `receive` does. */
  send(bytes: Uint8Array): void;
  /** The next datagram, or undefined when there is none yet: it does not wait. The bytes are the caller's.
   * What anybody but the kernel sent, which a group alone lets through, comes as no bytes: it counts, and says nothing.
   * @throws {ErrnoError} ENOBUFS when messages were lost. */
  receive(): Uint8Array | undefined;
  close(): void;
}

const receiveBuffer = new Uint8Array(RECEIVE_CAPACITY);
const sender = new Uint8Array(ADDRESS_BYTES);
const senderView = new DataView(sender.buffer);
const senderLength = new Uint8Array(4);

/** Opens a netlink socket (`protocol` as in core/netlink/rtnetlink.ts, NETLINK_PROTOCOL) in the namespace behind `netnsFd`, or in our own.
 * @throws {ErrnoError} EPERM, EPROTONOSUPPORT (kernel without that protocol) */
export function openNetlink(protocol: number, netnsFd?: number): NetlinkSocket {
  const open = (): number =>
    checked("socket", `open a netlink socket for protocol ${protocol}`, () =>
      socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol),
    );
  const fd = netnsFd === undefined ? open() : runInNetns(netnsFd, open);
  try {
    connectToKernel(fd);
  } catch (error) {
    closeFd(fd);
    throw error;
  }
  // Extended acks name the failing attribute; capped acks keep refused batches from being echoed whole.
  setOption(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  setOption(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
  let isOpen = true;
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    closeFd(fd);
  };
  /** The number may be another descriptor's by then. */
  const demandOpen = (): void => {
    if (!isOpen) throw new Error("Cannot ask the kernel: the netlink socket has been closed");
  };
  return {
    fd,
    send(bytes) {
      demandOpen();
      if (bytes.length > 64 * 1024) growSendBuffer(fd, bytes.length * 2);
      checked("send", `send ${bytes.length} bytes of netlink`, () => send(fd, bytes, bytes.length, 0));
    },
    receive() {
      demandOpen();
      for (;;) {
        senderLength[0] = ADDRESS_BYTES;
        const length = recvfrom(fd, receiveBuffer, RECEIVE_CAPACITY, MSG_TRUNC | MSG_DONTWAIT, sender, senderLength);
        if (length >= 0 && senderView.getUint32(PORT_ID_AT, true) !== KERNEL) return new Uint8Array(0);
        if (length > RECEIVE_CAPACITY)
          throw new ErrnoError("recvfrom", constants.errno.EMSGSIZE, `take a netlink datagram of ${length} bytes`);
        if (length >= 0) return receiveBuffer.slice(0, length);
        const errno = lastErrno();
        if (errno === EAGAIN) return undefined;
        if (errno !== EINTR) throw new ErrnoError("recvfrom", errno, "read a netlink reply");
      }
    },
    close,
    [Symbol.dispose]: close,
  };
}

/** A connected socket is sent to by its other end alone; everybody else gets ECONNREFUSED (netlink_getsockbyportid of
 * net/netlink/af_netlink.c). That binds it, too: a socket that is not bound has port id 0, which rtnetlink leaves out of its
 * notifications (nlmsg_notify, exclude_portid). */
function connectToKernel(fd: number): void {
  const address = new Uint8Array(ADDRESS_BYTES);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(PORT_ID_AT, KERNEL, true);
  checked("connect", "connect a netlink socket to the kernel", () => connectSocket(fd, address, address.length));
}

/** Subscribes a netlink socket to a multicast group of its protocol. @throws {ErrnoError} EPERM for groups of the privileged. */
export function joinNetlinkGroup(fd: number, group: number): void {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, group, true);
  checked("setsockopt", `join netlink group ${group}`, () =>
    setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, bytes, 4),
  );
}

/** Beyond the limit of net.core.wmem_max only where CAP_NET_ADMIN holds; else as far as that goes. */
function growSendBuffer(fd: number, size: number): void {
  setOption(fd, SOL_SOCKET, SO_SNDBUF, size);
  setOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, size);
}

/** Older kernels lack some options; every one set here is a refinement, so failure is no error. */
function setOption(fd: number, level: number, name: number, value: number): void {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  setsockopt(fd, level, name, bytes, 4);
}
