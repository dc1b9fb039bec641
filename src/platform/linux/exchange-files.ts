// Two files change their names in one step: what Node's rename cannot do.
import { constants } from "node:os";
import { ErrnoError } from "./errno-error.ts";
import { lastErrno, renameat2 } from "./libc.ts";

const { ENOENT, EINVAL, ENOSYS } = constants.errno;

const AT_FDCWD = -100;
const RENAME_EXCHANGE = 2;

/** "unsupported" where kernel or file system cannot do that, "gone" when one of the two is not there.
 * @throws {ErrnoError} for any other failure */
export function exchangeFiles(path: string, other: string): "done" | "unsupported" | "gone" {
  if (renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE) === 0) return "done";
  const errno = lastErrno();
  if (errno === EINVAL || errno === ENOSYS) return "unsupported";
  if (errno === ENOENT) return "gone";
  throw new ErrnoError("renameat2", errno, `exchange ${path} and ${other}`);
}
