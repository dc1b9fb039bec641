import assert from "node:assert/strict";
import { test } from "node:test";
import { type Descriptor, MEDIA_TYPES } from "../oci/blob.ts";
import { planPublication, readSubjects } from "./publication.ts";

const index = (tag: string, digest: string): Descriptor => ({
  mediaType: MEDIA_TYPES.index,
  digest: `sha256:${digest}`,
  size: 1,
  annotations: { "org.opencontainers.image.ref.name": tag },
});
const SIGNATURE: Descriptor = { mediaType: MEDIA_TYPES.manifest, digest: "sha256:ffff", size: 1 };
const MANIFESTS = [index("1.2.3-dev", "aaaa"), index("1.2.3", "bbbb"), SIGNATURE];
const LAYOUT = {
  manifests: MANIFESTS,
  isThere: (path: string) =>
    ["out/test-result.json", "out/descriptions/1.2.3-arm64/profile-result.json"].includes(path),
  readIndex: (digest: string): readonly Descriptor[] =>
    ["amd64", "arm64"].map((architecture) => ({
      mediaType: MEDIA_TYPES.manifest,
      digest: `${digest}-${architecture}`,
      size: 1,
      platform: { os: "linux", architecture },
    })),
};
const plan = (to: string, latest = false): readonly string[] =>
  planPublication(LAYOUT, { folder: "out", to, latest }).map((argv) => argv.join(" "));

test("planPublication() pushes each tag unchanged, signs it, and attests every description of every architecture", () => {
  const lines = plan("registry.example:5000/a/b");
  const first = lines.slice(0, lines.length / 2);
  assert.deepEqual(first.slice(0, 2), [
    "skopeo copy --all --preserve-digests oci:out/oci:1.2.3-dev docker://registry.example:5000/a/b:1.2.3-dev",
    "cosign sign --yes --recursive registry.example:5000/a/b@sha256:aaaa",
  ]);
  assert.equal(
    first[2],
    "cosign attest --yes --type https://cyclonedx.org/bom --predicate out/descriptions/1.2.3-dev-amd64/sbom.cdx.json registry.example:5000/a/b@sha256:aaaa-amd64",
  );
  assert.equal(first.length, 2 + 2 * 6);
  assert.ok(first.slice(2, 8).every((line) => line.endsWith("-amd64")));
  assert.ok(first.slice(8).every((line) => line.endsWith("-arm64")));
  assert.match(first[7] ?? "", /test-result\/v0\.1 --predicate out\/test-result\.json/);
});

test("planPublication() attests the result of a profile for the images that were held against one", () => {
  const attested = plan("r.example/a").filter((line) => line.includes("profile-result"));
  assert.equal(attested.length, 1);
  assert.match(attested[0] ?? "", /1\.2\.3-arm64\/profile-result\.json r\.example\/a@sha256:bbbb-arm64$/);
});

test("planPublication() moves `latest` last, to the runtime image", () => {
  assert.match(plan("r.example/a", true).at(-1) ?? "", /oci:out\/oci:1\.2\.3 docker:\/\/r\.example\/a:latest$/);
  assert.ok(!plan("r.example/a").some((line) => line.includes("latest")));
});

test("planPublication() refuses what is no repository, and a build without tags", () => {
  for (const to of ["name", "r.example/a:1", "r.example/a@sha256:1", "https://r.example/a", "r.example/", "-x/a b"])
    assert.throws(() => plan(to), /^Error: Cannot publish to .*without a tag$/, to);
  const empty = { ...LAYOUT, manifests: [SIGNATURE] };
  assert.throws(() => planPublication(empty, { folder: "out", to: "r.example/a", latest: false }), /no tagged image/);
});

test("readSubjects() names each tag with its digest, as sha256sum does", () => {
  assert.equal(readSubjects(MANIFESTS, "r.example/a"), "aaaa  r.example/a:1.2.3-dev\nbbbb  r.example/a:1.2.3\n");
});
