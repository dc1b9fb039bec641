// Artifacts that refer to an image (OCI image specification 1.1, `subject`): attestations as Sigstore bundles, signatures in
// cosign's form.
import { type KeyObject, sign } from "node:crypto";
import { type Blob, type Descriptor, descriptorOf, MEDIA_TYPES, makeBlob, makeJsonBlob } from "../oci/blob.ts";
import { BUNDLE_TYPE, type Statement, signStatement } from "./dsse.ts";

/** A manifest that refers to its subject, with all blobs it needs. */
export interface Referrer {
  readonly descriptor: Descriptor;
  readonly blobs: readonly Blob[];
}

const SIGNATURE_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json";
const SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json";

/** Found by `cosign verify-attestation --new-bundle-format`. */
export function attest(subject: Descriptor, statement: Statement, key: KeyObject, created: string): Referrer {
  return makeReferrer(
    subject,
    BUNDLE_TYPE,
    makeJsonBlob(MEDIA_TYPES.empty, {}),
    makeBlob(BUNDLE_TYPE, signStatement(statement, key)),
    {
      "dev.sigstore.bundle.content": "dsse-envelope",
      "dev.sigstore.bundle.predicateType": statement.predicateType,
      "org.opencontainers.image.created": created,
    },
  );
}

/** Found by `cosign verify --experimental-oci11`. `repository` is what the signature says the image is called. */
export function signImage(subject: Descriptor, repository: string, key: KeyObject, created: string): Referrer {
  const payload = {
    critical: {
      identity: { "docker-reference": repository },
      image: { "docker-manifest-digest": subject.digest },
      type: "cosign container image signature",
    },
    optional: null,
  };
  const blob = makeJsonBlob(SIMPLE_SIGNING, payload);
  const signature = sign("sha256", blob.content, key).toString("base64");
  return makeReferrer(
    subject,
    SIGNATURE_TYPE,
    makeJsonBlob(SIGNATURE_TYPE, {}),
    blob,
    { "org.opencontainers.image.created": created },
    { "dev.cosignproject.cosign/signature": signature },
  );
}

function makeReferrer(
  subject: Descriptor,
  artifactType: string,
  config: Blob,
  layer: Blob,
  annotations: Readonly<Record<string, string>>,
  layerAnnotations?: Readonly<Record<string, string>>,
): Referrer {
  const { mediaType, digest, size } = subject;
  const manifest = makeJsonBlob(MEDIA_TYPES.manifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    artifactType,
    config: descriptorOf(config),
    layers: [{ ...descriptorOf(layer), ...(layerAnnotations === undefined ? {} : { annotations: layerAnnotations }) }],
    subject: { mediaType, digest, size },
    annotations,
  });
  return { descriptor: { ...descriptorOf(manifest), artifactType, annotations }, blobs: [manifest, config, layer] };
}
