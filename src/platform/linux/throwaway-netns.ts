// A network namespace that nobody uses, for trying what a kernel can do. It is gone when its descriptor is closed.
import { ErrnoError } from "./errno-error.ts";
import { lastErrno, unshare } from "./libc.ts";
import { type NetnsHandle, openNetns, runInNetns } from "./netns.ts";

const CLONE_NEWNET = 0x40000000;

/** Makes one. The caller owns the handle. @throws {ErrnoError} EPERM without CAP_SYS_ADMIN, ENOSPC at the limit. */
export function createThrowawayNetns(): NetnsHandle {
  const home = openNetns("/proc/thread-self/ns/net");
  try {
    return runInNetns(home.fd, () => {
      if (unshare(CLONE_NEWNET) !== 0) throw new ErrnoError("unshare", lastErrno(), "make a network namespace");
      return openNetns("/proc/thread-self/ns/net");
    });
  } finally {
    home[Symbol.dispose]();
  }
}
