// Signs what build-images.ts left: every image and index, and every description of an image, attached as OCI referrers in
// the same layout. The key is a file outside of the checkout; nothing is sent anywhere.
// Usage: tools/node image/sign-images.ts --key PEM [--images FOLDER]      IMAGE_SIGNING_PASSPHRASE where the key has one
import { createPrivateKey, type KeyObject } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type Blob, type Descriptor, MEDIA_TYPES } from "./oci/blob.ts";
import { writeLayout } from "./oci/layout.ts";
import { listAttestedFiles } from "./sign/attested-files.ts";
import { attest, type Referrer, signImage } from "./sign/referrers.ts";

const REPOSITORY = resolve(import.meta.dirname, "..");
const NAME = "istio-install-cni";

main();

function main(): void {
  const { values } = parseArgs({
    options: { key: { type: "string" }, images: { type: "string", default: join(REPOSITORY, "out/images") } },
  });
  if (values.key === undefined) throw new Error("Cannot sign: --key names the private key, an EC key on P-256 as PEM");
  const key = readKey(values.key);
  const layout = join(values.images, "oci");
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as { manifests: Descriptor[] };
  // Signed before: those are signatures of the same images, and give way.
  const images = index.manifests.filter(({ mediaType }) => mediaType === MEDIA_TYPES.index);
  const referrers = images.flatMap((image) => signVariant(values.images, image, key));
  const blobs = new Map<string, Blob>(
    referrers.flatMap((referrer) => referrer.blobs.map((blob) => [blob.digest, blob] as const)),
  );
  writeLayout(layout, [...blobs.values()], [...images, ...referrers.map(({ descriptor }) => descriptor)]);
  console.log(`sign: ${referrers.length} signatures and attestations of ${images.length} images`);
}

function signVariant(folder: string, variant: Descriptor, key: KeyObject): Referrer[] {
  const tag = variant.annotations?.["org.opencontainers.image.ref.name"];
  const { manifests, annotations } = JSON.parse(
    readFileSync(join(folder, "oci/blobs", variant.digest.replace(":", "/")), "utf8"),
  ) as { manifests: Descriptor[]; annotations: Record<string, string> };
  const created = annotations["org.opencontainers.image.created"] ?? "";
  const repository = process.env["IMAGE_REPOSITORY"] ?? `localhost/${NAME}`;
  return [
    signImage(variant, repository, key, created),
    ...manifests.flatMap((image) => {
      const attested = { tag: `${tag}`, architecture: `${image.platform?.architecture}` };
      return [
        signImage(image, repository, key, created),
        ...listAttestedFiles(folder, attested, existsSync).map(({ type, path }) => {
          const predicate: unknown = JSON.parse(readFileSync(path, "utf8"));
          return attest(
            image,
            { subjectName: NAME, subjectDigest: image.digest, predicateType: type, predicate },
            key,
            created,
          );
        }),
      ];
    }),
  ];
}

/** @throws {Error} for a key that lies in the checkout, or is of another kind. */
function readKey(path: string): KeyObject {
  if (`${resolve(path)}/`.startsWith(`${REPOSITORY}/`))
    throw new Error(`Cannot sign with ${path}: keys do not belong into the checkout`);
  const passphrase = process.env["IMAGE_SIGNING_PASSPHRASE"];
  const key = createPrivateKey({
    key: readFileSync(path),
    format: "pem",
    ...(passphrase === undefined ? {} : { passphrase }),
  });
  if (key.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== "prime256v1")
    throw new Error(`Cannot sign with ${path}: it is no EC key on P-256`);
  return key;
}
