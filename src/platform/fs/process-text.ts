// Reads what a process says of itself in /proc, bounded, for the few processes that are worth it. Processes end while they
// are read: what is gone is a value. Not here: going through all processes (proc-reader.ts).
import { closeSync, openSync, readSync } from "node:fs";
import { join } from "node:path";

/** More than any kubelet's arguments; what is beyond is not read. */
const MAX_BYTES = 64 * 1024;

/** Text of /proc/PID/cmdline or status below `root`; undefined when it is gone or not to be seen by us. */
export function readProcessText(root: string, pid: number, file: "cmdline" | "status"): string | undefined {
  try {
    const fd = openSync(join(root, String(pid), file), "r");
    try {
      const bytes = new Uint8Array(MAX_BYTES);
      let length = 0;
      // The kernel gives at most a page at a time.
      for (let more = -1; more !== 0 && length < bytes.length; length += more) {
        more = readSync(fd, bytes, length, bytes.length - length, null);
      }
      return new TextDecoder("latin1").decode(bytes.subarray(0, length));
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}
