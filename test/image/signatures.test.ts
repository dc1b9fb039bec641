// Signatures and attestations as anybody would check them: with stock cosign, against a registry, offline; and what it says
// when a single byte has been changed. The key is made here and gone afterwards.
import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { PREDICATES, PROFILE_RESULT, TEST_RESULT } from "../../image/describe/predicates.ts";
import { hashOf } from "../../image/inputs/cache.ts";
import { type CommandResult, mustRun, runCommand } from "../../testbed/node/command.ts";
import { REPOSITORY } from "../../testbed/node/repository.ts";
import { IMAGES, tagOf } from "./built-images.ts";
import { findCosign } from "./cosign.ts";
import { type Descriptor, readVariantIndex } from "./image-content.ts";
import { startRegistry, type TestRegistry } from "./registry.ts";

/** Nothing of the public instance: what is signed with a key needs none of it. */
const TRUSTED_ROOT = {
  mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
  tlogs: [],
  certificateAuthorities: [],
  ctlogs: [],
  timestampAuthorities: [],
};

describe("signed images", () => {
  const scratch = mkdtempSync(join(tmpdir(), "signed-"));
  const images = join(scratch, "images");
  const paths = { key: join(scratch, "key.pem"), public: join(scratch, "key.pub"), root: join(scratch, "root.json") };
  let registry: TestRegistry;
  let cosign: string;
  before(async () => {
    cosign = findCosign();
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    writeFileSync(
      paths.key,
      privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "for this test" }),
      { mode: 0o600 },
    );
    writeFileSync(paths.public, createPublicKey(privateKey).export({ type: "spki", format: "pem" }));
    writeFileSync(paths.root, JSON.stringify(TRUSTED_ROOT));
    for (const name of ["oci", "descriptions"]) cpSync(join(IMAGES, name), join(images, name), { recursive: true });
    writeFileSync(
      join(images, TEST_RESULT.file),
      JSON.stringify({ result: "PASSED", configuration: [{ name: "test" }] }),
    );
    for (const { platform } of readVariantIndex("runtime").manifests)
      writeFileSync(
        join(images, "descriptions", `${tagOf("runtime")}-${platform?.architecture}`, PROFILE_RESULT.file),
        JSON.stringify({ counts: { pass: 1 }, score: 100, open: [] }),
      );
    await sign();
    registry = await startRegistry(join(images, "oci"));
  });
  after(async () => {
    await registry?.[Symbol.asyncDispose]();
    rmSync(scratch, { recursive: true, force: true });
  });

  async function sign(key = paths.key): Promise<void> {
    await mustRun(
      [join(REPOSITORY, "tools/node"), join(REPOSITORY, "image/sign-images.ts"), "--key", key, "--images", images],
      {
        env: { IMAGE_SIGNING_PASSPHRASE: "for this test" },
        timeoutMs: 120_000,
      },
    );
  }

  const run = (...args: readonly string[]): Promise<CommandResult> =>
    runCommand([cosign, ...args], { timeoutMs: 60_000, env: { HOME: scratch, COSIGN_EXPERIMENTAL: "1" } });
  const verify = (reference: string): Promise<CommandResult> =>
    run("verify", "--key", paths.public, "--experimental-oci11", "--insecure-ignore-tlog=true", reference);
  const verifyAttestation = (reference: string, type: string): Promise<CommandResult> =>
    run(
      "verify-attestation",
      ...["--key", paths.public, "--new-bundle-format", "--trusted-root", paths.root],
      ...["--insecure-ignore-tlog=true", "--type", type, reference],
    );

  test("each variant is verified by its tag, and each of its images by digest", async () => {
    for (const variant of ["runtime", "fips-dev"] as const) {
      const done = await verify(`${registry.repository}:${tagOf(variant)}`);
      assert.equal(done.status, 0, done.stderr);
      for (const { digest } of readVariantIndex(variant).manifests) {
        const one = await verify(`${registry.repository}@${digest}`);
        assert.equal(one.status, 0, one.stderr);
      }
    }
  });

  for (const type of [...Object.keys(PREDICATES), TEST_RESULT.type, PROFILE_RESULT.type]) {
    test(`the attestation ${type} is verified and is about that image`, async () => {
      const [image] = readVariantIndex("runtime").manifests;
      assert.ok(image !== undefined);
      const done = await verifyAttestation(`${registry.repository}@${image.digest}`, type);
      assert.equal(done.status, 0, done.stderr);
    });
  }

  test("another key verifies nothing", async () => {
    const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const kept = readFileSync(paths.public);
    try {
      writeFileSync(paths.public, publicKey.export({ type: "spki", format: "pem" }));
      assert.notEqual((await verify(`${registry.repository}:${tagOf("runtime")}`)).status, 0);
      const [image] = readVariantIndex("runtime").manifests;
      const done = await verifyAttestation(`${registry.repository}@${image?.digest}`, "https://spdx.dev/Document");
      assert.notEqual(done.status, 0);
    } finally {
      writeFileSync(paths.public, kept);
    }
  });

  for (const { type, what } of [
    { type: "https://cyclonedx.org/bom", what: "SBOM" },
    { type: "https://openvex.dev/ns/v0.2.0", what: "VEX document" },
  ]) {
    test(`one changed byte of the ${what} is noticed, also when all digests are made right again`, async () => {
      const [image] = readVariantIndex("runtime").manifests;
      assert.ok(image !== undefined);
      const undo = await changeReferrer(type, image, (bundle) => {
        const payload = Buffer.from(bundle.dsseEnvelope.payload, "base64");
        payload.writeUInt8(payload.readUInt8(payload.length - 10) ^ 1, payload.length - 10);
        bundle.dsseEnvelope.payload = payload.toString("base64");
      });
      try {
        assert.notEqual((await verifyAttestation(`${registry.repository}@${image.digest}`, type)).status, 0);
      } finally {
        undo();
      }
      assert.equal((await verifyAttestation(`${registry.repository}@${image.digest}`, type)).status, 0);
    });
  }

  test("one changed byte of the image is noticed: its digest is another, and that one nobody signed", async () => {
    const [image] = readVariantIndex("runtime").manifests;
    assert.ok(image !== undefined);
    const blobs = join(images, "oci/blobs/sha256");
    const text = readFileSync(join(blobs, image.digest.slice(7)), "utf8").replace("Apache-2.0", "Apache-2.1");
    const digest = hashOf(Buffer.from(text));
    writeFileSync(join(blobs, digest), text);
    assert.notEqual((await verify(`${registry.repository}@sha256:${digest}`)).status, 0);
    assert.notEqual(
      (await verifyAttestation(`${registry.repository}@sha256:${digest}`, "https://spdx.dev/Document")).status,
      0,
    );
  });

  test("a key that lies in the checkout is refused, and one of another kind", async () => {
    await assert.rejects(sign(join(REPOSITORY, "out/key.pem")), /keys do not belong into the checkout/);
    const other = join(scratch, "ed25519.pem");
    writeFileSync(other, generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }));
    await assert.rejects(sign(other), /no EC key on P-256/);
    assert.equal(
      createPrivateKey({ key: readFileSync(paths.key), passphrase: "for this test" }).asymmetricKeyType,
      "ec",
    );
  });

  /** Puts a changed bundle in the place of an attestation, with a manifest that fits it. Returns what undoes it. */
  async function changeReferrer(
    type: string,
    image: Descriptor,
    change: (bundle: { dsseEnvelope: { payload: string } }) => void,
  ): Promise<() => void> {
    const layout = join(images, "oci");
    const indexPath = join(layout, "index.json");
    const before = readFileSync(indexPath, "utf8");
    const index = JSON.parse(before) as { manifests: Descriptor[] };
    const blob = (digest: string): string => join(layout, "blobs", digest.replace(":", "/"));
    const put = (content: string): { digest: string; size: number } => {
      const digest = `sha256:${hashOf(Buffer.from(content))}`;
      writeFileSync(blob(digest), content);
      return { digest, size: Buffer.byteLength(content) };
    };
    index.manifests = index.manifests.map((descriptor) => {
      if (descriptor.annotations?.["dev.sigstore.bundle.predicateType"] !== type) return descriptor;
      const manifest = JSON.parse(readFileSync(blob(descriptor.digest), "utf8"));
      if (manifest.subject.digest !== image.digest) return descriptor;
      const bundle = JSON.parse(readFileSync(blob(manifest.layers[0].digest), "utf8"));
      change(bundle);
      manifest.layers[0] = { ...manifest.layers[0], ...put(JSON.stringify(bundle)) };
      return { ...descriptor, ...put(JSON.stringify(manifest)) };
    });
    const after = JSON.stringify(index);
    assert.notEqual(after, before, "nothing was changed");
    writeFileSync(indexPath, after);
    return () => writeFileSync(indexPath, before);
  }
});
