// Which network namespace a descriptor leads to, for whoever has to know it again when the descriptor is long closed.
// Device and inode are free for the next namespace as soon as this one ends; the cookie is never given twice.

import type { NetnsIdentity } from "../../core/netns/netns-id.ts";
import { checked, closeFd, getsockopt, socket } from "./libc.ts";
import { netnsIdOf, runInNetns } from "./netns.ts";
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOL_SOCKET } from "./socket-numbers.ts";

/** asm-generic/socket.h; the number of the namespace that the socket was made in (commit e8b9eab99232). */
const SO_NETNS_COOKIE = 71;

/** Asks the kernel, which takes about 15 µs. @throws {Error} EBADF and the like; {ErrnoError} when the namespace cannot be entered */
export function identifyNetns(fd: number): NetnsIdentity {
  const { dev, ino } = netnsIdOf(fd);
  return { dev, ino, cookie: cookieOf(fd) };
}

function cookieOf(netnsFd: number): bigint | undefined {
  const fd = runInNetns(netnsFd, () =>
    checked("socket", "open a socket in a network namespace", () => socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)),
  );
  try {
    const value = new Uint8Array(8);
    const length = Uint8Array.of(8, 0, 0, 0);
    if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, value, length) !== 0) return undefined;
    return new DataView(value.buffer).getBigUint64(0, true);
  } finally {
    closeFd(fd);
  }
}
