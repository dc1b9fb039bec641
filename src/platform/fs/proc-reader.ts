/**
 * Reads a procfs that shows the node's processes. Processes come and go while it is read, so whatever is gone is a value
 * and not an error. Links and stat are read synchronously (the kernel answers at once); the list and the cgroups, for which
 * the kernel takes locks that others may hold for long, on the thread pool.
 */
import { closeSync, openSync, read, readFileSync, readlinkSync, readSync, statSync } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { FileError } from "../../core/file-error.ts";
import { toFileError } from "./file-error.ts";

export interface NetnsFile {
  readonly path: string;
  readonly dev: bigint;
  readonly ino: bigint;
}

export interface ProcReader {
  /** Every process, in the kernel's order. @throws {FileError} not-found where no procfs is, denied, too-large */
  pids(): Promise<number[]>;
  /** Inode of the network namespace of a process; undefined when it is gone or not to be seen by us. */
  netnsIno(pid: number): bigint | undefined;
  /** The network namespace of process 1, which is the node's; where a sandbox hides that, the kernel's own threads tell.
   * To see it takes CAP_SYS_PTRACE. @throws {FileError} */
  nodeNetns(): NetnsFile;
  netnsPath(pid: number): string;
  /** Text of stat; undefined when it is gone. */
  stat(pid: number): string | undefined;
  /** Target of exe; undefined for kernel threads and when it is gone. */
  exe(pid: number): string | undefined;
  /** Text of cgroup; undefined when it is gone. */
  cgroup(pid: number): Promise<string | undefined>;
  /** The namespace files that runtimes keep in `folders`; a folder that is not there has none. `nsfs` is the device of
   * namespaces: what else lies there is passed over, symlinks are not followed. */
  namedNetns(folders: readonly string[], nsfs: bigint): Promise<NetnsFile[]>;
}

const NETNS_LINK = /^net:\[(\d{1,20})\]$/;
const MAX_PIDS = 262_144;
const MAX_NAMED = 16_384;
/** About 14 lines, with paths of some 150 bytes; what is beyond the bound is not read. */
const CGROUP_BYTES = 16 * 1024;
/** A stat line is at most about 600 bytes. */
const STAT_BYTES = 2048;

const readOnPool = promisify(read);

/** @param root where the procfs is mounted, e.g. "/host/proc". */
export function createProcReader(root: string): ProcReader {
  const buffer = new Uint8Array(STAT_BYTES);
  const decoder = new TextDecoder("latin1");
  const netnsPath = (pid: number): string => join(root, String(pid), "ns/net");
  return {
    async pids() {
      // Names only: the kernel gives no type for a process that has just ended, and asking for types would fail on it.
      const names = await readdir(root).catch((error: unknown) => {
        throw toFileError(error, "read", root);
      });
      const pids = names.filter((name) => /^[1-9][0-9]{0,9}$/.test(name)).map(Number);
      if (pids.length > MAX_PIDS)
        throw new FileError("too-large", "read", root, `it has more than ${MAX_PIDS} processes`);
      return pids;
    },
    netnsIno(pid) {
      try {
        const ino = NETNS_LINK.exec(readlinkSync(netnsPath(pid)))?.[1];
        return ino === undefined ? undefined : BigInt(ino);
      } catch {
        return undefined;
      }
    },
    nodeNetns() {
      const path = netnsPath(1);
      try {
        const { dev, ino } = statSync(path, { bigint: true });
        return { path, dev, ino };
      } catch (error) {
        const kernelThread = initialNetns(root);
        if (kernelThread !== undefined) return kernelThread;
        throw toFileError(error, "read", path);
      }
    },
    netnsPath,
    stat(pid) {
      try {
        const fd = openSync(join(root, String(pid), "stat"), "r");
        try {
          return decoder.decode(buffer.subarray(0, readSync(fd, buffer)));
        } finally {
          closeSync(fd);
        }
      } catch {
        return undefined;
      }
    },
    exe(pid) {
      try {
        return readlinkSync(join(root, String(pid), "exe"));
      } catch {
        return undefined;
      }
    },
    async cgroup(pid) {
      try {
        const fd = openSync(join(root, String(pid), "cgroup"), "r");
        try {
          // The kernel writes the whole text into one read, and only that waits for the lock of all cgroups.
          const text = new Uint8Array(CGROUP_BYTES);
          return decoder.decode(text.subarray(0, (await readOnPool(fd, text, 0, text.length, null)).bytesRead));
        } finally {
          closeSync(fd);
        }
      } catch {
        return undefined;
      }
    },
    async namedNetns(folders, nsfs) {
      const found: NetnsFile[] = [];
      for (const folder of folders) {
        const names = await readdir(folder).catch(() => []);
        for (const name of names.slice(0, MAX_NAMED)) {
          const path = join(folder, name);
          const stat = await lstat(path, { bigint: true }).catch(() => undefined);
          if (stat?.dev === nsfs) found.push({ path, dev: stat.dev, ino: stat.ino });
        }
      }
      return found;
    },
  };
}

/** The namespace of kthreadd, the first kernel thread: always the machine's initial one. Undefined inside a pid namespace,
 * where process 2 is anybody's, and where it cannot be seen either. */
function initialNetns(root: string): NetnsFile | undefined {
  try {
    if (
      readFileSync(join(root, "2/comm"), "utf8").trimEnd() !== "kthreadd" ||
      readFileSync(join(root, "2/cmdline")).length > 0
    ) {
      return undefined;
    }
    const path = join(root, "2/ns/net");
    const { dev, ino } = statSync(path, { bigint: true });
    return { path, dev, ino };
  } catch {
    return undefined;
  }
}
