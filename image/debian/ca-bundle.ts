// The bundle of certificate authorities that update-ca-certificates would write, without running it.
import type { TarEntry } from "../archive/read-tar.ts";

const FOLDER = "usr/share/ca-certificates/";

/** Every certificate of the package ca-certificates in the order of its name's bytes, each ending with a newline.
 * @throws {Error} when there are fewer than a hundred: the package has changed its layout. */
export function renderCaBundle(files: readonly TarEntry[]): Uint8Array {
  const certificates = files
    .filter(({ kind, path }) => kind === "file" && path.startsWith(FOLDER) && path.endsWith(".crt"))
    .toSorted((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
  if (certificates.length < 100)
    throw new Error(`Cannot make the CA bundle: only ${certificates.length} certificates below /${FOLDER}`);
  const newline = Uint8Array.of(0x0a);
  return Buffer.concat(
    certificates.flatMap(({ content }) => (content.at(-1) === 0x0a ? [content] : [content, newline])),
  );
}
