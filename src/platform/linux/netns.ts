// Entering network namespaces. Only synchronous work may be done inside one: a thread that libuv starts while we are
// inside would stay there for ever (clone(2) copies the namespace of the calling thread), so the pool is warmed first.
import { closeSync, fstatSync, openSync, statSync } from "node:fs";
import type { NetnsId } from "../../core/netns/netns-id.ts";
import { checked, closeFd, ioctl, setns } from "./libc.ts";

const CLONE_NEWNET = 0x40000000;
/** _IO(0xb7, 0x1): opens the owning user namespace (uapi/linux/nsfs.h). */
const NS_GET_USERNS = 0xb701n;

/** An open network namespace. */
export interface NetnsHandle extends NetnsId, Disposable {
  readonly fd: number;
}

/** Opens the namespace file at `path`. The caller owns the handle.
 * @throws {Error} ENOENT and the like, from open(2). */
export function openNetns(path: string): NetnsHandle {
  return adoptNetns(openSync(path, "r"));
}

/** Takes ownership of a descriptor received from elsewhere; closes it when it cannot be used. */
export function adoptNetns(fd: number): NetnsHandle {
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    let open = true;
    return {
      fd,
      dev,
      ino,
      [Symbol.dispose]() {
        if (!open) return;
        open = false;
        closeSync(fd);
      },
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** The identity of an open namespace. */
export function netnsIdOf(fd: number): NetnsId {
  return fstatSync(fd, { bigint: true });
}

/** Ours, which this process never leaves. */
let ourUsers: NetnsId | undefined;

/** Whether the namespace belongs to another user namespace than ours (`hostUsers: false`, rootless runtimes); undefined
 * where the kernel does not tell (before Linux 4.9). Pods' specs can only say what was asked for. */
export function belongsToOtherUsers(fd: number): boolean | undefined {
  const owner = ioctl(fd, NS_GET_USERNS);
  if (owner < 0) return undefined;
  try {
    const theirs = fstatSync(owner, { bigint: true });
    ourUsers ??= statSync("/proc/thread-self/ns/user", { bigint: true });
    return theirs.dev !== ourUsers.dev || theirs.ino !== ourUsers.ino;
  } finally {
    closeFd(owner);
  }
}

/** The identity of the namespace at `path`; undefined where it cannot be looked at. */
export function netnsIdAt(path: string): NetnsId | undefined {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}

let homeFd: number | undefined;
/** Of the namespace that the one thread is in which ever leaves home. */
let hereFd: number | undefined;

/** Runs `action` with the calling thread in the namespace `fd`, then returns to where it was: the process's own, or that of the
 * call around this one. A thread that cannot return would act on a stranger's network, so that ends the process.
 * @throws {ErrnoError} EINVAL when `fd` is no network namespace, EPERM without CAP_SYS_ADMIN; whatever `action` throws. */
export function runInNetns<T>(fd: number, action: () => T): T {
  homeFd ??= openSync("/proc/thread-self/ns/net", "r");
  const before = hereFd ?? homeFd;
  checked("setns", `enter the network namespace behind descriptor ${fd}`, () => setns(fd, CLONE_NEWNET));
  hereFd = fd;
  try {
    return action();
  } finally {
    if (setns(before, CLONE_NEWNET) !== 0) process.abort();
    hereFd = before;
  }
}
