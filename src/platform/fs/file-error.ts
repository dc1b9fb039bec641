/**
 * The one place where errno names become the codes that callers ask for.
 */
import { codeOf, messageOf } from "../../core/error-message.ts";
import { FileError, type FileErrorCode } from "../../core/file-error.ts";

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
  const [code, reason] = CODES[codeOf(error) ?? ""] ?? ["failed", messageOf(error)];
  return new FileError(code, action, path, reason, error);
}
