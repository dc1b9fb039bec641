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

/** True when `error` is an ErrnoError with one of the given codes. */
export function isErrno(error: unknown, ...codes: readonly string[]): error is ErrnoError {
  return error instanceof ErrnoError && codes.includes(error.code);
}

function nameOf(errno: number): string {
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
}
