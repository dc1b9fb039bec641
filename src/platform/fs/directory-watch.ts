/**
 * Tells when something in one of a few folders changes, by inotify on the folders themselves, so that a file that is
 * not there yet, is renamed or replaced is noticed too. What changed is not told: the reader looks at everything anew.
 * Folders that are missing, and systems without free inotify watches, are why the caller always gives a time limit.
 */

import { type BigIntStats, type FSWatcher, statSync, watch } from "node:fs";
import { dirname } from "node:path";
import { messageOf } from "../../core/error-message.ts";

export interface DirectoryWatch {
  /**
   * Watches every folder that is there now; one that was missing or was replaced since is taken up again, and of one that
   * is missing the nearest folder above it that is there. To be called before looking at the folders: what happens after
   * this call makes the next `wait` end.
   */
  arm(): void;
  /** Resolves on a change since the last `arm`, after `timeoutMs`, or when the signal aborts; never rejects. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<"changed" | "timeout" | "aborted">;
  /** Folders that are not watched, with the reason; changes there are seen only by looking from time to time. */
  unwatched(): ReadonlyMap<string, string>;
  [Symbol.dispose](): void;
}

type Watched = { readonly watcher: FSWatcher; readonly identity: string };

/** Nothing is watched before the first `arm`. The owner disposes it. */
export function createDirectoryWatch(folders: readonly string[]): DirectoryWatch {
  const watched = new Map<string, Watched>();
  const failures = new Map<string, string>();
  let hasChanged = false;
  let wake: (() => void) | undefined;

  const changed = (): void => {
    hasChanged = true;
    wake?.();
  };
  const forget = (folder: string): void => {
    watched.get(folder)?.watcher.close();
    watched.delete(folder);
  };
  const follow = (folder: string, at: string): void => {
    const identity = identityOf(statSync(at, { bigint: true }));
    if (watched.get(folder)?.identity === identity) return;
    forget(folder);
    const watcher = watch(at, { persistent: false }, changed);
    watcher.on("error", () => {
      forget(folder);
      changed();
    });
    watched.set(folder, { watcher, identity });
  };
  const armOne = (folder: string): void => {
    try {
      follow(folder, folder);
      failures.delete(folder);
    } catch (error) {
      failures.set(folder, messageOf(error));
      try {
        follow(folder, nearestAbove(folder));
      } catch {
        forget(folder);
      }
    }
  };

  return {
    arm() {
      hasChanged = false;
      for (const folder of folders) armOne(folder);
    },
    async wait(timeoutMs, signal) {
      if (signal.aborted) return "aborted";
      if (hasChanged) return "changed";
      const { promise, resolve } = Promise.withResolvers<"changed" | "timeout" | "aborted">();
      const timer = setTimeout(() => resolve("timeout"), timeoutMs);
      const abort = (): void => resolve("aborted");
      signal.addEventListener("abort", abort, { once: true });
      wake = () => resolve("changed");
      try {
        return await promise;
      } finally {
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
        wake = undefined;
      }
    },
    unwatched: () => failures,
    [Symbol.dispose]() {
      for (const folder of watched.keys()) forget(folder);
    },
  };
}

function nearestAbove(folder: string): string {
  let above = dirname(folder);
  while (statSync(above, { throwIfNoEntry: false })?.isDirectory() !== true && above !== dirname(above)) {
    above = dirname(above);
  }
  return above;
}

/** A folder made anew gets the number of the one that has just been removed on ext4, but not its birth. */
function identityOf({ dev, ino, birthtimeNs }: BigIntStats): string {
  return [dev, ino, birthtimeNs].join(":");
}
