// A second descriptor of a network namespace that somebody else has open, so that each owner closes its own.
import { constants, openSync, statfsSync } from "node:fs";
import { adoptNetns, type NetnsHandle } from "./netns.ts";

/** linux/magic.h */
const NSFS_MAGIC = 0x6e736673;

/** A descriptor that is no namespace. */
export class NotNetnsError extends Error {
  override readonly name = "NotNetnsError";
  readonly code = "NOT_A_NAMESPACE";

  constructor(fd: number) {
    super(`Cannot keep descriptor ${fd} as a network namespace: it is no namespace file`);
  }
}

/** Opens the namespace behind `fd` once more; `fd` stays the caller's. The copy keeps the namespace alive by itself.
 * @throws {NotNetnsError}; {Error} EBADF and the like as ENOENT, EMFILE. */
export function dupNetns(fd: number): NetnsHandle {
  const path = `/proc/self/fd/${fd}`;
  // Asked first: opening anything else, a FIFO for one, could wait for ever.
  if (statfsSync(path).type !== NSFS_MAGIC) throw new NotNetnsError(fd);
  return openNetnsFile(path);
}

/** Opens the namespace file at `path` without ever waiting; what else may lie there is for the caller to tell by identity.
 * @throws {Error} ENOENT and the like, from open(2). */
export function openNetnsFile(path: string): NetnsHandle {
  return adoptNetns(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
}
