// The image a description is about.
import type { BuiltImage } from "../assemble-image.ts";
import { hashOf } from "../inputs/cache.ts";
import { type BuildIdentity, traitsOf } from "../variants.ts";

export interface ImageSubject {
  /** Digest of its manifest. */
  readonly digest: string;
  readonly purl: string;
  readonly version: string;
  readonly tag: string;
  /** Time of the commit it was built from: no clock. */
  readonly created: string;
}

export function subjectOf(
  { manifest, variant, architecture }: BuiltImage,
  { version, created }: BuildIdentity,
): ImageSubject {
  const tag = version + traitsOf(variant).tagSuffix;
  return {
    digest: manifest.digest,
    purl: `pkg:oci/istio-install-cni@${encodeURIComponent(manifest.digest)}?arch=${architecture}&tag=${tag}`,
    version,
    tag,
    // RFC 3339 without fractions, as SPDX wants it.
    created: created.replace(/\.\d+Z$/, "Z"),
  };
}

/** A UUID made of a text, the same for the same text (RFC 9562, version 8). */
export function uuidOf(text: string): string {
  const hex = hashOf(new TextEncoder().encode(text)).slice(0, 32).split("");
  hex[12] = "8";
  hex[16] = "89ab"[Number.parseInt(hex[16] ?? "0", 16) % 4] ?? "8";
  return hex.join("").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
