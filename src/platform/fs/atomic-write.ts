/**
 * Replaces a file so that at every instant, also after a crash or power loss, readers see the whole old content or the
 * whole new one: temporary file in the same folder, fsync, rename, fsync of the folder (contract 10.2 D7).
 */
import { randomBytes } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { basename, dirname, join } from "node:path";
import { temporaryName } from "../../core/cni/temporary-name.ts";
import { codeOf } from "../../core/error-message.ts";
import { FileError, fileErrorCode } from "../../core/file-error.ts";
import { type FileCalls, fileCalls } from "./file-calls.ts";
import { toFileError } from "./file-error.ts";
import { readBounded } from "./read-bounded.ts";
import { type HostNamesOf, resolveInside } from "./resolve-inside.ts";

export type AtomicWriteOptions = {
  /** Mode of the new file, where `keepOf` does not give it. */
  readonly mode: number;
  /**
   * The entry of the folder whose mode, owner and label the new file takes if it exists; undefined: only the label of
   * what it replaces, and an entry that is a symlink is replaced itself instead of its target.
   */
  readonly keepOf: string | undefined;
  /** What must be there until the rename; "absent": no file; "any": whatever. A change in between is refused. */
  readonly expected: Uint8Array | "absent" | "any";
};

export type AtomicWriteDeps = {
  readonly calls: FileCalls;
  /** Copies security labels (SELinux) to a new file that stands in for an old one, as far as it can. Never throws. */
  readonly copyLabels: (fromPath: string, toPath: string) => void;
  /** Lets two files change their names in one step; unsupported: not here; gone: one of them is not there. */
  readonly exchange: (path: string, other: string) => "done" | "unsupported" | "gone";
  /** What our folders are called in symlinks of the host. */
  readonly hostNamesOf: HostNamesOf;
};

/** Real calls of Node alone: no labels, no exchange, no container. */
export const plainDeps: AtomicWriteDeps = {
  calls: fileCalls,
  copyLabels: () => undefined,
  exchange: () => "unsupported",
  hostNamesOf: async () => [],
};
const CREATE_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/**
 * Writes `bytes` to the entry `name` of the folder `root`. A symlink is followed where it stays inside `root` (and its
 * target replaced), except without `keepOf`. The owner is kept as far as we may. On failure the old file is untouched and
 * the temporary one removed.
 * @throws FileError changed, outside, not-found (the folder), read-only, no-space, denied, failed
 */
export async function writeAtomically(
  root: string,
  name: string,
  bytes: Uint8Array,
  options: AtomicWriteOptions,
  deps: AtomicWriteDeps = plainDeps,
): Promise<void> {
  const { calls, hostNamesOf } = deps;
  const { keepOf } = options;
  const target = keepOf === undefined ? join(root, name) : await resolveInside(root, name, calls, hostNamesOf);
  const model = keepOf === undefined ? undefined : await resolveInside(root, keepOf, calls, hostNamesOf);
  const temporary = join(dirname(target), temporaryName(basename(target), randomBytes(6).toString("hex")));
  try {
    await writeTemporary(temporary, bytes, { mode: options.mode, model, labelOf: model ?? target }, deps);
    await refuseChanged(target, options.expected, calls);
    await takePlace(temporary, target, options.expected, deps);
  } catch (error) {
    await calls.unlink(temporary).catch(() => undefined);
    throw toFileError(error, "write", target);
  }
  await syncFolder(dirname(target), calls);
}

/**
 * The last step. Where the system can exchange two files, what was displaced is looked at, so that a writer who was faster
 * by the time of one call loses nothing: its file is put back. Elsewhere that one call's time is open.
 */
async function takePlace(
  temporary: string,
  target: string,
  expected: AtomicWriteOptions["expected"],
  { calls, exchange }: AtomicWriteDeps,
): Promise<void> {
  const outcome = expected === "any" || expected === "absent" ? "unsupported" : exchange(temporary, target);
  if (outcome === "unsupported") return await calls.rename(temporary, target);
  if (outcome === "gone") throw changedMeanwhile(target);
  try {
    await refuseChanged(temporary, expected, calls);
  } catch (error) {
    exchange(temporary, target);
    throw error;
  }
  await calls.unlink(temporary);
}

/**
 * Removes the entry `name` of the folder `root`, a symlink itself and not its target; none there is success.
 * @throws FileError changed, when it does not have the `expected` content; read-only, denied, failed
 */
export async function removeDurably(
  root: string,
  name: string,
  expected: Uint8Array | "any",
  { calls, hostNamesOf }: AtomicWriteDeps = plainDeps,
): Promise<void> {
  const path = join(root, name);
  try {
    if (expected !== "any") await refuseChanged(await resolveInside(root, name, calls, hostNamesOf), expected, calls);
    await calls.unlink(path);
  } catch (error) {
    const failure = toFileError(error, "remove", path);
    if (failure.code === "not-found") return;
    throw failure;
  }
  await syncFolder(root, calls);
}

async function writeTemporary(
  path: string,
  bytes: Uint8Array,
  like: { readonly mode: number; readonly model: string | undefined; readonly labelOf: string },
  { calls, copyLabels }: AtomicWriteDeps,
): Promise<void> {
  const { mode, model, labelOf } = like;
  const kept = model === undefined ? undefined : await statOrUndefined(model, calls);
  await using file = await calls.open(path, CREATE_FLAGS, 0o600);
  await file.writeFile(bytes);
  if (kept !== undefined) await keepOwner(file, kept);
  copyLabels(labelOf, path);
  await file.chmod(kept === undefined ? mode : kept.mode & 0o7777);
  await file.sync();
}

/** The chart grants no CAP_CHOWN: a file of another owner becomes ours, which runtimes, being root, can read. */
async function keepOwner(file: Awaited<ReturnType<FileCalls["open"]>>, kept: Stats): Promise<void> {
  const { uid, gid } = await file.stat();
  if (uid === kept.uid && gid === kept.gid) return;
  try {
    await file.chown(kept.uid, kept.gid);
  } catch (error) {
    if (codeOf(error) !== "EPERM") throw error;
  }
}

async function refuseChanged(path: string, expected: AtomicWriteOptions["expected"], calls: FileCalls): Promise<void> {
  if (expected === "any") return;
  const found = await readOrUndefined(path, expected === "absent" ? 0 : expected.length, calls);
  const isSame =
    expected === "absent" ? found === undefined : found !== undefined && Buffer.compare(found, expected) === 0;
  if (!isSame) throw changedMeanwhile(path);
}

function changedMeanwhile(path: string): FileError {
  return new FileError("changed", "write", path, "somebody else has changed it in the meantime");
}

async function readOrUndefined(path: string, maxBytes: number, calls: FileCalls): Promise<Uint8Array | undefined> {
  try {
    return (await readBounded(path, maxBytes, calls)).bytes;
  } catch (error) {
    if (fileErrorCode(error) === "not-found") return undefined;
    if (fileErrorCode(error) === "too-large") throw changedMeanwhile(path);
    throw error;
  }
}

async function statOrUndefined(path: string, calls: FileCalls): Promise<Stats | undefined> {
  try {
    return await calls.lstat(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Makes a rename or unlink in the folder durable; some file systems have no fsync for folders and need none. */
async function syncFolder(path: string, calls: FileCalls): Promise<void> {
  try {
    await using folder = await calls.open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    await folder.sync();
  } catch (error) {
    if (codeOf(error) !== "EINVAL" && codeOf(error) !== "ENOTSUP") throw toFileError(error, "sync", path);
  }
}
