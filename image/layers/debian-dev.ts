// The lowest layer of the dev images: whole Debian packages with shell, apt and tools, and a dpkg database that says so.
// No maintainer script has run, on any architecture; what they would make and something needs is made here.
import type { TarEntry } from "../archive/read-tar.ts";
import { renderCaBundle } from "../debian/ca-bundle.ts";
import { renderDpkgDatabase } from "../debian/package-records.ts";
import type { DebianPackage } from "../debian/read-package.ts";
import { DEV_LINKS, NON_ROOT, NSSWITCH, renderShadow } from "../debian/system-files.ts";
import { type FileTree, TreeBuilder } from "../tree/file-tree.ts";
import { addPackageFile } from "./package-file.ts";

/** Documentation but for licences and apt's example of its sources. */
const LEFT_OUT =
  /^usr\/share\/(doc\/(?!([^/]+(\/copyright)?$|apt\/examples\/debian\.sources$))|man|info|locale|lintian|bug|gcc|gdb)(\/|$)/;

export function buildDebianDev(packages: readonly DebianPackage[]): FileTree {
  const tree = new TreeBuilder();
  for (const pkg of packages) {
    for (const entry of pkg.files)
      if (entry.path !== "" && !LEFT_OUT.test(entry.path)) addPackageFile(tree, pkg, entry);
  }
  const file = (name: string, path: string): TarEntry => findFile(packages, name, path);
  const text = (entry: TarEntry): string => new TextDecoder().decode(entry.content);
  const users = text(file("base-passwd", "usr/share/base-passwd/passwd.master")).replaceAll("/:*:", ":*:");
  const passwd = `${users.replaceAll(":*:", ":x:")}_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\nnonroot:x:${NON_ROOT}:${NON_ROOT}:nonroot:/:/usr/sbin/nologin\n`;
  tree.file("etc/passwd", passwd);
  tree.file("etc/shadow", renderShadow(passwd), { mode: 0o600 });
  const groups = text(file("base-passwd", "usr/share/base-passwd/group.master"));
  tree.file("etc/group", `${groups.replaceAll(":*:", ":x:")}nonroot:x:${NON_ROOT}:\n`);
  tree.file("etc/nsswitch.conf", NSSWITCH);
  const authorities = packages.find(({ locked }) => locked.name === "ca-certificates");
  tree.file("etc/ssl/certs/ca-certificates.crt", renderCaBundle(authorities?.files ?? []), {
    origin: "deb:ca-certificates",
  });
  // Debian's own sources, from apt's example: where they are is Debian's to say.
  tree.file("etc/apt/sources.list.d/debian.sources", file("apt", "usr/share/doc/apt/examples/debian.sources").content, {
    origin: "deb:apt",
  });
  for (const [path, target] of DEV_LINKS) tree.symlink(path, target);
  for (const [path, target] of [
    ["var/run", "/run"],
    ["var/lock", "/run/lock"],
  ] as const) {
    tree.remove(path);
    tree.symlink(path, target);
  }
  addRecords(tree, packages);
  return tree.finish();
}

/** dpkg's database for exactly these packages. Where a lower layer has one, `added` are those that it does not know. */
export function addRecords(
  tree: TreeBuilder,
  packages: readonly DebianPackage[],
  added: readonly DebianPackage[] = packages,
): void {
  for (const { path, content, mode = 0o644 } of renderDpkgDatabase(packages, added)) tree.file(path, content, { mode });
  for (const name of ["info", "triggers", "updates", "parts", "alternatives"]) tree.directory(`var/lib/dpkg/${name}`);
}

function findFile(packages: readonly DebianPackage[], name: string, path: string): TarEntry {
  const found = packages.find(({ locked }) => locked.name === name)?.files.find((entry) => entry.path === path);
  if (found === undefined) throw new Error(`Cannot make the dev layer: ${name} has no /${path}`);
  return found;
}
