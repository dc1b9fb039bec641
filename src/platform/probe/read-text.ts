// One small file of /proc, /sys or the disk as text.
import { readBounded } from "../fs/read-bounded.ts";

/** @throws {FileError} not-found, not-a-file, too-large, denied, failed */
export async function readText(path: string, maxBytes = 256 * 1024): Promise<string> {
  return new TextDecoder().decode((await readBounded(path, maxBytes)).bytes);
}
