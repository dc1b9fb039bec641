// Holds the images against a published hardening profile (a SCAP data stream, a STIG's for instance) with OpenSCAP, offline,
// and leaves the result beside each image's descriptions, for signing. The profile is not ours and given by its path.
// Usage: STIG_PROFILE=DATASTREAM.xml tools/node image/check-profile.ts [--profile ID] [--oscap PROGRAM] [--images FOLDER]
// Needs root, for the owners of unpacked files, and oscap (Debian's openscap-scanner). Looks at files only, so it does so
// for every architecture.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { PROFILE_RESULT } from "./describe/predicates.ts";
import { hashOf } from "./inputs/cache.ts";
import { type Descriptor, MEDIA_TYPES } from "./oci/blob.ts";
import { readResults } from "./profile/read-results.ts";

const REPOSITORY = resolve(import.meta.dirname, "..");
/** What oscap ends with when all rules hold, and when some do not. */
const EVALUATED: readonly (number | null)[] = [0, 2];

main();

function main(): void {
  const { values } = parseArgs({
    options: {
      profile: { type: "string" },
      oscap: { type: "string", default: "oscap" },
      images: { type: "string", default: join(REPOSITORY, "out/images") },
    },
  });
  const content = process.env["STIG_PROFILE"] ?? "";
  if (content === "") throw new Error("Cannot check: STIG_PROFILE names no SCAP data stream (docs/images.md)");
  if (process.getuid?.() !== 0) throw new Error("Cannot check: unpacking images with their owners needs root");
  const version = run(values.oscap, ["--version"]).split("\n")[0] ?? "";
  const profile = values.profile ?? onlyProfile(values.oscap, content);
  const layout = join(values.images, "oci");
  for (const { tag, image } of listImages(layout)) {
    const folder = mkdtempSync(join(tmpdir(), "profile-"));
    try {
      const root = join(folder, "root");
      mkdirSync(root);
      unpack(layout, image, root);
      const results = readResults(evaluate(values.oscap, { content, profile, root, folder }));
      const name = `${tag}-${image.platform?.architecture}`;
      const predicate = {
        scanner: { uri: "pkg:generic/openscap", version },
        profile: { id: profile, content: basename(content), digest: { sha256: hashOf(readFileSync(content)) } },
        ...results,
      };
      const path = join(values.images, "descriptions", name, PROFILE_RESULT.file);
      writeFileSync(path, `${JSON.stringify(predicate, null, 1)}\n`);
      const { pass = 0, notapplicable = 0 } = results.counts;
      console.log(
        `${name}: ${pass} pass, ${notapplicable} not applicable, ${results.open.length} open, score ${results.score}`,
      );
      for (const { rule, result } of results.open) console.log(`  ${result} ${rule}`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

function* listImages(layout: string): Generator<{ readonly tag: string; readonly image: Descriptor }> {
  const { manifests } = readJson(join(layout, "index.json")) as { manifests: Descriptor[] };
  for (const index of manifests.filter(({ mediaType }) => mediaType === MEDIA_TYPES.index)) {
    const tag = index.annotations?.["org.opencontainers.image.ref.name"] ?? "";
    const { manifests: images } = readJson(blobPath(layout, index.digest)) as { manifests: Descriptor[] };
    for (const image of images) yield { tag, image };
  }
}

function unpack(layout: string, image: Descriptor, root: string): void {
  const { layers } = readJson(blobPath(layout, image.digest)) as { layers: Descriptor[] };
  for (const { digest } of layers)
    execFileSync(
      "tar",
      ["--extract", "--gzip", "--numeric-owner", "--file", blobPath(layout, digest), "--directory", root],
      {
        timeout: 120_000,
        stdio: ["ignore", "ignore", "inherit"],
      },
    );
}

function evaluate(
  oscap: string,
  options: { readonly content: string; readonly profile: string; readonly root: string; readonly folder: string },
): string {
  const { content, profile, root, folder } = options;
  const path = join(folder, "results.xml");
  const done = spawnSync(oscap, ["xccdf", "eval", "--profile", profile, "--results", path, resolve(content)], {
    encoding: "utf8",
    // OpenSCAP's offline mode: its probes look below this folder, and what cannot be looked at there is not applicable.
    env: { ...process.env, LC_ALL: "C", OSCAP_PROBE_ROOT: root },
    timeout: 600_000,
    maxBuffer: 64 * 1024 * 1024,
  });
  if (!EVALUATED.includes(done.status))
    throw new Error(`Cannot check: oscap ended with ${done.status ?? done.error?.message}\n${done.stderr}`);
  return readFileSync(path, "utf8");
}

/** The profile of a data stream that has one. @throws {Error} that lists them, where there are more. */
function onlyProfile(oscap: string, content: string): string {
  const lines = run(oscap, ["info", "--profiles", content]).split("\n");
  const ids = lines.flatMap((line) => /^([\w.-]+):/.exec(line)?.[1] ?? []);
  const [id] = ids;
  if (id === undefined || ids.length > 1)
    throw new Error(
      `Cannot check: ${content} has ${ids.length} profiles; name one with --profile:\n${lines.join("\n")}`,
    );
  return id;
}

function run(program: string, args: readonly string[]): string {
  return execFileSync(program, [...args], { encoding: "utf8", env: { ...process.env, LC_ALL: "C" }, timeout: 60_000 });
}

function blobPath(layout: string, digest: string): string {
  return join(layout, "blobs", digest.replace(":", "/"));
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, "utf8"));
}
