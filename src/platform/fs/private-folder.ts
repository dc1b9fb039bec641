/**
 * A folder of small files that are for one program only: it makes the folder, replaces files by rename, and reads only what
 * nobody else can have written. Nothing is synced: the folder lies where nothing outlives the kernel, or where its owner
 * can tell old files from new ones. Files are read and written synchronously, because for such small ones the way through
 * the thread pool takes four times the processor; only listing, which comes first, waits there for a disk that hangs.
 */
import { randomBytes } from "node:crypto";
import fs, { constants, type Stats } from "node:fs";
import { opendir, stat } from "node:fs/promises";
import { FileError } from "../../core/file-error.ts";
import { toFileError } from "./file-error.ts";

/** The calls that are made: the seam at which tests make any of them fail. */
export type PrivateFolderCalls = Pick<
  typeof fs,
  | "chmodSync"
  | "closeSync"
  | "fstatSync"
  | "lstatSync"
  | "mkdirSync"
  | "openSync"
  | "readSync"
  | "renameSync"
  | "unlinkSync"
  | "writeSync"
> & { readonly opendir: typeof opendir; readonly stat: typeof stat };

/** The real ones. */
export const privateFolderCalls: PrivateFolderCalls = { ...fs, opendir, stat };

/** All methods throw FileError and nothing else. `name` is an entry, without a slash. */
export interface PrivateFolder {
  readonly path: string;
  /** Names of entries that are no folders, temporary files of writes that never ended among them, in no order.
   * @throws {FileError} too-large beyond `maxEntries` */
  names(maxEntries: number): Promise<string[]>;
  /** @throws {FileError} not-found, not-a-file, too-large; foreign: somebody else could have written it */
  read(name: string, maxBytes: number): Uint8Array;
  /** Makes the folder where it is not there. */
  write(name: string, bytes: Uint8Array): void;
  /** None there is success. */
  remove(name: string): void;
}

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
/** Bits that let others in. */
const OTHERS = 0o077;
const TEMPORARY = /^\.new-[0-9a-f]{12}$/;
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const CREATE_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** Whether an entry is what a write leaves that was cut short. */
export function isTemporaryName(name: string): boolean {
  return TEMPORARY.test(name);
}

/** Nothing is made before the first `names` or `write`. @param uid whose files count: our own. */
export function createPrivateFolder(
  path: string,
  uid: number,
  calls: PrivateFolderCalls = privateFolderCalls,
): PrivateFolder {
  /** Ours and closed to others afterwards. A symlink or file in its place goes: nobody but root can have put it there. */
  function prepare(): void {
    let found = lookAtFolder();
    if (found !== undefined && !found.isDirectory()) {
      calls.unlinkSync(path);
      found = undefined;
    }
    if (found === undefined) {
      calls.mkdirSync(path, { mode: FOLDER_MODE });
      found = calls.lstatSync(path);
    }
    if (found.uid !== uid) throw new FileError("foreign", "use", path, `it belongs to user ${found.uid}`);
    if ((found.mode & OTHERS) !== 0) calls.chmodSync(path, FOLDER_MODE);
  }

  function lookAtFolder(): Stats | undefined {
    try {
      return calls.lstatSync(path);
    } catch (error) {
      const failure = toFileError(error, "look at", path);
      if (failure.code === "not-found") return undefined;
      throw failure;
    }
  }

  function replace(name: string, bytes: Uint8Array): void {
    const temporary = `${path}/.new-${randomBytes(6).toString("hex")}`;
    try {
      withFile(temporary, CREATE_FLAGS, (fd) => {
        for (let written = 0; written < bytes.length; ) written += calls.writeSync(fd, bytes, written);
      });
      calls.renameSync(temporary, `${path}/${name}`);
    } catch (error) {
      try {
        calls.unlinkSync(temporary);
      } catch {
        // It was never made.
      }
      throw error;
    }
  }

  function readFile(file: string, maxBytes: number): Uint8Array {
    return withFile(file, READ_FLAGS, (fd) => {
      const found = calls.fstatSync(fd);
      if (!found.isFile()) throw new FileError("not-a-file", "read", file, "it is no regular file");
      if (found.uid !== uid || (found.mode & OTHERS) !== 0 || found.nlink !== 1) {
        throw new FileError("foreign", "read", file, "somebody else could have written it");
      }
      if (found.size > maxBytes) throw new FileError("too-large", "read", file, `it is larger than ${maxBytes} bytes`);
      // Renamed into place, it does not grow; should it, what comes later is not read.
      const bytes = new Uint8Array(found.size);
      let length = 0;
      while (length < bytes.length) {
        const count = calls.readSync(fd, bytes, length, bytes.length - length, null);
        if (count === 0) break;
        length += count;
      }
      return bytes.subarray(0, length);
    });
  }

  function withFile<T>(file: string, flags: number, use: (fd: number) => T): T {
    const fd = calls.openSync(file, flags, FILE_MODE);
    try {
      return use(fd);
    } finally {
      calls.closeSync(fd);
    }
  }

  return {
    path,
    async names(maxEntries) {
      try {
        await calls.stat(path).catch(() => undefined);
        prepare();
        const names: string[] = [];
        for await (const entry of await calls.opendir(path)) {
          if (entry.isDirectory()) continue;
          names.push(entry.name);
          if (names.length > maxEntries) {
            throw new FileError("too-large", "list", path, `it has more than ${maxEntries} entries`);
          }
        }
        return names;
      } catch (error) {
        throw toFileError(error, "list", path);
      }
    },
    read(name, maxBytes) {
      const file = `${path}/${name}`;
      try {
        return readFile(file, maxBytes);
      } catch (error) {
        throw toFileError(error, "read", file);
      }
    },
    write(name, bytes) {
      try {
        try {
          replace(name, bytes);
        } catch (error) {
          if (toFileError(error, "write", path).code !== "not-found") throw error;
          prepare();
          replace(name, bytes);
        }
      } catch (error) {
        throw toFileError(error, "write", `${path}/${name}`);
      }
    },
    remove(name) {
      try {
        calls.unlinkSync(`${path}/${name}`);
      } catch (error) {
        const failure = toFileError(error, "remove", `${path}/${name}`);
        if (failure.code !== "not-found") throw failure;
      }
    },
  };
}
