// One image of one architecture: its layers in the order of how seldom they change, config and manifest.
import type { Inputs } from "./build-inputs.ts";
import type { Architecture } from "./inputs/lock.ts";
import { type Blob, descriptorOf, MEDIA_TYPES, makeJsonBlob } from "./oci/blob.ts";
import type { Layer } from "./oci/layer.ts";
import { annotationsOf, labelsOf, processOf, traitsOf, type Variant } from "./variants.ts";

export interface BuiltImage {
  readonly variant: Variant;
  readonly architecture: Architecture;
  /** The lowest one first. */
  readonly layers: readonly Layer[];
  readonly config: Blob;
  readonly manifest: Blob;
  /** All that the manifest needs, itself included. */
  readonly blobs: readonly Blob[];
}

/** Layers: Debian, FIPS module, Node, koffi, agent. Upgrading the agent alone pulls the last one. */
export async function assembleImage(inputs: Inputs, variant: Variant, architecture: Architecture): Promise<BuiltImage> {
  const { isDev, isFips } = traitsOf(variant);
  const layers = [
    await inputs.debianLayer(architecture, isDev),
    ...(isFips ? [await inputs.fipsLayer(architecture, isDev)] : []),
    await inputs.nodeLayer(architecture),
    await inputs.koffiLayer(architecture),
    await inputs.agentLayer(architecture, isFips),
  ];
  const { identity } = inputs;
  const config = makeJsonBlob(MEDIA_TYPES.config, {
    created: identity.created,
    architecture,
    os: "linux",
    config: { ...processOf(variant), Labels: labelsOf(variant, identity) },
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map(({ name }) => ({ created: identity.created, created_by: `make images: ${name}` })),
  });
  const manifest = makeJsonBlob(MEDIA_TYPES.manifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: descriptorOf(config),
    layers: layers.map(({ blob }) => descriptorOf(blob)),
    annotations: annotationsOf(variant, identity),
  });
  return {
    variant,
    architecture,
    layers,
    config,
    manifest,
    blobs: [manifest, config, ...layers.map(({ blob }) => blob)],
  };
}
