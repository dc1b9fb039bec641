// What has to be executed to publish a build: pure, so that it can be looked at and tested without a registry.
import { join } from "node:path";
import { type Descriptor, MEDIA_TYPES } from "../oci/blob.ts";
import { listAttestedFiles } from "./attested-files.ts";

/** The layout in `oci/` of a build. */
export interface Layout {
  readonly manifests: readonly Descriptor[];
  /** The images of an index, by its digest. */
  readonly readIndex: (digest: string) => readonly Descriptor[];
  /** Whether the build has that file. */
  readonly isThere: (path: string) => boolean;
}

export interface PublicationOptions {
  /** Folder of the build. */
  readonly folder: string;
  /** `registry/name`, without a tag. */
  readonly to: string;
  /** Whether the runtime image is `latest`, too. */
  readonly latest: boolean;
}

type Command = readonly string[];

const TAG = "org.opencontainers.image.ref.name";
/** No tag and no digest: those are the build's. A port is no tag. */
const REPOSITORY = /^[\w.-]+(:\d+)?(\/[a-z0-9._-]+)+$/;

/** argv by argv, in order: an image is there before something is said of it, and `latest` moves when all is said.
 * @throws {Error} for a repository that is none, or a layout without tags. */
export function planPublication(layout: Layout, { folder, to, latest }: PublicationOptions): readonly Command[] {
  if (!REPOSITORY.test(to)) throw new Error(`Cannot publish to ${to}: registry/name is accepted, without a tag`);
  const variants = tagged(layout.manifests);
  if (variants.length === 0) throw new Error(`Cannot publish ${folder}: it has no tagged image`);
  const copy = (tag: string, as: string): Command => [
    ...["skopeo", "copy", "--all", "--preserve-digests"],
    ...[`oci:${join(folder, "oci")}:${tag}`, `docker://${to}:${as}`],
  ];
  const [runtime] = variants.map(([tag]) => tag).toSorted((a, b) => a.length - b.length);
  return [
    ...variants.flatMap(([tag, index]) => [
      copy(tag, tag),
      ["cosign", "sign", "--yes", "--recursive", `${to}@${index.digest}`],
      ...layout
        .readIndex(index.digest)
        .flatMap(({ digest, platform }) =>
          listAttestedFiles(folder, { tag, architecture: `${platform?.architecture}` }, layout.isThere).map(
            ({ type, path }) => [
              ...["cosign", "attest", "--yes", "--type", type, "--predicate", path],
              `${to}@${digest}`,
            ],
          ),
        ),
    ]),
    ...(latest && runtime !== undefined ? [copy(runtime, "latest")] : []),
  ];
}

/** One line for each tag, as sha256sum writes it: what a CI service's own provenance is about. */
export function readSubjects(manifests: readonly Descriptor[], to: string): string {
  return tagged(manifests)
    .map(([tag, { digest }]) => `${digest.replace(/^sha256:/, "")}  ${to}:${tag}\n`)
    .join("");
}

function tagged(manifests: readonly Descriptor[]): readonly (readonly [tag: string, index: Descriptor])[] {
  return manifests.flatMap((index) => {
    const tag = index.annotations?.[TAG];
    return index.mediaType === MEDIA_TYPES.index && tag !== undefined ? [[tag, index] as const] : [];
  });
}
