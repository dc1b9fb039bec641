// TCP between network namespaces, non-blocking: what node:net cannot do, because it enters none. One end listens on one address
// of a namespace and tells of each connection where it came from, the other end connects. A socket keeps the namespace it was
// made in, so everything after its creation is done at home. Closing leaves nothing behind, no TIME_WAIT either.
import { constants } from "node:os";
import type { IpAddress } from "../../core/address.ts";
import { ErrnoError } from "./errno-error.ts";
import {
  accept4,
  bindSocket,
  checked,
  closeFd,
  connectSocket,
  getsockname,
  getsockopt,
  lastErrno,
  listen,
  recv,
  send,
  setsockopt,
  socket,
} from "./libc.ts";
import { runInNetns } from "./netns.ts";
import {
  AF_INET,
  AF_INET6,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "./socket-numbers.ts";

const { EINTR, EAGAIN, ECONNABORTED, ECONNRESET, EINPROGRESS } = constants.errno;

const SO_ERROR = 4;
const SO_LINGER = 13;

const BACKLOG = 16;

/** A connection that was accepted. */
export interface TcpArrival extends Disposable {
  readonly fd: number;
  /** The other end, as this namespace sees it. */
  readonly peer: IpAddress;
  readonly peerPort: number;
  /** See `TcpClient.receive`. */
  receive(buffer: Uint8Array): number | undefined;
}

export interface TcpListener extends Disposable {
  readonly fd: number;
  /** Chosen by the kernel. */
  readonly port: number;
  /** The next waiting connection; undefined: none. @throws {ErrnoError} EMFILE and the like */
  accept(): TcpArrival | undefined;
}

export interface TcpClient extends Disposable {
  readonly fd: number;
  /** Of this end, as its own namespace sees it; 0 when there is none. */
  readonly port: number;
  /** Name of the errno with which connecting failed; undefined: it did not. When the socket is writable that means: connected. */
  error(): string | undefined;
  /** Sends what the socket takes now; false when it took less. @throws {ErrnoError} EPIPE, ECONNRESET */
  send(bytes: Uint8Array): boolean;
  /** Undefined: nothing there now. 0: the other end has closed, or broken off. */
  receive(buffer: Uint8Array): number | undefined;
}

/** Listens on `address` alone, on a free port.
 * @throws {ErrnoError} EADDRNOTAVAIL where the namespace does not have the address, or not yet */
export function listenTcp(netnsFd: number, address: IpAddress): TcpListener {
  const { family } = address;
  const fd = openTcp(netnsFd, family);
  try {
    const own = encodeSocketAddress(address, 0);
    checked("bind", "bind a TCP socket", () => bindSocket(fd, own, own.length));
    checked("listen", "listen on a TCP port", () => listen(fd, BACKLOG));
    const port = ownPort(fd);
    return { fd, port, accept: () => acceptTcp(fd, family), [Symbol.dispose]: closing(fd) };
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

/** Begins to connect.
 * @throws {ErrnoError} ENETUNREACH, EHOSTUNREACH, EPERM and the like, when that is known at once */
export function connectTcp(netnsFd: number, address: IpAddress, port: number): TcpClient {
  const fd = openTcp(netnsFd, address.family);
  try {
    const to = encodeSocketAddress(address, port);
    checked("connect", "connect by TCP", () => {
      const result = connectSocket(fd, to, to.length);
      return result < 0 && lastErrno() === EINPROGRESS ? 0 : result;
    });
    return {
      fd,
      port: ownPort(fd),
      error: () => pendingError(fd),
      send(bytes) {
        const sent = checked("send", "send by TCP", () => {
          const result = send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
          return result < 0 && lastErrno() === EAGAIN ? 0 : result;
        });
        return sent === bytes.length;
      },
      receive: (buffer) => receiveTcp(fd, buffer),
      [Symbol.dispose]: closing(fd),
    };
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

function openTcp(netnsFd: number, family: 4 | 6): number {
  const domain = family === 4 ? AF_INET : AF_INET6;
  const fd = runInNetns(netnsFd, () =>
    checked("socket", "open a TCP socket", () => socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
  );
  resetAtClose(fd);
  return fd;
}

function acceptTcp(listener: number, family: 4 | 6): TcpArrival | undefined {
  const address = new Uint8Array(28);
  const length = new Uint8Array(4);
  for (;;) {
    new DataView(length.buffer).setUint32(0, address.length, true);
    const fd = accept4(listener, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      resetAtClose(fd);
      return {
        fd,
        peer: decodeAddress(address, family),
        peerPort: portOf(address),
        receive: (buffer) => receiveTcp(fd, buffer),
        [Symbol.dispose]: closing(fd),
      };
    }
    const errno = lastErrno();
    if (errno === EAGAIN) return undefined;
    if (errno !== EINTR && errno !== ECONNABORTED) throw new ErrnoError("accept4", errno, "take a TCP connection");
  }
}

function receiveTcp(fd: number, buffer: Uint8Array): number | undefined {
  for (;;) {
    const length = recv(fd, buffer, buffer.length, MSG_DONTWAIT);
    if (length >= 0) return length;
    const errno = lastErrno();
    if (errno === EAGAIN) return undefined;
    if (errno === ECONNRESET) return 0;
    if (errno !== EINTR) throw new ErrnoError("recv", errno, "receive by TCP");
  }
}

function ownPort(fd: number): number {
  const address = new Uint8Array(28);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, address.length, true);
  checked("getsockname", "read a socket's port", () => getsockname(fd, address, length));
  return portOf(address);
}

function portOf(socketAddress: Uint8Array): number {
  return new DataView(socketAddress.buffer).getUint16(2, false);
}

function pendingError(fd: number): string | undefined {
  const value = new Uint8Array(4);
  const length = new Uint8Array(new Uint32Array([4]).buffer);
  checked("getsockopt", "read a socket's error", () => getsockopt(fd, SOL_SOCKET, SO_ERROR, value, length));
  const errno = new DataView(value.buffer).getInt32(0, true);
  return errno === 0 ? undefined : new ErrnoError("connect", errno, "connect by TCP").code;
}

/** struct linger { int l_onoff, l_linger; }: a reset instead of TIME_WAIT. */
function resetAtClose(fd: number): void {
  setsockopt(fd, SOL_SOCKET, SO_LINGER, new Uint8Array(new Int32Array([1, 0]).buffer), 8);
}

/** struct sockaddr_in { family; be16 port; be32 addr; zero[8] }, sockaddr_in6 { family; be16 port; flowinfo; addr[16]; scope }. */
function encodeSocketAddress({ family, bytes }: IpAddress, port: number): Uint8Array {
  const address = new Uint8Array(family === 4 ? 16 : 28);
  const view = new DataView(address.buffer);
  view.setUint16(0, family === 4 ? AF_INET : AF_INET6, true);
  view.setUint16(2, port, false);
  address.set(bytes, addressAt(family));
  return address;
}

function decodeAddress(address: Uint8Array, family: 4 | 6): IpAddress {
  const at = addressAt(family);
  return { family, bytes: address.slice(at, at + (family === 4 ? 4 : 16)) };
}

function addressAt(family: 4 | 6): number {
  return family === 4 ? 4 : 8;
}

function closing(fd: number): () => void {
  let isOpen = true;
  return () => {
    if (!isOpen) return;
    isOpen = false;
    closeFd(fd);
  };
}
