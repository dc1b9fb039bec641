// The one place where C is called: a table of libc symbols with their prototypes, bound through koffi.
// Everything else in this room speaks TypeScript. Both architectures we ship (amd64, arm64) are LP64, little-endian.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { join } from "node:path";
import { ErrnoError } from "./errno-error.ts";

const { EINTR } = constants.errno;

type Koffi = typeof import("koffi");

const koffi = loadKoffi();
const libc = koffi.load("libc.so.6");

type Fd = number;

/** setns(2). Changes the calling thread only. */
export const setns = bind<(fd: Fd, nstype: number) => number>("int setns(int fd, int nstype)");
/** unshare(2), for a network namespace without a name. Changes the calling thread only. */
export const unshare = bind<(flags: number) => number>("int unshare(int flags)");
/** socket(2). */
export const socket = bind<(domain: number, type: number, protocol: number) => Fd>(
  "int socket(int domain, int type, int protocol)",
);
/** bind(2). */
export const bindSocket = bind<(fd: Fd, address: Uint8Array, length: number) => number>(
  "int bind(int fd, const void *address, uint32_t length)",
);
/** connect(2). */
export const connectSocket = bind<(fd: Fd, address: Uint8Array, length: number) => number>(
  "int connect(int fd, const void *address, uint32_t length)",
);
/** listen(2). */
export const listen = bind<(fd: Fd, backlog: number) => number>("int listen(int fd, int backlog)");
/** accept4(2); null: the peer's address is not asked for. */
export const accept4 = bind<(fd: Fd, address: Uint8Array | null, length: Uint8Array | null, flags: number) => Fd>(
  "int accept4(int fd, void *address, void *length, int flags)",
);
/** getsockname(2). */
export const getsockname = bind<(fd: Fd, address: Uint8Array, length: Uint8Array) => number>(
  "int getsockname(int fd, void *address, void *length)",
);
/** ioctl(2) for requests without an argument. */
export const ioctl = bind<(fd: Fd, request: bigint) => number>("int ioctl(int fd, uint64_t request)");
/** getsockopt(2). */
export const getsockopt = bind<(fd: Fd, level: number, name: number, value: Uint8Array, length: Uint8Array) => number>(
  "int getsockopt(int fd, int level, int name, void *value, void *length)",
);
/** setsockopt(2). */
export const setsockopt = bind<(fd: Fd, level: number, name: number, value: Uint8Array, length: number) => number>(
  "int setsockopt(int fd, int level, int name, const void *value, uint32_t length)",
);
/** send(2). */
export const send = bind<(fd: Fd, bytes: Uint8Array, length: number, flags: number) => number>(
  "int64_t send(int fd, const void *bytes, uint64_t length, int flags)",
);
/** recv(2). */
export const recv = bind<(fd: Fd, bytes: Uint8Array, length: number, flags: number) => number>(
  "int64_t recv(int fd, void *bytes, uint64_t length, int flags)",
);
/** recvfrom(2). */
export const recvfrom = bind<
  (fd: Fd, bytes: Uint8Array, length: number, flags: number, address: Uint8Array, addressLength: Uint8Array) => number
>("int64_t recvfrom(int fd, void *bytes, uint64_t length, int flags, void *address, void *address_length)");
/** sendmsg(2); the header is laid out by message-header.ts. */
export const sendmsg = bind<(fd: Fd, header: Uint8Array, flags: number) => number>(
  "int64_t sendmsg(int fd, const void *header, int flags)",
);
/** recvmsg(2); the header is laid out by message-header.ts. */
export const recvmsg = bind<(fd: Fd, header: Uint8Array, flags: number) => number>(
  "int64_t recvmsg(int fd, void *header, int flags)",
);
/** close(2), for descriptors Node does not know of. */
export const closeFd = bind<(fd: Fd) => number>("int close(int fd)");
/** epoll_create1(2). */
export const epollCreate = bind<(flags: number) => Fd>("int epoll_create1(int flags)");
/** epoll_ctl(2). */
export const epollCtl = bind<(epoll: Fd, operation: number, fd: Fd, event: Uint8Array | null) => number>(
  "int epoll_ctl(int epoll, int operation, int fd, void *event)",
);
/** eventfd(2). */
export const eventfd = bind<(initial: number, flags: number) => Fd>("int eventfd(unsigned int initial, int flags)");
/** write(2), for the eventfd. */
export const write = bind<(fd: Fd, bytes: Uint8Array, length: number) => number>(
  "int64_t write(int fd, const void *bytes, uint64_t length)",
);

/** madvise(2), addresses as numbers: it is told about mappings, not about buffers of ours. */
export const madvise = bind<(address: bigint, length: bigint, advice: number) => number>(
  "int madvise(uintptr_t address, uint64_t length, int advice)",
);

/** malloc_trim(3), of glibc: gives whole free pages back. */
export const mallocTrim = bind<(pad: bigint) => number>("int malloc_trim(uint64_t pad)");

/** lgetxattr(2): of the file itself, never of what a symlink leads to. */
export const lgetxattr = bind<(path: string, name: string, value: Uint8Array, size: number) => number>(
  "int64_t lgetxattr(const char *path, const char *name, void *value, uint64_t size)",
);
/** lsetxattr(2). */
export const lsetxattr = bind<(path: string, name: string, value: Uint8Array, size: number, flags: number) => number>(
  "int lsetxattr(const char *path, const char *name, const void *value, uint64_t size, int flags)",
);

/** renameat2(2). */
export const renameat2 = bind<(fromDir: Fd, from: string, toDir: Fd, to: string, flags: number) => number>(
  "int renameat2(int fromdir, const char *from, int todir, const char *to, unsigned int flags)",
);

const epollWaitSymbol = libc.func("int epoll_wait(int epoll, void *events, int capacity, int timeout)");

/** epoll_wait(2) on a libuv pool thread. Resolves with the number of events; a negative number means it failed (EINTR). */
export function epollWait(epoll: Fd, events: Uint8Array, capacity: number, timeoutMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    epollWaitSymbol.async(epoll, events, capacity, timeoutMs, (error: unknown, count: number) =>
      error ? reject(error) : resolve(count),
    );
  });
}

/** Address of the first byte of `bytes`, for structures that point at others. The caller keeps `bytes` alive. */
export function addressOf(bytes: Uint8Array): bigint {
  return koffi.address(bytes);
}

/** The errno of the last synchronous call on this thread. */
export function lastErrno(): number {
  return koffi.errno();
}

/** Repeats `call` on EINTR and throws on any other failure.
 * @throws {ErrnoError} with `detail` as the action, phrased after "Cannot ". */
export function checked(syscall: string, detail: string, call: () => number): number {
  for (let attempt = 0; ; attempt++) {
    const result = call();
    if (result >= 0) return result;
    const errno = koffi.errno();
    if (errno !== EINTR || attempt >= 100) throw new ErrnoError(syscall, errno, detail);
  }
}

function bind<F>(prototype: string): F {
  return libc.func(prototype) as F;
}

/** koffi's native module lies beside the bundle in the image, and in node_modules in a checkout. */
function loadKoffi(): Koffi {
  const require = createRequire(import.meta.url);
  const beside = join(import.meta.dirname, "koffi.node");
  if (existsSync(beside)) return require(beside) as Koffi;
  return require(`@koromix/koffi-linux-${process.arch}`) as Koffi;
}
