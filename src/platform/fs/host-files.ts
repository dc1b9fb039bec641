/**
 * Files of a few folders of the host, as services are given them: bounded reads, atomic writes, and a listing. Which
 * files those are and what is in them is no concern of this room.
 */
import type { Dirent } from "node:fs";
import { codeOf } from "../../core/error-message.ts";
import { FileError } from "../../core/file-error.ts";
import { type AtomicWriteDeps, type AtomicWriteOptions, removeDurably, writeAtomically } from "./atomic-write.ts";
import { toFileError } from "./file-error.ts";
import { type FileContent, readBounded } from "./read-bounded.ts";
import { resolveInside } from "./resolve-inside.ts";

/** Most entries of a folder that are looked at. */
export const MAX_FOLDER_ENTRIES = 4096;

/** All methods throw FileError and nothing else. `name` is an entry of the folder, without a slash. */
export interface HostFiles {
  /** Names in the folder, folders left out, in no order; symlinks count whatever they lead to. */
  list(folder: string): Promise<string[]>;
  /** Reads a regular file; `follow` goes through a symlink that stays inside the folder. */
  read(
    folder: string,
    name: string,
    options: { readonly maxBytes: number; readonly follow: boolean },
  ): Promise<FileContent>;
  /** See writeAtomically. */
  write(folder: string, name: string, bytes: Uint8Array, options: AtomicWriteOptions): Promise<void>;
  /** See removeDurably. */
  remove(folder: string, name: string, expected: Uint8Array | "any"): Promise<void>;
  /** Removes a folder that is empty; none there is success, and so is one that is not empty: it stays. */
  removeEmptyFolder(path: string): Promise<void>;
}

/** The real ones. */
export function createHostFiles(deps: AtomicWriteDeps): HostFiles {
  const { calls, hostNamesOf } = deps;
  return {
    async list(folder) {
      const entries: Dirent[] = await calls.readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
        throw toFileError(error, "list", folder);
      });
      if (entries.length > MAX_FOLDER_ENTRIES) {
        throw new FileError(
          "too-large",
          "list",
          folder,
          `it has ${entries.length} entries, accepted are ${MAX_FOLDER_ENTRIES}`,
        );
      }
      return entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name);
    },
    async read(folder, name, { maxBytes, follow }) {
      const path = follow ? await resolveInside(folder, name, calls, hostNamesOf) : `${folder}/${name}`;
      return await readBounded(path, maxBytes, calls);
    },
    write: (folder, name, bytes, options) => writeAtomically(folder, name, bytes, options, deps),
    remove: (folder, name, expected) => removeDurably(folder, name, expected, deps),
    async removeEmptyFolder(path) {
      try {
        await calls.rmdir(path);
      } catch (error) {
        const failure = toFileError(error, "remove", path);
        if (failure.code !== "not-found" && codeOf(error) !== "ENOTEMPTY") throw failure;
      }
    },
  };
}
