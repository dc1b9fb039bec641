/**
 * Looks at the host's CNI folders and makes the view on which core decides. Reads only. Keeps in memory since when each
 * file is as it is, and which plugin files were already compared, so that looking often is cheap.
 */

import type { ConfFile } from "../../core/cni/choose-conflist.ts";
import { isConfFileName, MAX_CONFLIST_BYTES } from "../../core/cni/conflist.ts";
import { BACKUP_SUFFIX, type BinDirView, type HostView, type NetDirView } from "../../core/cni/host-view.ts";
import { PLUGIN_TYPE } from "../../core/cni/plugin-entry.ts";
import { fileErrorCode, fileErrorReason } from "../../core/file-error.ts";
import { isSameBytes } from "../../core/same-bytes.ts";
import type { Clock } from "../../platform/clock.ts";
import type { HostFiles } from "../../platform/fs/host-files.ts";
import type { FileContent } from "../../platform/fs/read-bounded.ts";

/** Largest plugin accepted as ours; upstream's has 52 MB and needs no comparing. */
const MAX_PLUGIN_BYTES = 8 << 20;

/** Paths of which the first that is there is meant, looked for anew every time; at least one. */
export type FolderCandidates = readonly string[];

/** Where things are, as seen from the agent's mount namespace. */
export type HostFolders = {
  readonly netDir: FolderCandidates;
  readonly binDirs: readonly FolderCandidates[];
  /** The plugin to be installed: its folder in the image, and there `istio-cni`. */
  readonly pluginSourceDir: string;
};

export type HostObserver = {
  /** Never rejects: what cannot be seen is said in the view. */
  observe(): Promise<HostView>;
  /** The plugin's bytes as of the last `observe`, for copying. */
  pluginBytes(): Uint8Array | undefined;
};

export function createHostObserver(
  deps: { readonly files: HostFiles; readonly clock: Clock },
  folders: HostFolders,
): HostObserver {
  const { files, clock } = deps;
  const seenSince = new Map<string, { readonly stamp: string; readonly sinceMs: number }>();
  const compared = new Map<string, { readonly key: string; readonly isSame: boolean }>();
  let source: FileContent | undefined;

  const unchangedMs = (name: string, stamp: string): number => {
    const nowMs = clock.nowMs();
    const seen = seenSince.get(name);
    const sinceMs = seen?.stamp === stamp ? seen.sinceMs : nowMs;
    seenSince.set(name, { stamp, sinceMs });
    return nowMs - sinceMs;
  };

  const observeConf = async (netDir: string, name: string): Promise<ConfFile | undefined> => {
    try {
      const { bytes, stamp } = await files.read(netDir, name, { maxBytes: MAX_CONFLIST_BYTES, follow: true });
      return { name, content: { bytes }, unchangedMs: unchangedMs(name, stamp) };
    } catch (error) {
      if (fileErrorCode(error) === "not-found") return undefined;
      const reason = fileErrorReason(error);
      // What is no file, or leads to none, is nothing to a runtime either.
      const isUnusable = fileErrorCode(error) === "dangling" || fileErrorCode(error) === "not-a-file";
      const content = isUnusable ? { unusable: reason } : { unreadable: reason };
      return { name, content, unchangedMs: unchangedMs(name, reason) };
    }
  };

  const observeBackup = async (netDir: string, name: string): Promise<readonly [string, Uint8Array][]> => {
    try {
      return [[name, (await files.read(netDir, name, { maxBytes: MAX_CONFLIST_BYTES, follow: false })).bytes]];
    } catch {
      return [];
    }
  };

  /** The first candidate that is there, with the names in it; else what a person should know. */
  const findFolder = async (what: string, candidates: FolderCandidates) => {
    const [first = "/"] = candidates;
    const missing: string[] = [];
    let reason = "it does not exist";
    for (const path of candidates) {
      try {
        return { path, names: await files.list(path) };
      } catch (error) {
        if (fileErrorCode(error) !== "not-found") {
          return { path, unavailable: `the ${what} ${path} cannot be read: ${fileErrorReason(error)}` };
        }
        if (missing.length === 0) reason = fileErrorReason(error);
        missing.push(path);
      }
    }
    const others = missing.length > 1 ? `, nor ${missing.slice(1).join(", ")}` : "";
    return { path: first, unavailable: `the ${what} ${first} cannot be read: ${reason}${others}` };
  };

  const observeNetDir = async (): Promise<NetDirView> => {
    const folder = await findFolder("CNI configuration folder", folders.netDir);
    if (!("names" in folder)) return folder;
    const { path, names } = folder;
    const confs = await Promise.all(names.filter(isConfFileName).map((name) => observeConf(path, name)));
    const backups = await Promise.all(
      names.filter((name) => name.endsWith(BACKUP_SUFFIX)).map((name) => observeBackup(path, name)),
    );
    for (const name of seenSince.keys()) if (!names.includes(name)) seenSince.delete(name);
    return { path, files: confs.filter((conf) => conf !== undefined), backups: new Map(backups.flat()) };
  };

  const observeBinDir = async (candidates: FolderCandidates): Promise<BinDirView> => {
    const folder = await findFolder("plugin folder", candidates);
    if (!("names" in folder)) return folder;
    const { path } = folder;
    try {
      const found = await files.read(path, PLUGIN_TYPE, { maxBytes: MAX_PLUGIN_BYTES, follow: false });
      const isExecutable = (found.mode & 0o111) === 0o111;
      return { path, plugin: isExecutable && isSource(path, found) ? "current" : "stale" };
    } catch (error) {
      return { path, plugin: fileErrorCode(error) === "not-found" ? "absent" : "stale" };
    }
  };

  const isSource = (path: string, found: FileContent): boolean => {
    if (source === undefined) return false;
    const key = `${source.stamp} ${found.stamp}`;
    const known = compared.get(path);
    if (known?.key === key) return known.isSame;
    const isSame = isSameBytes(source.bytes, found.bytes);
    compared.set(path, { key, isSame });
    return isSame;
  };

  const observeSource = async (): Promise<string | undefined> => {
    try {
      source = await files.read(folders.pluginSourceDir, PLUGIN_TYPE, { maxBytes: MAX_PLUGIN_BYTES, follow: true });
      return source.bytes.length === 0 ? `the plugin ${folders.pluginSourceDir}/${PLUGIN_TYPE} is empty` : undefined;
    } catch (error) {
      source = undefined;
      return `the plugin ${folders.pluginSourceDir}/${PLUGIN_TYPE} cannot be read: ${fileErrorReason(error)}`;
    }
  };

  return {
    async observe() {
      const pluginUnavailable = await observeSource();
      const [netDir, ...binDirs] = await Promise.all([observeNetDir(), ...folders.binDirs.map(observeBinDir)]);
      return { pluginUnavailable, netDir, binDirs };
    },
    pluginBytes: () => source?.bytes,
  };
}
