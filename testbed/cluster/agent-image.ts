// A TEST IMAGE of the agent, not the product's: what `tools/build` left in out/, laid out as in the real image, with the
// shared libraries of this very machine. Good enough for a kubelet to run our DaemonSet; runs as uid 0, has no tini. With
// AGENT_ARCHIVE, a file of `make images` (out/images/archives), it is the product's image in its place.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readTar } from "../../image/archive/read-tar.ts";
import { mustRun } from "../node/command.ts";
import { renderImageArchive } from "../node/image.ts";
import { REPOSITORY } from "../node/repository.ts";
import { renderTar, type TarFile } from "../node/tar.ts";

/** What the tests install the agent by. */
export const AGENT_IMAGE = "localhost/istio-install-cni/agent:test";

const OUT = join(REPOSITORY, "out");
const PARTS = "lib/istio-install-cni";

/** Renders the archive, about 155 MB, under this or another name.
 * @throws {Error} when out/ has not been built, a library is missing, or AGENT_ARCHIVE names no image. */
export async function renderAgentImage(reference = AGENT_IMAGE): Promise<Uint8Array> {
  const { AGENT_ARCHIVE: archive = "" } = process.env;
  if (archive !== "") return renameImage(readFileSync(archive), reference);
  const parts = readdirSync(join(OUT, PARTS));
  const dynamic = ["node", "koffi.node"].map((name) => join(OUT, PARTS, name));
  const files = [
    file("usr/local/bin/install-cni", join(OUT, "bin/install-cni"), 0o755),
    file("opt/cni/bin/istio-cni", join(OUT, "bin/istio-cni"), 0o755),
    ...parts.map((name) => file(`usr/local/${PARTS}/${name}`, join(OUT, PARTS, name), 0o755)),
    ...(await listLibraries(dynamic)).map((path) => file(path.slice(1), path, 0o755)),
  ];
  return renderImageArchive({
    reference,
    files,
    entrypoint: ["/usr/local/bin/install-cni"],
    command: [],
    env: ["PATH=/opt/cni/bin:/usr/local/bin:/usr/bin:/bin"],
  });
}

/** The archive of one image under another name, which containerd and docker each find in a place of their own; its digests
 * stay. @throws {Error} when it is no OCI archive. */
export function renameImage(archive: Uint8Array, reference: string): Uint8Array {
  const files = readTar(archive).filter(({ kind }) => kind === "file");
  const rewrite = (content: Uint8Array, name: string): Uint8Array =>
    new TextEncoder().encode(
      JSON.stringify(JSON.parse(new TextDecoder().decode(content)), (key, value: unknown) =>
        key === name ? (Array.isArray(value) ? [reference] : reference) : value,
      ),
    );
  if (!files.some(({ path }) => path === "index.json"))
    throw new Error("Cannot rename the image: the archive has no index.json, so it is none of make images");
  return renderTar(
    files.map(({ path, content }) => {
      if (path === "index.json") return { path, content: rewrite(content, "io.containerd.image.name") };
      return { path, content: path === "manifest.json" ? rewrite(content, "RepoTags") : content };
    }),
  );
}

/** The ELF closure of the given files: every shared library, and the loader, by absolute path. */
export async function listLibraries(paths: readonly string[]): Promise<readonly string[]> {
  const found = new Set<string>();
  for (const path of paths) {
    const text = await mustRun(["ldd", path]);
    if (text.includes("not found")) throw new Error(`Cannot pack ${path}: a library is missing\n${text}`);
    // "libm.so.6 => /lib/…/libm.so.6 (0x…)", and the loader as "/lib64/ld-linux-x86-64.so.2 (0x…)"
    for (const [, library] of text.matchAll(/^\s+(?:\S+ => )?(\/\S+) \(0x/gm))
      if (library !== undefined) found.add(library);
  }
  return [...found].sort();
}

function file(path: string, source: string, mode: number): TarFile {
  return { path, content: readFileSync(source), mode };
}
