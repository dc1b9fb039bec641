// The label SELinux keeps with each file. A file that stands in for another must carry that one's label, or confined
// runtimes may not read it; Node knows no extended attributes, hence two calls of libc.
import { constants } from "node:os";
import { lastErrno, lgetxattr, lsetxattr } from "./libc.ts";

const NAME = "security.selinux";
/** SELinux contexts are below 4096 bytes by its own limit (a page). */
const MAX_BYTES = 4096;

const { ENODATA, ENOENT, ENOTDIR, EOPNOTSUPP } = constants.errno;
/** There is no label, no file, or no labels here. Anything else, as EACCES: there may be one that was not to be read. */
const NO_LABEL: readonly number[] = [ENODATA, ENOENT, ENOTDIR, EOPNOTSUPP];

/** How it went: copied; none (the old file has no label, or is not there, or the file system keeps none); or why not. */
export type LabelOutcome = "copied" | "none" | { readonly errno: number };

/** Gives `toPath` the label of `fromPath`. Symlinks are not followed. */
export function copySecurityLabel(fromPath: string, toPath: string): LabelOutcome {
  const label = new Uint8Array(MAX_BYTES);
  const length = lgetxattr(fromPath, NAME, label, MAX_BYTES);
  if (length === 0) return "none";
  if (length < 0) {
    const errno = lastErrno();
    return NO_LABEL.includes(errno) ? "none" : { errno };
  }
  return lsetxattr(toPath, NAME, label, length, 0) === 0 ? "copied" : { errno: lastErrno() };
}
