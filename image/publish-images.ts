// Publishes what build-images.ts left, without a key: pushes each tag with skopeo, and has cosign sign it and attest its
// descriptions by the identity of the CI job that runs this. Refuses images whose tests have not passed.
// Usage: tools/node image/publish-images.ts --to REGISTRY/NAME [--latest] [--subjects FILE] [--dry-run] [--images FOLDER]
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { TEST_RESULT } from "./describe/predicates.ts";
import type { Descriptor } from "./oci/blob.ts";
import { planPublication, readSubjects } from "./sign/publication.ts";

const REPOSITORY = resolve(import.meta.dirname, "..");

process.exitCode = main();

function main(): number {
  const { values } = parseArgs({
    options: {
      to: { type: "string" },
      latest: { type: "boolean", default: false },
      subjects: { type: "string" },
      "dry-run": { type: "boolean", default: false },
      images: { type: "string", default: join(REPOSITORY, "out/images") },
    },
  });
  const { to, images, latest } = values;
  if (to === undefined)
    throw new Error("Cannot publish: --to names the repository, for instance registry.example/name");
  const readJson = (...path: readonly string[]): unknown => JSON.parse(readFileSync(join(images, ...path), "utf8"));
  const { result } = readJson(TEST_RESULT.file) as { result?: string };
  if (result !== "PASSED") throw new Error(`Cannot publish: the tests of ${images} say ${result}; run make imagetest`);
  const { manifests } = readJson("oci/index.json") as { manifests: Descriptor[] };
  const readIndex = (digest: string): readonly Descriptor[] =>
    (readJson("oci/blobs", digest.replace(":", "/")) as { manifests: Descriptor[] }).manifests;
  const commands = planPublication({ manifests, readIndex, isThere: existsSync }, { folder: images, to, latest });
  if (values.subjects !== undefined) writeFileSync(values.subjects, readSubjects(manifests, to));
  for (const argv of commands) {
    console.log(argv.join(" "));
    if (values["dry-run"]) continue;
    const [file = "", ...args] = argv;
    const { status } = spawnSync(file, args, { stdio: "inherit", timeout: 600_000 });
    if (status !== 0) throw new Error(`Cannot publish: ${file} ended with ${status}`);
  }
  return 0;
}
