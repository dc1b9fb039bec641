// How a folder is, without touching it: where its symlinks lead, whether we may write, how much room there is.
import { constants, watch } from "node:fs";
import { access, realpath, stat, statfs } from "node:fs/promises";

export interface FolderLook {
  readonly realPath: string;
  readonly isFolder: boolean;
  readonly isWritable: boolean;
}

export interface FolderSpace {
  readonly freeBytes: number;
  readonly freeInodes: number;
  /** 0 on file systems that do not count inodes. */
  readonly totalInodes: number;
}

/** Rejects with the system's error when it is not there or may not be looked at. */
export async function lookAtFolder(path: string): Promise<FolderLook> {
  const realPath = await realpath(path);
  const isFolder = (await stat(realPath)).isDirectory();
  // access(2) tells of read-only mounts too.
  const isWritable = await access(realPath, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
  return { realPath, isFolder, isWritable };
}

/** What is free to us; rejects with the system's error. */
export async function lookAtSpace(path: string): Promise<FolderSpace> {
  const { bavail, bsize, ffree, files } = await statfs(path);
  return { freeBytes: bavail * bsize, freeInodes: ffree, totalInodes: files };
}

/** Watches the folder for no time at all. @throws the system's error: EMFILE without a free inotify instance, ENOSPC without
 * a free watch. */
export async function tryWatch(path: string): Promise<void> {
  const watcher = watch(path, { persistent: false });
  await new Promise<void>((resolve, reject) => {
    watcher.once("error", reject);
    setImmediate(resolve);
  }).finally(() => watcher.close());
}
