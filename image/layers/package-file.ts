// One file of a Debian package into a tree: as the package has it, without any bit that lends somebody's rights.
import type { TarEntry } from "../archive/read-tar.ts";
import type { DebianPackage } from "../debian/read-package.ts";
import type { TreeBuilder, TreeEntry } from "../tree/file-tree.ts";

const SET_ID = 0o6000;

/** @throws {Error} for a hard link to a file that the package does not have. */
export function addPackageFile(tree: TreeBuilder, { files, locked }: DebianPackage, entry: TarEntry): TreeEntry {
  const { path, mode, uid, gid, mtimeSeconds } = entry;
  const base = { path, mode: mode & ~SET_ID, uid, gid, mtimeSeconds, origin: `deb:${locked.name}` };
  const added = makeEntry(base, entry, files);
  tree.add(added);
  return added;
}

function makeEntry(
  base: Omit<Extract<TreeEntry, { kind: "directory" }>, "kind">,
  entry: TarEntry,
  files: readonly TarEntry[],
): TreeEntry {
  if (entry.kind === "directory") return { ...base, kind: "directory" };
  if (entry.kind === "symlink") return { ...base, mode: 0o777, kind: "symlink", target: entry.target };
  if (entry.kind === "file") return { ...base, kind: "file", content: entry.content };
  const original = files.find(({ path, kind }) => kind === "file" && path === entry.target);
  if (original === undefined)
    throw new Error(`Cannot add /${entry.path}: /${entry.target}, which it is a link to, is not there`);
  return { ...base, kind: "file", content: original.content };
}
