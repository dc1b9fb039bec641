// Node and koffi's binary, each a layer of its own: they stay on a node when only the agent changes.
import type { TarEntry } from "../archive/read-tar.ts";
import { stripElf } from "../elf/strip-elf.ts";
import { type FileTree, TreeBuilder } from "../tree/file-tree.ts";
import { PARTS } from "./agent.ts";

/** Node without its symbol table: 33 MB less, and nothing of it is read at run time. */
export function buildNode(packageName: string, files: readonly TarEntry[]): FileTree {
  const tree = new TreeBuilder();
  const origin = `npm:${packageName}`;
  tree.file(`${PARTS}/node`, stripElf(contentOf(files, "package/bin/node", packageName)), { mode: 0o755, origin });
  tree.file("usr/share/doc/node/LICENSE", contentOf(files, "package/LICENSE", packageName), { origin });
  return tree.finish();
}

/** `licence` is koffi's, which the package of the binary alone does not have. */
export function buildKoffi(
  packageName: string,
  files: readonly TarEntry[],
  binary: string,
  licence: Uint8Array,
): FileTree {
  const tree = new TreeBuilder();
  const origin = `npm:${packageName}`;
  tree.file(`${PARTS}/koffi.node`, contentOf(files, binary, packageName), { mode: 0o755, origin });
  tree.file("usr/share/doc/koffi/LICENSE", licence, { origin });
  return tree.finish();
}

function contentOf(files: readonly TarEntry[], path: string, packageName: string): Uint8Array {
  const found = files.find((entry) => entry.path === path && entry.kind === "file");
  if (found === undefined) throw new Error(`Cannot make a layer of ${packageName}: it has no ${path}`);
  return found.content;
}
