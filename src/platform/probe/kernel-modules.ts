// What the kernel says of its modules. Reads only; the host's own list lies on the host's disk.
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { readText } from "./read-text.ts";

export interface ModuleTexts {
  /** /proc/modules; undefined: a kernel without loadable modules. */
  readonly loaded: string | undefined;
  /** modules.builtin of the running kernel, "" where it is not to be seen. */
  readonly builtIn: string;
  /** Names in /sys/module: what is loaded, and what is built in and has parameters. */
  readonly inSys: readonly string[];
  /** Loading is shut off, or the host (when it can be looked at) has no modules for this kernel. */
  readonly cannotLoad: boolean;
}

const MAX_BYTES = 4 << 20;

/** @param hostRoot the host's file system as seen from here, "" for our own; undefined: it is not to be seen
 * @throws {FileError} when /proc cannot be read */
export async function readModuleTexts(hostRoot: string | undefined): Promise<ModuleTexts> {
  const loaded = existsSync("/proc/modules") ? await readText("/proc/modules", MAX_BYTES) : undefined;
  const inSys = await readdir("/sys/module").catch(() => []);
  const disabled = await readText("/proc/sys/kernel/modules_disabled", 16).catch(() => "0");
  const folders =
    hostRoot === undefined
      ? []
      : ["/lib/modules", "/usr/lib/modules"].map((path) => join(hostRoot || "/", path, release()));
  const folder = folders.find((path) => existsSync(path));
  const builtIn =
    folder === undefined ? "" : await readText(join(folder, "modules.builtin"), MAX_BYTES).catch(() => "");
  return {
    loaded,
    builtIn,
    inSys,
    cannotLoad: disabled.trim() === "1" || (hostRoot !== undefined && folder === undefined),
  };
}
