/**
 * Finds where an entry of a folder really lies when it is a symlink, without ever leaving the folder: step by step, as the
 * host sees it. An absolute link on the host names a path of the host, which in our container begins elsewhere.
 */
import { join, normalize } from "node:path";
import { codeOf } from "../../core/error-message.ts";
import { FileError } from "../../core/file-error.ts";
import { type FileCalls, fileCalls } from "./file-calls.ts";
import { toFileError } from "./file-error.ts";

/** The names of a folder of ours on the host, most likely first; none known is fine. */
export type HostNamesOf = (folder: string) => Promise<readonly string[]>;

/** As in Linux, path_resolution(7). */
const MAX_LINKS = 40;

const noNames: HostNamesOf = async () => [];

/**
 * The path at which the entry `name` of the folder `root` lies: itself, or where a symlink leads inside `root`. An entry
 * that is not there is returned as it would be. Whether the last part is a file is the reader's business, who must not
 * follow it any further (O_NOFOLLOW).
 * @throws FileError outside for a symlink that leads out of `root`; dangling for one to nothing; denied, failed
 */
export async function resolveInside(
  root: string,
  name: string,
  calls: FileCalls = fileCalls,
  hostNamesOf: HostNamesOf = noNames,
): Promise<string> {
  const entry = join(root, name);
  let path = entry;
  let at: string[] = [];
  let rest = [name];
  let links = 0;
  for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      at = at.slice(0, -1);
      continue;
    }
    path = join(root, ...at, part);
    const isLink = await isSymlink(path, calls);
    if (isLink === undefined) {
      if (links === 0) return entry;
      throw await failure("dangling", entry, "which is not there", calls);
    }
    if (!isLink) {
      at.push(part);
      continue;
    }
    if (++links > MAX_LINKS) throw await failure("dangling", entry, "in a circle", calls);
    const target = await linkTarget(path, calls);
    const inside = await insideOf(root, at, target, hostNamesOf);
    if (inside === undefined) {
      throw await failure("outside", entry, `which is no file inside ${root} as seen from here`, calls);
    }
    at = [];
    rest = [...inside, ...rest];
  }
  return join(root, ...at);
}

/** The parts below `root` that a link in the folder `at` leads to; undefined when it leads out, as far as can be told. */
async function insideOf(
  root: string,
  at: readonly string[],
  target: string,
  hostNamesOf: HostNamesOf,
): Promise<string[] | undefined> {
  const isAbsolute = target.startsWith("/");
  if (!isAbsolute && !leadsOut(at, target)) return [...at, ...target.split("/")];
  // The folder's own name here counts too: on a host that runs the agent without a container it is the host's.
  const names = [...(await hostNamesOf(root)), root];
  for (const name of names) {
    const absolute = normalize(isAbsolute ? target : join(name, ...at, target));
    const below = names.find((candidate) => absolute.startsWith(`${candidate}/`));
    if (below !== undefined) return absolute.slice(below.length + 1).split("/");
  }
  return undefined;
}

function leadsOut(at: readonly string[], target: string): boolean {
  let depth = at.length;
  for (const part of target.split("/")) {
    if (part === "..") depth--;
    else if (part !== "" && part !== ".") depth++;
    if (depth < 0) return true;
  }
  return false;
}

/** Undefined when nothing is there. */
async function isSymlink(path: string, calls: FileCalls): Promise<boolean | undefined> {
  try {
    return (await calls.lstat(path)).isSymbolicLink();
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw toFileError(error, "find", path);
  }
}

async function linkTarget(path: string, calls: FileCalls): Promise<string> {
  try {
    return await calls.readlink(path);
  } catch (error) {
    throw toFileError(error, "follow", path);
  }
}

async function failure(
  code: "dangling" | "outside",
  entry: string,
  where: string,
  calls: FileCalls,
): Promise<FileError> {
  const target = await calls.readlink(entry).catch(() => "an unknown place");
  return new FileError(code, "follow", entry, `it is a symlink to ${target}, ${where}`);
}
