// What `make images` left, for the tests of it.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Architecture } from "../../image/inputs/lock.ts";
import { traitsOf, type Variant } from "../../image/variants.ts";
import { REPOSITORY } from "../../testbed/node/repository.ts";

export { VARIANTS, type Variant } from "../../image/variants.ts";

export const NATIVE_ARCHITECTURE: Architecture = process.arch === "arm64" ? "arm64" : "amd64";

/** Folder of a build; IMAGES names another one. */
export const IMAGES = process.env["IMAGES"] ?? join(REPOSITORY, "out/images");

const { version } = JSON.parse(readFileSync(join(REPOSITORY, "package.json"), "utf8")) as { version: string };

/** The tag an image has. */
export function tagOf(variant: Variant): string {
  return version + traitsOf(variant).tagSuffix;
}

/** The name an archive gives its image. */
export function referenceOf(variant: Variant): string {
  return `localhost/istio-install-cni:${tagOf(variant)}`;
}

/** @throws {Error} when it has not been built. */
export function archiveOf(variant: Variant, architecture: Architecture): string {
  const path = join(IMAGES, "archives", `istio-install-cni-${tagOf(variant)}-${architecture}.tar`);
  if (!existsSync(path)) throw new Error(`Cannot test the image: ${path} is not there; run make images`);
  return path;
}
