// An OCI image layout on disk (OCI image specification 1.1: image-layout.md), as a folder or as one archive.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { renderTreeTar } from "../archive/write-tar.ts";
import { TreeBuilder } from "../tree/file-tree.ts";
import { type Blob, type Descriptor, MEDIA_TYPES } from "./blob.ts";

const LAYOUT = JSON.stringify({ imageLayoutVersion: "1.0.0" });

/** Writes blobs and index into a folder, which is made. */
export function writeLayout(folder: string, blobs: readonly Blob[], manifests: readonly Descriptor[]): void {
  const blobFolder = join(folder, "blobs/sha256");
  mkdirSync(blobFolder, { recursive: true });
  for (const { digest, content } of blobs) writeFileSync(join(blobFolder, digest.slice("sha256:".length)), content);
  writeFileSync(join(folder, "oci-layout"), LAYOUT);
  writeFileSync(join(folder, "index.json"), renderIndex(manifests));
}

/** What `docker load` of before Docker 25 reads beside the layout. */
export interface DockerEntry {
  readonly config: Blob;
  readonly layers: readonly Blob[];
  readonly reference: string;
}

/** The same as one tar archive, which containerd, docker and skopeo load. */
export function writeLayoutArchive(
  path: string,
  blobs: readonly Blob[],
  manifests: readonly Descriptor[],
  docker: DockerEntry,
): void {
  const tree = new TreeBuilder();
  const blobPath = ({ digest }: Blob): string => `blobs/sha256/${digest.slice("sha256:".length)}`;
  for (const blob of blobs) tree.file(blobPath(blob), blob.content);
  tree.file("oci-layout", LAYOUT);
  tree.file("index.json", renderIndex(manifests));
  const { config, layers, reference } = docker;
  tree.file(
    "manifest.json",
    JSON.stringify([{ Config: blobPath(config), RepoTags: [reference], Layers: layers.map(blobPath) }]),
  );
  writeFileSync(path, Buffer.concat(renderTreeTar(tree.finish())));
}

function renderIndex(manifests: readonly Descriptor[]): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests });
}
