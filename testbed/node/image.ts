// Packs files as a container image, so that a node needs no registry: the layout of `docker save`, which
// `ctr images import` takes (moby image specification 1.2: manifest.json, config, layer.tar).
import { createHash } from "node:crypto";
import { renderTar, type TarFile } from "./tar.ts";

export interface ImageContent {
  /** Full reference, for instance `localhost/testbed/tools:1`. */
  readonly reference: string;
  readonly files: readonly TarFile[];
  readonly entrypoint: readonly string[];
  /** Arguments where a container gives none. */
  readonly command: readonly string[];
  /** `PATH=/` unless told. */
  readonly env?: readonly string[];
}

/** Renders the archive of an image with one layer. Equal content gives equal bytes and digests. */
export function renderImageArchive(image: ImageContent): Uint8Array {
  const layer = renderTar(image.files);
  const config = json({
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    os: "linux",
    created: "1970-01-01T00:00:00Z",
    config: { Entrypoint: image.entrypoint, Cmd: image.command, Env: image.env ?? ["PATH=/"] },
    rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
    history: [{ created_by: "testbed" }],
  });
  const configPath = `${sha256(config)}.json`;
  const layerPath = `${sha256(layer)}/layer.tar`;
  return renderTar([
    { path: configPath, content: config },
    { path: layerPath, content: layer },
    {
      path: "manifest.json",
      content: json([{ Config: configPath, RepoTags: [image.reference], Layers: [layerPath] }]),
    },
  ]);
}

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
