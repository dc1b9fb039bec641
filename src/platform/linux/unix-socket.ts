// Unix sockets with descriptor passing, non-blocking: what node:net cannot do. No framing and no policy here.

import { chmodSync, lstatSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { basename, dirname, join } from "node:path";
import { ErrnoError } from "./errno-error.ts";
import {
  accept4,
  bindSocket,
  checked,
  closeFd,
  connectSocket,
  getsockopt,
  lastErrno,
  listen,
  recvmsg,
  sendmsg,
  socket,
} from "./libc.ts";
import { createMessageHeader } from "./message-header.ts";
import {
  AF_UNIX,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_TRUNC,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from "./socket-numbers.ts";

const { EINTR, EAGAIN } = constants.errno;

const SO_PEERCRED = 17;
/** sizeof(sockaddr_un.sun_path), one byte kept for the terminator. */
const PATH_CAPACITY = 107;
const MAX_DESCRIPTORS = 4;

/** Who is on the other side, as the kernel saw it at connect(2). */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

export interface UnixListener extends Disposable {
  readonly fd: number;
  readonly path: string;
  /** Whether there is anything at the path: this listener's file, or a successor's. */
  isPathTaken(): boolean;
  /** The next waiting connection, or undefined when there is none. @throws {ErrnoError} EMFILE and the like. */
  accept(): UnixConnection | undefined;
  /** Closes; the file is removed unless another listener has taken the path over meanwhile. */
  close(): void;
}

export interface UnixConnection extends Disposable {
  readonly fd: number;
  readonly peer: PeerCredentials;
  /** Reads into `buffer`. Undefined: nothing there now. `length` 0: the peer has closed. The descriptors are the caller's to close.
   * @throws {ErrnoError} ECONNRESET and the like; EMSGSIZE when a packet or its descriptors did not fit. */
  receive(buffer: Uint8Array): { length: number; descriptors: number[] } | undefined;
  /** Sends what the socket takes now and returns the number of bytes, 0 when it is full.
   * @throws {ErrnoError} EPIPE when the peer has gone. */
  send(bytes: Uint8Array, descriptors?: readonly number[]): number;
  close(): void;
}

/** Beside `path` and never longer, so that what fits a socket address fits it here too; the kernel goes on showing this name. */
export function temporaryPath(path: string): string {
  return join(dirname(path), `.${basename(path).slice(0, 4)}${process.pid.toString(36)}`);
}

/** Listens at `path`. The socket is bound beside it and renamed over it, so whoever connects meets the old listener or
 * the new one, never none. Mode is set before anybody can connect, and the folder is made where it is missing.
 * @throws {ErrnoError} EACCES, ENOENT, EROFS …; RangeError when the path does not fit a socket address. */
export function listenUnix(path: string, type: number, options: { mode: number; backlog: number }): UnixListener {
  // Nobody could connect to a longer one.
  socketAddress(path);
  mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
  const temporary = temporaryPath(path);
  rmSync(temporary, { force: true });
  const fd = checked("socket", "make a unix socket", () => socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  try {
    const address = socketAddress(temporary);
    checked("bind", `bind a unix socket at ${path}`, () => bindSocket(fd, address, address.length));
    chmodSync(temporary, options.mode);
    checked("listen", `listen at ${path}`, () => listen(fd, options.backlog));
    renameSync(temporary, path);
  } catch (error) {
    closeFd(fd);
    rmSync(temporary, { force: true });
    throw error;
  }
  const inode = lstatSync(path, { bigint: true }).ino;
  let isOpen = true;
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    if (lstatSync(path, { bigint: true, throwIfNoEntry: false })?.ino === inode) rmSync(path, { force: true });
    closeFd(fd);
  };
  return {
    fd,
    path,
    isPathTaken: () => lstatSync(path, { throwIfNoEntry: false }) !== undefined,
    accept() {
      for (;;) {
        const accepted = accept4(fd, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (accepted >= 0) return ownConnection(accepted);
        const errno = lastErrno();
        if (errno === EAGAIN) return undefined;
        if (errno !== EINTR) throw new ErrnoError("accept4", errno, `take a connection at ${path}`);
      }
    },
    close,
    [Symbol.dispose]: close,
  };
}

/** Connects to the listener at `path`; used by tools and tests.
 * @throws {ErrnoError} ENOENT, ECONNREFUSED, EAGAIN (backlog full) */
export function connectUnix(path: string, type: number): UnixConnection {
  const fd = checked("socket", "make a unix socket", () => socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  try {
    const address = socketAddress(path);
    checked("connect", `connect to ${path}`, () => connectSocket(fd, address, address.length));
  } catch (error) {
    closeFd(fd);
    throw error;
  }
  return ownConnection(fd);
}

/** Takes ownership of a connected socket; closes it when it cannot be used. */
function ownConnection(fd: number): UnixConnection {
  try {
    return wrapConnection(fd);
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

const sharedHeader = createMessageHeader(MAX_DESCRIPTORS);

function wrapConnection(fd: number): UnixConnection {
  let isOpen = true;
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    closeFd(fd);
  };
  return {
    fd,
    peer: peerCredentials(fd),
    receive(buffer) {
      for (;;) {
        sharedHeader.prepareReceive(buffer);
        const length = recvmsg(fd, sharedHeader.bytes, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (length >= 0) {
          const { descriptors, flags } = sharedHeader.received();
          if ((flags & (MSG_TRUNC | MSG_CTRUNC)) === 0) return { length, descriptors };
          for (const descriptor of descriptors) closeFd(descriptor);
          throw new ErrnoError("recvmsg", constants.errno.EMSGSIZE, "take a message that does not fit");
        }
        const errno = lastErrno();
        if (errno === EAGAIN) return undefined;
        if (errno !== EINTR) throw new ErrnoError("recvmsg", errno, "read from a unix socket");
      }
    },
    send(bytes, descriptors = []) {
      for (;;) {
        sharedHeader.prepareSend(bytes, descriptors);
        const sent = sendmsg(fd, sharedHeader.bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) return sent;
        const errno = lastErrno();
        if (errno === EAGAIN) return 0;
        if (errno !== EINTR) throw new ErrnoError("sendmsg", errno, "write to a unix socket");
      }
    },
    close,
    [Symbol.dispose]: close,
  };
}

function peerCredentials(fd: number): PeerCredentials {
  const value = new Uint8Array(12);
  const length = new Uint8Array(new Uint32Array([12]).buffer);
  checked("getsockopt", "ask who is connected", () => getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, length));
  const view = new DataView(value.buffer);
  return { pid: view.getInt32(0, true), uid: view.getUint32(4, true), gid: view.getUint32(8, true) };
}

/** struct sockaddr_un (linux/un.h). */
function socketAddress(path: string): Uint8Array {
  const encoded = new TextEncoder().encode(path);
  if (encoded.length > PATH_CAPACITY || encoded.includes(0)) {
    throw new RangeError(
      `Cannot use ${path} as a socket path: at most ${PATH_CAPACITY} bytes without NUL are accepted`,
    );
  }
  const address = new Uint8Array(2 + encoded.length + 1);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(encoded, 2);
  return address;
}
