/**
 * Why something with a file could not be done: the one place where errno names become the codes callers ask for.
 */
import { messageOf } from "../../core/error-message.ts";

/**
 * not-found; not-a-file (folder, fifo, device, socket); outside (a symlink that leads out of its folder, to where we cannot
 * see); dangling (a symlink to nothing, for whoever looks); too-large; changed (somebody else was faster); foreign (somebody else could have written it); read-only; no-space;
 * denied; failed (anything else).
 */
export type FileErrorCode =
  | "not-found"
  | "not-a-file"
  | "outside"
  | "dangling"
  | "too-large"
  | "changed"
  | "foreign"
  | "read-only"
  | "no-space"
  | "denied"
  | "failed";

/** `message` is a whole sentence, `reason` the part that completes "<file>: it …". */
export class FileError extends Error {
  override readonly name = "FileError";
  readonly code: FileErrorCode;
  readonly path: string;
  readonly reason: string;

  constructor(code: FileErrorCode, action: string, path: string, reason: string, cause?: unknown) {
    super(`Cannot ${action} ${path}: ${reason}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.path = path;
    this.reason = reason;
  }
}

const CODES: Readonly<Record<string, readonly [FileErrorCode, string]>> = {
  ENOENT: ["not-found", "it does not exist"],
  ENOTDIR: ["not-found", "a part of the path is no folder"],
  EISDIR: ["not-a-file", "it is a folder"],
  ELOOP: ["not-a-file", "it is a symlink"],
  ENXIO: ["not-a-file", "it is a device or socket"],
  EROFS: ["read-only", "the file system is read-only"],
  ENOSPC: ["no-space", "the file system is full"],
  EDQUOT: ["no-space", "the disk quota is used up"],
  EACCES: ["denied", "permission denied"],
  EPERM: ["denied", "operation not permitted"],
};

/** Any failure of a file operation as a FileError; one that is a FileError already stays as it is. */
export function toFileError(error: unknown, action: string, path: string): FileError {
  if (error instanceof FileError) return error;
  const errno = errnoName(error);
  const [code, reason] = (errno === undefined ? undefined : CODES[errno]) ?? ["failed", messageOf(error)];
  return new FileError(code, action, path, reason, error);
}

/** True when `error` is a FileError with one of the codes. */
export function isFileError(error: unknown, ...codes: readonly FileErrorCode[]): error is FileError {
  return error instanceof FileError && codes.includes(error.code);
}

/** "ENOENT" and the like of an error that Node's fs made. */
export function errnoName(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
