// Reads a kernel setting of a network namespace. /proc/sys/net shows the settings of the reader's own namespace wherever it is
// mounted from, so a container that is not on the node's network learns nothing of the node by /host/proc/sys/net.
import { closeSync, openSync, readSync } from "node:fs";
import { codeOf } from "../../core/error-message.ts";
import { runInNetns } from "./netns.ts";

/** One line is all that such a file holds. */
const MAX_BYTES = 256;

/** The value of net.NAME, e.g. "ipv4.tcp_early_demux", without its newline; undefined where the kernel has no such setting. */
export function readNetSysctl(netnsFd: number, name: string): string | undefined {
  if (!/^[a-z0-9_]+(\.[a-z0-9_]+)+$/.test(name)) {
    throw new RangeError(`Cannot read setting net.${name}: words of a-z, 0-9 and _ joined by dots are accepted`);
  }
  return runInNetns(netnsFd, () => {
    try {
      const fd = openSync(`/proc/sys/net/${name.replaceAll(".", "/")}`, "r");
      try {
        const bytes = new Uint8Array(MAX_BYTES);
        return new TextDecoder().decode(bytes.subarray(0, readSync(fd, bytes))).trimEnd();
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      throw error;
    }
  });
}
