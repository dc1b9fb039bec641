// What an image consists of, as one list that every description is made from: each file belongs to exactly one component.

import type { BuiltImage } from "../assemble-image.ts";
import type { Inputs } from "../build-inputs.ts";
import { hashOf } from "../inputs/cache.ts";
import { type Architecture, type LockedPackage, packagesOf } from "../inputs/lock.ts";
import { npmInputs } from "../inputs/npm-packages.ts";
import { cleanVersion, MUSL_VERSION, NO_PARTS } from "../scan/linked-parts.ts";
import { mergeLayers, OWN } from "../tree/file-tree.ts";
import { traitsOf } from "../variants.ts";

export interface Component {
  /** Unique within the image, and the same in every build. */
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly supplier: string;
  /** SPDX expression where it is one; Debian's copyright files are in the image and no expression. */
  readonly licence: string | undefined;
  readonly cpe: string | undefined;
  /** Of the archive it was taken from. */
  readonly hash: { readonly algorithm: "SHA-256" | "SHA-512"; readonly value: string } | undefined;
  readonly files: readonly ComponentFile[];
  /** What was linked or compiled into it by its makers: no files of their own. */
  readonly contains: readonly Omit<Component, "files" | "contains" | "hash">[];
}

export interface ComponentFile {
  readonly path: string;
  readonly sha1: string;
  readonly sha256: string;
}

/** Names under which vulnerability databases know what is linked into Node. */
const CPE_PRODUCTS: Readonly<Record<string, string>> = {
  openssl: "openssl:openssl",
  sqlite: "sqlite:sqlite",
  zlib: "zlib:zlib",
  brotli: "google:brotli",
  nghttp2: "nghttp2:nghttp2",
  ngtcp2: "ngtcp2:ngtcp2",
  nghttp3: "nghttp3:nghttp3",
  ares: "c-ares:c-ares",
  uv: "libuv:libuv",
  v8: "google:v8",
  icu: "unicode:icu",
  llhttp: "nodejs:llhttp",
  undici: "nodejs:undici",
  zstd: "facebook:zstandard",
  simdjson: "simdjson:simdjson",
};

/** @throws {Error} for a file that no component owns. */
export function listComponents(image: BuiltImage, inputs: Inputs): Component[] {
  const files = new Map<string, ComponentFile[]>();
  for (const entry of mergeLayers(image.layers.map(({ tree }) => tree)).values()) {
    if (entry.kind !== "file") continue;
    const sums = { path: entry.path, sha1: hashOf(entry.content, "sha1"), sha256: hashOf(entry.content) };
    files.set(entry.origin, [...(files.get(entry.origin) ?? []), sums]);
  }
  const { isDev, isFips } = traitsOf(image.variant);
  const debian = [
    ...packagesOf(inputs.lock, isDev ? "dev" : "runtime", image.architecture),
    ...(isFips ? packagesOf(inputs.lock, "fips", image.architecture) : []),
  ];
  const components = [
    ownComponent(inputs, files.get(OWN) ?? []),
    ...npmComponents(image.architecture, files),
    ...debian.map((locked) => debianComponent(locked, files.get(`deb:${locked.name}`) ?? [])),
  ];
  const described = components.reduce((sum, component) => sum + component.files.length, 0);
  const all = [...files.values()].reduce((sum, list) => sum + list.length, 0);
  if (described !== all)
    throw new Error(`Cannot describe the image: ${all - described} of ${all} files belong to no component`);
  return components;
}

function debianComponent(locked: LockedPackage, files: readonly ComponentFile[]): Component {
  const { name, version, architecture, source, sourceVersion } = locked;
  const encode = (text: string): string => encodeURIComponent(text);
  const upstream =
    source === name && sourceVersion === version ? "" : `&upstream=${encode(`${source}@${sourceVersion}`)}`;
  return {
    id: `deb-${name}`,
    name,
    version,
    purl: `pkg:deb/debian/${encode(name)}@${encode(version)}?arch=${architecture}&distro=debian-13${upstream}`,
    supplier: "Debian",
    licence: undefined,
    cpe: undefined,
    hash: { algorithm: "SHA-256", value: locked.sha256 },
    files,
    contains: [],
  };
}

function npmComponents(architecture: Architecture, files: ReadonlyMap<string, readonly ComponentFile[]>): Component[] {
  const { node, koffi } = npmInputs(architecture);
  const linked = Object.entries(process.versions)
    .filter(([name, version]) => version !== "" && !NO_PARTS.has(name))
    .map(([name, version = ""]) => {
      const clean = cleanVersion(version);
      const product = CPE_PRODUCTS[name];
      return {
        id: `node-${name}`,
        name,
        version,
        purl: `pkg:generic/${encodeURIComponent(name)}@${encodeURIComponent(version)}`,
        supplier: "Node.js",
        licence: undefined,
        cpe: product === undefined ? undefined : `cpe:2.3:a:${product}:${clean}:*:*:*:*:*:*:*`,
      };
    });
  const purl = (name: string, version: string): string => `pkg:npm/${name.replace("@", "%40")}@${version}`;
  return [
    {
      id: "node",
      name: "node",
      version: node.version,
      purl: purl(node.name, node.version),
      supplier: "Node.js",
      licence: "MIT",
      cpe: `cpe:2.3:a:nodejs:node.js:${node.version}:*:*:*:*:*:*:*`,
      hash: { algorithm: "SHA-512", value: node.sha512 },
      files: files.get(`npm:${node.name}`) ?? [],
      contains: linked,
    },
    {
      id: "koffi",
      name: "koffi",
      version: koffi.version,
      purl: purl(koffi.name, koffi.version),
      supplier: "Niels Martignène",
      licence: "MIT",
      cpe: undefined,
      hash: { algorithm: "SHA-512", value: koffi.sha512 },
      files: files.get(`npm:${koffi.name}`) ?? [],
      contains: [],
    },
  ];
}

function ownComponent({ identity }: Inputs, files: readonly ComponentFile[]): Component {
  return {
    id: "istio-install-cni",
    name: "istio-install-cni",
    version: identity.version,
    purl: `pkg:generic/istio-install-cni@${identity.version}`,
    supplier: "istio-install-cni",
    licence: "Apache-2.0",
    cpe: undefined,
    hash: undefined,
    files,
    contains: [
      {
        id: "musl",
        name: "musl",
        version: MUSL_VERSION,
        purl: `pkg:generic/musl@${MUSL_VERSION}`,
        supplier: "musl",
        licence: "MIT",
        cpe: `cpe:2.3:a:musl-libc:musl:${MUSL_VERSION}:*:*:*:*:*:*:*`,
      },
    ],
  };
}
