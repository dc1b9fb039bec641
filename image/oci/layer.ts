// A tree as an image layer: tar, gzip, and the two digests that name it.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzipSync, gzip } from "node:zlib";
import { renderTreeTar } from "../archive/write-tar.ts";
import { cacheFolder, hashOf } from "../inputs/cache.ts";
import type { FileTree } from "../tree/file-tree.ts";
import { type Blob, MEDIA_TYPES, makeBlob } from "./blob.ts";

export interface Layer {
  /** Said in the image's history and in its description. */
  readonly name: string;
  readonly tree: FileTree;
  readonly blob: Blob;
  /** Digest of the layer before compression. */
  readonly diffId: string;
  /** Size before compression. */
  readonly tarSize: number;
}

const GZIP_LEVEL = 6;
const compress = promisify(gzip);

/** `cached`: take a compressed layer from an earlier build, known by its content and the zlib that compressed it. */
export async function buildLayer(name: string, tree: FileTree, cached: boolean): Promise<Layer> {
  const chunks = renderTreeTar(tree);
  const hash = createHash("sha256");
  for (const chunk of chunks) hash.update(chunk);
  const diffId = hash.digest("hex");
  const path = join(cacheFolder("layers"), `${diffId}.${process.versions.zlib}.${process.arch}.gz`);
  const tarSize = chunks.reduce((sum, { length }) => sum + length, 0);
  const known = cached ? readCached(path, diffId, tarSize) : undefined;
  const content = known ?? (await compress(Buffer.concat(chunks), { level: GZIP_LEVEL }));
  if (cached && known === undefined) {
    writeFileSync(`${path}.${process.pid}`, content);
    renameSync(`${path}.${process.pid}`, path);
  }
  return { name, tree, blob: makeBlob(MEDIA_TYPES.layer, content), diffId: `sha256:${diffId}`, tarSize };
}

/** Checked, as every input is: an image whose layer is not what its config and its descriptions say starts nowhere. */
function readCached(path: string, diffId: string, tarSize: number): Uint8Array | undefined {
  if (!existsSync(path)) return undefined;
  const content = readFileSync(path);
  try {
    return hashOf(gunzipSync(content, { maxOutputLength: tarSize })) === diffId ? content : undefined;
  } catch {
    return undefined; // It is cut, larger than the layer, or not compressed at all.
  }
}
