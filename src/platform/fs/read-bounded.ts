/**
 * Reads files that anybody may have put there: regular files only, of a bounded size, never blocking on a fifo or
 * device. Symlinks are followed by resolve-inside.ts, by `readFollowed` where whoever runs the agent names the file, or not at
 * all.
 */
import { constants } from "node:fs";
import { realpath } from "node:fs/promises";
import { FileError } from "../../core/file-error.ts";
import { type FileCalls, fileCalls } from "./file-calls.ts";
import { toFileError } from "./file-error.ts";

export type FileContent = {
  readonly bytes: Uint8Array;
  /** Permission bits, as in 0o644. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Changes when the file is replaced or written: device, inode, size, times. */
  readonly stamp: string;
};

/** Without O_NONBLOCK opening a fifo would wait for its writer for ever. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Reads the regular file `path`, which itself must be no symlink.
 * @throws FileError not-found, not-a-file, too-large, denied, failed
 */
export async function readBounded(path: string, maxBytes: number, calls: FileCalls = fileCalls): Promise<FileContent> {
  try {
    await using file = await calls.open(path, OPEN_FLAGS);
    const stat = await file.stat({ bigint: true });
    if (stat.isDirectory()) throw new FileError("not-a-file", "read", path, "it is a folder");
    if (!stat.isFile()) throw new FileError("not-a-file", "read", path, "it is no regular file");
    if (stat.size > maxBytes) throw tooLarge(path, maxBytes);
    const bytes = await readAll(file, maxBytes);
    if (bytes.length > maxBytes) throw tooLarge(path, maxBytes);
    const stamp = [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(":");
    return { bytes, mode: Number(stat.mode) & 0o7777, uid: Number(stat.uid), gid: Number(stat.gid), stamp };
  } catch (error) {
    throw toFileError(error, "read", path);
  }
}

/**
 * The same of the file to which `path` leads, by symlinks if it must be: the files of a mounted ConfigMap are symlinks (kubelet,
 * pkg/volume/util/atomic_writer.go).
 * @throws FileError as `readBounded`
 */
export async function readFollowed(path: string, maxBytes: number): Promise<FileContent> {
  const target = await realpath(path).catch((error: unknown) => {
    throw toFileError(error, "read", path);
  });
  return await readBounded(target, maxBytes);
}

/** Reads to the end, or one byte beyond the bound: the file may grow while it is read. */
async function readAll(file: Awaited<ReturnType<FileCalls["open"]>>, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  while (total <= maxBytes) {
    const chunk = Buffer.allocUnsafe(Math.min(64 * 1024, maxBytes + 1 - total));
    const { bytesRead } = await file.read(chunk, 0, chunk.length);
    if (bytesRead === 0) break;
    chunks.push(chunk.subarray(0, bytesRead));
    total += bytesRead;
  }
  return new Uint8Array(Buffer.concat(chunks));
}

function tooLarge(path: string, maxBytes: number): FileError {
  return new FileError("too-large", "read", path, `it is larger than ${maxBytes} bytes`);
}
