// Content-addressed pieces of an image (OCI image specification 1.1: descriptor.md).
import { hashOf } from "../inputs/cache.ts";

export interface Blob {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly content: Uint8Array;
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly architecture: string; readonly os: string; readonly variant?: string };
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export const MEDIA_TYPES = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar+gzip",
  empty: "application/vnd.oci.empty.v1+json",
} as const;

export function makeBlob(mediaType: string, content: Uint8Array): Blob {
  return { mediaType, digest: `sha256:${hashOf(content)}`, size: content.length, content };
}

/** A JSON document as a blob; its keys stay in the order they are given in. */
export function makeJsonBlob(mediaType: string, value: unknown): Blob {
  return makeBlob(mediaType, new TextEncoder().encode(JSON.stringify(value)));
}

export function descriptorOf({ mediaType, digest, size }: Blob): Descriptor {
  return { mediaType, digest, size };
}
