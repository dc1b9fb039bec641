/**
 * What services may know of a failed file operation without importing the room that made it: its code and its reason.
 */
import { messageOf } from "../../core/error-message.ts";
import type { FileErrorCode } from "../../platform/fs/file-error.ts";

/** The code of a FileError; undefined for any other failure. */
export function fileErrorCode(error: unknown): FileErrorCode | undefined {
  return isFileError(error) ? error.code : undefined;
}

/** A clause that completes "<file>: …". */
export function fileErrorReason(error: unknown): string {
  if (isFileError(error)) return error.reason;
  return messageOf(error);
}

function isFileError(error: unknown): error is { readonly code: FileErrorCode; readonly reason: string } {
  return error instanceof Error && error.name === "FileError" && "reason" in error && "code" in error;
}
