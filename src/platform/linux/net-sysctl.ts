// Reads a setting below net/ of a network namespace. /proc/sys/net shows those of whoever looks, whichever /proc that is: the
// node's settings are not to be had through a mount of the node's /proc, but from inside the node's namespace.
import { readFileSync } from "node:fs";
import { runInNetns } from "./netns.ts";

/** @param name as "ipv4/tcp_early_demux". Without the line's end. @throws {Error} ENOENT and the like */
export function readNetSysctl(netnsFd: number, name: string): string {
  return runInNetns(netnsFd, () => readFileSync(`/proc/sys/net/${name}`, "latin1")).trimEnd();
}
