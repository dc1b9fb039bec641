// The lowest layer of the runtime images: C library, iptables, tini, certificates, licences. No shell, nothing that
// installs anything, no file that another user could change.
import { renderCaBundle } from "../debian/ca-bundle.ts";
import { renderStatusFolder } from "../debian/package-records.ts";
import type { DebianPackage } from "../debian/read-package.ts";
import { isRuntimeFile } from "../debian/runtime-files.ts";
import { IPTABLES_LINKS, NSSWITCH, RUNTIME_GROUP, RUNTIME_PASSWD, renderShadow } from "../debian/system-files.ts";
import type { Architecture } from "../inputs/lock.ts";
import { type FileTree, TreeBuilder } from "../tree/file-tree.ts";
import { addPackageFile } from "./package-file.ts";

export function buildDebianRuntime(packages: readonly DebianPackage[], architecture: Architecture): FileTree {
  const tree = new TreeBuilder();
  addSelectedPackages(tree, packages, architecture);
  const authorities = packages.find(({ locked }) => locked.name === "ca-certificates");
  tree.file("etc/ssl/certs/ca-certificates.crt", renderCaBundle(authorities?.files ?? []), {
    origin: "deb:ca-certificates",
  });
  tree.file("etc/nsswitch.conf", NSSWITCH);
  tree.file("etc/passwd", RUNTIME_PASSWD);
  tree.file("etc/group", RUNTIME_GROUP);
  tree.file("etc/shadow", renderShadow(RUNTIME_PASSWD), { mode: 0o600 });
  for (const [path, target] of IPTABLES_LINKS) tree.symlink(path, target, "deb:iptables");
  tree.directory("root", 0o700);
  tree.directory("var/log");
  tree.symlink("var/run", "/run");
  return tree.finish();
}

/** The chosen files of packages, with the records that tell scanners of them. */
export function addSelectedPackages(
  tree: TreeBuilder,
  packages: readonly DebianPackage[],
  architecture: Architecture,
): void {
  for (const pkg of packages) {
    const chosen = pkg.files.filter((entry) => isRuntimeFile(pkg.locked.name, entry, architecture));
    const added = chosen.map((entry) => addPackageFile(tree, pkg, entry));
    for (const { path, content } of renderStatusFolder(pkg, added))
      tree.file(path, content, { origin: `deb:${pkg.locked.name}` });
  }
}
