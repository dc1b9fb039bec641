// What is attested of an image: one list for both ways of signing, by a key (sign-images.ts) and by a job (publication.ts).
import { join } from "node:path";
import { PREDICATES, PROFILE_RESULT, TEST_RESULT } from "../describe/predicates.ts";

export interface AttestedFile {
  readonly type: string;
  readonly path: string;
}

/** Every description of the image, and of the results those that there are. `folder` is the build's. */
export function listAttestedFiles(
  folder: string,
  image: { readonly tag: string; readonly architecture: string },
  isThere: (path: string) => boolean,
): readonly AttestedFile[] {
  const described = join(folder, "descriptions", `${image.tag}-${image.architecture}`);
  const results = [
    { type: TEST_RESULT.type, path: join(folder, TEST_RESULT.file) },
    { type: PROFILE_RESULT.type, path: join(described, PROFILE_RESULT.file) },
  ];
  return [
    ...Object.entries(PREDICATES).map(([type, file]) => ({ type, path: join(described, file) })),
    ...results.filter(({ path }) => isThere(path)),
  ];
}
