// The error of every failed system call made by this room.
import { getSystemErrorName } from "node:util";

/** A failed system call: `syscall` as in the man page, `errno` positive, `code` its name ("ENOENT"). */
export class ErrnoError extends Error {
  override readonly name = "ErrnoError";
  readonly syscall: string;
  readonly errno: number;
  readonly code: string;

  constructor(syscall: string, errno: number, detail: string) {
    const code = nameOf(errno);
    super(`Cannot ${detail}: ${syscall} failed with ${code}`);
    this.syscall = syscall;
    this.errno = errno;
    this.code = code;
  }
}

function nameOf(errno: number): string {
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
}
