// Builds the images: four variants for two architectures, from locked inputs, without root and without a container engine.
// Usage: tools/node image/build-images.ts [--out FOLDER] [--no-layer-cache] [--variant NAME]… [--arch NAME]…
// Leaves FOLDER (out/images): oci/, a layout with all of them; archives/, one file for each image and architecture;
// descriptions/, what each is made of and how; sizes.json. Needs what tools/build leaves in out/.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { assembleImage, type BuiltImage } from "./assemble-image.ts";
import { createInputs, type Inputs } from "./build-inputs.ts";
import { describeImage, PREDICATES } from "./describe/predicates.ts";
import { ARCHITECTURES, type Architecture } from "./inputs/lock.ts";
import { type Blob, type Descriptor, descriptorOf, MEDIA_TYPES, makeJsonBlob } from "./oci/blob.ts";
import { writeLayout, writeLayoutArchive } from "./oci/layout.ts";
import { annotationsOf, type BuildIdentity, traitsOf, VARIANTS, type Variant } from "./variants.ts";

const REPOSITORY = resolve(import.meta.dirname, "..");

await main();

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      out: { type: "string", default: join(REPOSITORY, "out/images") },
      "no-layer-cache": { type: "boolean", default: false },
      variant: { type: "string", multiple: true, default: [...VARIANTS] },
      arch: { type: "string", multiple: true, default: [...ARCHITECTURES] },
    },
  });
  const variants = VARIANTS.filter((name) => values.variant.includes(name));
  const architectures = ARCHITECTURES.filter((name) => values.arch.includes(name));
  const unknown = [...values.variant, ...values.arch].filter(
    (name) => ![...VARIANTS, ...ARCHITECTURES].some((each) => each === name),
  );
  if (unknown.length > 0 || variants.length === 0 || architectures.length === 0)
    throw new Error(
      `Cannot build ${unknown.join(", ")}: variants are ${VARIANTS.join(", ")}, architectures ${ARCHITECTURES.join(", ")}`,
    );

  const inputs = createInputs({ layerCache: !values["no-layer-cache"] });
  if (inputs.identity.revision === undefined)
    console.warn("images: this is no checkout, or has changes that no commit has: the images name no commit");
  const images: BuiltImage[] = [];
  for (const architecture of architectures)
    for (const variant of variants) images.push(await assembleImage(inputs, variant, architecture));
  write(values.out, images, inputs, variants);
}

function write(out: string, images: readonly BuiltImage[], inputs: Inputs, variants: readonly Variant[]): void {
  const { identity } = inputs;
  rmSync(out, { recursive: true, force: true });
  const archives = join(out, "archives");
  mkdirSync(archives, { recursive: true });
  const blobs: Blob[] = [];
  const indexes: Descriptor[] = [];
  for (const variant of variants) {
    const own = images.filter((image) => image.variant === variant);
    const index = renderImageIndex(own, variant, identity);
    blobs.push(index, ...own.flatMap((image) => image.blobs));
    const tag = identity.version + traitsOf(variant).tagSuffix;
    indexes.push({ ...descriptorOf(index), annotations: { "org.opencontainers.image.ref.name": tag } });
    for (const image of own) {
      writeArchive(archives, image, tag);
      writeDescriptions(join(out, "descriptions", `${tag}-${image.architecture}`), image, inputs);
    }
  }
  writeLayout(join(out, "oci"), blobs, indexes);
  const sizes = images.map(describeSize);
  writeFileSync(join(out, "sizes.json"), `${JSON.stringify(sizes, null, 2)}\n`);
  for (const { variant, architecture, digest, uncompressedMb, compressedMb } of sizes)
    console.log(
      `${variant.padEnd(8)} ${architecture}  ${uncompressedMb.padStart(6)} MB  compressed ${compressedMb.padStart(5)} MB  ${digest}`,
    );
}

function renderImageIndex(images: readonly BuiltImage[], variant: Variant, identity: BuildIdentity): Blob {
  return makeJsonBlob(MEDIA_TYPES.index, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.index,
    manifests: images.map(({ manifest, architecture }) => ({
      ...descriptorOf(manifest),
      platform: platformOf(architecture),
    })),
    annotations: annotationsOf(variant, identity),
  });
}

function platformOf(architecture: Architecture): NonNullable<Descriptor["platform"]> {
  return { architecture, os: "linux" };
}

/** One image of one architecture with its full name in it, for `ctr images import`, `docker load`, `skopeo copy`. */
function writeArchive(folder: string, image: BuiltImage, tag: string): void {
  const reference = `${process.env["IMAGE_REPOSITORY"] ?? "localhost/istio-install-cni"}:${tag}`;
  const descriptor = {
    ...descriptorOf(image.manifest),
    platform: platformOf(image.architecture),
    annotations: { "io.containerd.image.name": reference, "org.opencontainers.image.ref.name": tag },
  };
  const path = join(folder, `istio-install-cni-${tag}-${image.architecture}.tar`);
  writeLayoutArchive(path, image.blobs, [descriptor], {
    config: image.config,
    layers: image.layers.map(({ blob }) => blob),
    reference,
  });
}

function writeDescriptions(folder: string, image: BuiltImage, inputs: Inputs): void {
  mkdirSync(folder, { recursive: true });
  const descriptions: Readonly<Record<string, unknown>> = describeImage(image, inputs);
  for (const [type, file] of Object.entries(PREDICATES))
    writeFileSync(join(folder, file), `${JSON.stringify(descriptions[type], null, 1)}\n`);
}

function describeSize({ variant, architecture, manifest, layers }: BuiltImage) {
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
  return {
    variant,
    architecture,
    digest: manifest.digest,
    uncompressedMb: megabytes(layers.reduce((sum, { tarSize }) => sum + tarSize, 0)),
    compressedMb: megabytes(layers.reduce((sum, { blob }) => sum + blob.size, 0)),
    layers: layers.map(({ name, diffId, tarSize, blob }) => ({ name, diffId, tarSize, compressedSize: blob.size })),
  };
}
