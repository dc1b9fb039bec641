// The kernel's name for the time since it started; containers see the node's.
import { readFileSync } from "node:fs";

/** Undefined where the kernel, or a sandbox in its place, does not tell. */
export function readBootId(): string | undefined {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    return undefined;
  }
}
