// Which Debian packages go into which image, by name. The lock has their versions; debian/runtime-files.ts tells which
// files of the runtime's are taken.
import type { PackageSet } from "./inputs/lock.ts";

/** `exact`: these and no other. `withDependencies`: these and what apt takes with them, recommendations left out. */
export const WANTED_PACKAGES: Readonly<
  Record<PackageSet, { readonly names: readonly string[]; readonly dependencies: "exact" | "withDependencies" }>
> = {
  // Everything an executable of the image is linked with, and nothing that only a maintainer script would need.
  runtime: {
    dependencies: "exact",
    names: [
      "base-files",
      "ca-certificates",
      "gcc-14-base",
      "iptables",
      "libatomic1",
      "libc6",
      "libgcc-s1",
      "libip4tc2",
      "libip6tc2",
      "libmnl0",
      "libnetfilter-conntrack3",
      "libnfnetlink0",
      "libnftnl11",
      "libstdc++6",
      "libxtables12",
      "netbase",
      "tini",
    ],
  },
  fips: { dependencies: "exact", names: ["openssl-provider-fips"] },
  // In no image: checks their signatures as anybody would.
  test: { dependencies: "exact", names: ["cosign"] },
  // The hardened catalogue's list for a dev image, and what looking at a node's network takes.
  dev: {
    dependencies: "withDependencies",
    names: [
      ...[
        "apt",
        "base-files",
        "base-passwd",
        "bash",
        "ca-certificates",
        "coreutils",
        "dash",
        "debianutils",
        "diffutils",
      ],
      ...[
        "dpkg",
        "findutils",
        "grep",
        "gzip",
        "hostname",
        "iproute2",
        "iptables",
        "libatomic1",
        "libc-bin",
        "libstdc++6",
      ],
      ...["login", "mawk", "netbase", "nftables", "passwd", "perl-base", "procps", "sed", "tar", "tini", "util-linux"],
    ],
  },
};
