// What a process has open, so that a test sees what it keeps.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** One word for each descriptor, by kind: "socket:", "net:", "anon_inode:[eventpoll]", or a path. Connections over TCP are left
 * out: to the API server, and of whoever asks whether it is ready; they are kept for a while. */
export function listDescriptors(pid: number): readonly string[] {
  const tables = ["tcp", "tcp6"].map((name) => readFileSync(`/proc/${pid}/net/${name}`, "utf8"));
  // The tenth column is the socket's inode (proc_net_tcp).
  const tcp = new Set(tables.flatMap((table) => table.split("\n").map((line) => line.trim().split(/ +/)[9])));
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    const target = readTarget(`/proc/${pid}/fd/${fd}`);
    const isTcp = tcp.has(/^socket:\[(\d+)\]$/.exec(target ?? "")?.[1] ?? "none");
    return target === undefined || isTcp ? [] : target.replace(/\[\d+\]$/, "");
  });
}

/** Undefined: it was closed meanwhile. */
function readTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
