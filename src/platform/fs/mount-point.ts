/**
 * Where a path of this container comes from: the mount it lies on, and what that is called on the host.
 */
import { readFile, realpath } from "node:fs/promises";
import { mountOf, parseMountInfo } from "../../core/mount-info.ts";

export type MountPoint = {
  /** Where it is mounted here. */
  readonly path: string;
  /** The folder of the mounted file system that is shown there: a host path where that file system is the host's root. */
  readonly source: string;
  /** The rest of the path, "" or with a slash in front. */
  readonly below: string;
};

/** Undefined when it cannot be told. `path` is absolute. */
export async function findMountPoint(path: string, read = readMountInfo): Promise<MountPoint | undefined> {
  try {
    return mountPointIn(await read(), await realpath(path).catch(() => path));
  } catch {
    return undefined;
  }
}

/**
 * What a folder of ours may be called on the host: by our convention (`/host` in front, upstream const.go:99@1.30.3), and
 * by what was mounted.
 */
export async function hostNamesOf(folder: string, read = readMountInfo): Promise<readonly string[]> {
  const mount = await findMountPoint(folder, read);
  const names = folder.startsWith(`${HOST_ROOT}/`) ? [folder.slice(HOST_ROOT.length)] : [];
  if (mount === undefined || mount.path === "/") return names;
  const source = mount.source === "/" ? "" : mount.source;
  return [...new Set([...names, `${source}${mount.below}`])].filter((name) => name !== "");
}

const HOST_ROOT = "/host";

function mountPointIn(mountInfo: string, path: string): MountPoint | undefined {
  const mount = mountOf(parseMountInfo(mountInfo), path);
  if (mount === undefined) return undefined;
  const { point, root } = mount;
  return { path: point, source: root, below: point === "/" ? path : path.slice(point.length) };
}

async function readMountInfo(): Promise<string> {
  return await readFile("/proc/self/mountinfo", "utf8");
}
