// Which network namespace something is. The path it was opened by tells nothing, nor does a descriptor.

/** What makes a namespace the same one, for as long as somebody has it open. */
export interface NetnsId {
  readonly dev: bigint;
  readonly ino: bigint;
}

/** For whoever has to know it again later. Device and inode are used again, often by the very next sandbox; the cookie never is
 * until the kernel ends, but only Linux 5.14 and later have it. */
export interface NetnsIdentity extends NetnsId {
  readonly cookie: bigint | undefined;
}

/** Whether both are the same namespace. */
export function isSameNetns(left: NetnsId, right: NetnsId): boolean {
  return left.dev === right.dev && left.ino === right.ino;
}
