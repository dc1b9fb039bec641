// An image as a puller sees it: manifest, config and files, read from the layout that `make images` wrote, each blob
// checked against its digest; and as a root file system on disk.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { readTar, type TarEntry } from "../../image/archive/read-tar.ts";
import { hashOf } from "../../image/inputs/cache.ts";
import type { Architecture } from "../../image/inputs/lock.ts";
import { IMAGES, tagOf, type Variant } from "./built-images.ts";

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly artifactType?: string;
  readonly platform?: { readonly architecture: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ImageConfig {
  readonly created: string;
  readonly architecture: string;
  readonly config: {
    readonly User: string;
    readonly Entrypoint: readonly string[];
    readonly Env: readonly string[];
    readonly WorkingDir: string;
    readonly Labels: Readonly<Record<string, string>>;
  };
  readonly rootfs: { readonly diff_ids: readonly string[] };
  readonly history: readonly { readonly created_by: string }[];
}

export interface ImageContent {
  readonly digest: string;
  readonly manifest: { readonly layers: readonly Descriptor[]; readonly annotations: Readonly<Record<string, string>> };
  readonly config: ImageConfig;
  /** The lowest first. */
  readonly layers: readonly (readonly TarEntry[])[];
  /** What is there when all layers are applied. */
  readonly files: ReadonlyMap<string, TarEntry>;
}

/** A blob of the layout. @throws {AssertionError} when it is not what its name says. */
export function readBlob(digest: string): Buffer {
  const [algorithm, hash = ""] = digest.split(":");
  assert.equal(algorithm, "sha256");
  const content = readFileSync(join(IMAGES, "oci/blobs/sha256", hash));
  assert.equal(hashOf(content), hash, digest);
  return content;
}

function readLayoutIndex(): { readonly manifests: readonly Descriptor[] } {
  return JSON.parse(readFileSync(join(IMAGES, "oci/index.json"), "utf8"));
}

/** The index of a variant, by its tag. */
export function readVariantIndex(variant: Variant): {
  readonly digest: string;
  readonly manifests: readonly Descriptor[];
} {
  const tag = tagOf(variant);
  const found = readLayoutIndex().manifests.find(
    ({ annotations }) => annotations?.["org.opencontainers.image.ref.name"] === tag,
  );
  assert.ok(found !== undefined, `the layout has no ${tag}`);
  return { ...(JSON.parse(readBlob(found.digest).toString()) as { manifests: Descriptor[] }), digest: found.digest };
}

const read = new Map<string, ImageContent>();

export function readImage(variant: Variant, architecture: Architecture): ImageContent {
  const key = `${variant}/${architecture}`;
  const known = read.get(key);
  if (known !== undefined) return known;
  const descriptor = readVariantIndex(variant).manifests.find(
    ({ platform }) => platform?.architecture === architecture,
  );
  assert.ok(descriptor !== undefined, `${variant} has no ${architecture}`);
  const manifest = JSON.parse(readBlob(descriptor.digest).toString());
  const config: ImageConfig = JSON.parse(readBlob(manifest.config.digest).toString());
  const layers = manifest.layers.map(({ digest }: Descriptor, index: number) => {
    const tar = gunzipSync(readBlob(digest));
    assert.equal(`sha256:${hashOf(tar)}`, config.rootfs.diff_ids[index]);
    return readTar(tar);
  });
  const files = new Map(layers.flat().map((entry: TarEntry) => [entry.path, entry]));
  const image = { digest: descriptor.digest, manifest, config, layers, files } as ImageContent;
  read.set(key, image);
  return image;
}

/** The image on disk, unpacked by tar(1) with owners and file capabilities; needs root. Gone at disposal. */
export function unpackImage(variant: Variant, architecture: Architecture): Disposable & { readonly path: string } {
  const { layers } = readImage(variant, architecture).manifest;
  const path = mkdtempSync(join(tmpdir(), `image-${variant}-`));
  for (const { digest } of layers) {
    execFileSync(
      "tar",
      ["--extract", "--gzip", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--directory", path],
      {
        input: readBlob(digest),
        timeout: 120_000,
        stdio: ["pipe", "ignore", "inherit"],
      },
    );
  }
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
