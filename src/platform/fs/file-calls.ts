/**
 * The calls of node:fs this room makes, as an object: the seam at which tests make any one of them fail, or end the
 * process in the middle of it.
 */
import fs from "node:fs/promises";

export type FileCalls = Pick<typeof fs, "lstat" | "open" | "readdir" | "readlink" | "rename" | "rmdir" | "unlink">;

export const fileCalls: FileCalls = fs;
