/**
 * Why something with a file could not be done, as one coded error, and the questions callers ask of it. Which errno means what
 * is platform/fs/file-error.ts.
 */
import { messageOf } from "./error-message.ts";

/**
 * not-found; not-a-file (folder, fifo, device, socket); outside (a symlink that leads out of its folder, to where we cannot
 * see); dangling (a symlink to nothing, for whoever looks); too-large; changed (somebody else was faster); foreign (somebody
 * else could have written it); read-only; no-space; denied; failed (anything else).
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

/** The code of a FileError; undefined for any other failure. */
export function fileErrorCode(error: unknown): FileErrorCode | undefined {
  return error instanceof FileError ? error.code : undefined;
}

/** A clause that completes "<file>: …". */
export function fileErrorReason(error: unknown): string {
  return error instanceof FileError ? error.reason : messageOf(error);
}
