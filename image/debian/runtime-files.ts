// Which files of its Debian packages the runtime image has. An allow-list: what a new version adds does not come along
// unseen. Left out above all: anything to change the image with, and name services beyond files and DNS.
import type { TarEntry } from "../archive/read-tar.ts";
import type { Architecture } from "../inputs/lock.ts";

/** Name of the folder below /usr/lib with an architecture's libraries. */
export const TRIPLETS: Readonly<Record<Architecture, string>> = {
  amd64: "x86_64-linux-gnu",
  arm64: "aarch64-linux-gnu",
};

/** `LIB` stands for usr/lib/TRIPLET. Folders come with what is in them; listed are those that are wanted empty. */
const FILES: Readonly<Record<string, readonly RegExp[]>> = {
  "base-files": [
    /^(bin|sbin|lib|lib64)$/,
    /^(dev|proc|run|sys)$/,
    /^etc\/(debian_version|os-release)$/,
    /^usr\/lib\/os-release$/,
    /^usr\/share\/common-licenses\/(Apache-2\.0|Artistic|BSD|GFDL(-1\.[23])?|GPL(-[123])?|LGPL(-2(\.1)?|-3)?)$/,
  ],
  "ca-certificates": [],
  "gcc-14-base": [],
  iptables: [
    /^usr\/sbin\/xtables-(nft|legacy)-multi$/,
    /^usr\/sbin\/ip6?tables-(nft|legacy)(-save|-restore)?$/,
    /^LIB\/xtables\/lib(xt|ipt|ip6t)_\w+\.so$/,
  ],
  libatomic1: [/^LIB\/libatomic\.so/],
  libc6: [
    /^LIB\/ld-linux-[a-z0-9_-]+\.so\.\d$/,
    // The loader's fixed name: lib64 on amd64, lib on arm64.
    /^usr\/lib(64)?\/ld-linux-[a-z0-9_-]+\.so\.\d$/,
    /^LIB\/lib(c|m|dl|pthread|rt|resolv|util)\.so\.\d$/,
    /^LIB\/libnss_(files|dns)\.so\.\d$/,
  ],
  "libgcc-s1": [/^LIB\/libgcc_s\.so/],
  libip4tc2: [/^LIB\/libip4tc\.so/],
  libip6tc2: [/^LIB\/libip6tc\.so/],
  libmnl0: [/^LIB\/libmnl\.so/],
  "libnetfilter-conntrack3": [/^LIB\/libnetfilter_conntrack\.so/],
  libnfnetlink0: [/^LIB\/libnfnetlink\.so/],
  libnftnl11: [/^LIB\/libnftnl\.so/],
  "libstdc++6": [/^LIB\/libstdc\+\+\.so\.\d+(\.\d+)*$/],
  libxtables12: [/^LIB\/libxtables\.so/],
  netbase: [/^etc\/(protocols|services)$/],
  "openssl-provider-fips": [/^LIB\/ossl-modules\/fips\.so$/],
  tini: [/^usr\/bin\/tini$/],
};

/** Whether the runtime image has that file. A licence always comes along: a copyright file, or the link to one's folder.
 * @throws {Error} for a package that has no rule. */
export function isRuntimeFile(packageName: string, entry: TarEntry, architecture: Architecture): boolean {
  const patterns = FILES[packageName];
  if (patterns === undefined)
    throw new Error(`Cannot select files of ${packageName}: image/debian/runtime-files.ts has no rule`);
  if (/^usr\/share\/doc\/[^/]+\/copyright$/.test(entry.path)) return true;
  if (entry.kind === "symlink" && /^usr\/share\/doc\/[^/]+$/.test(entry.path)) return true;
  const library = `usr/lib/${TRIPLETS[architecture]}/`;
  const path = entry.path.startsWith(library) ? `LIB/${entry.path.slice(library.length)}` : entry.path;
  return patterns.some((pattern) => pattern.test(path));
}
