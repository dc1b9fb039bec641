// What is compiled into executables that Debian did not build, and the Debian packages whose changelogs tell of it.
import { npmInputs } from "../inputs/npm-packages.ts";

/** The musl of the pinned Zig, with which launcher and plugin are linked. */
export const MUSL_VERSION = "1.2.5";

export interface LinkedPart {
  /** As findings name it: what it is in, and what it is. */
  readonly component: string;
  readonly version: string;
  /** A binary package of the Debian source that has the same upstream; undefined where Debian has none. */
  readonly debianPackage: string | undefined;
}

/** By the names in `process.versions`. */
const DEBIAN_PACKAGES: Readonly<Record<string, string>> = {
  acorn: "node-acorn",
  ada: "libada-url-dev",
  ares: "libcares2",
  brotli: "libbrotli1",
  icu: "icu-devtools",
  libffi: "libffi8",
  llhttp: "libllhttp-dev",
  nghttp2: "libnghttp2-14",
  openssl: "openssl-provider-fips",
  simdjson: "libsimdjson-dev",
  simdutf: "libsimdutf-dev",
  sqlite: "libsqlite3-0",
  undici: "node-undici",
  uv: "libuv1t64",
  zlib: "zlib1g",
  zstd: "libzstd1",
};

/** Names in `process.versions` that are Node itself, or numbers of interfaces. */
export const NO_PARTS: ReadonlySet<string> = new Set(["node", "modules", "napi"]);

export function listLinkedParts(
  versions: Readonly<Record<string, string | undefined>> = process.versions,
): LinkedPart[] {
  const parts = Object.entries(versions).flatMap(([name, version]) =>
    version === undefined || version === "" || NO_PARTS.has(name)
      ? []
      : [{ component: `node/${name}`, version: cleanVersion(version), debianPackage: DEBIAN_PACKAGES[name] }],
  );
  return [
    { component: "node/node", version: npmInputs("amd64").node.version, debianPackage: "nodejs" },
    ...parts,
    { component: "own/musl", version: MUSL_VERSION, debianPackage: "musl" },
  ];
}

/** Without what Node's makers add to tell which commit it was. */
export function cleanVersion(version: string): string {
  return version.replace(/^([\d.]*\d).*$/, "$1");
}
