// containerd calls its loopback plugin beside the pod's network, not before it (go-cni attachNetworks), and that plugin refuses a
// sandbox in whose `lo` it finds an address of another kind once it has switched it on (containernetworking/plugins, loopback).
// A capture of IPv6 puts one there: where the node is so crowded that we come first, we let it go first. (Between the two steps of
// a plugin that has just switched `lo` on we may still come; every ADD would have to wait for that.)
import type { Clock } from "../../platform/clock.ts";

/** Much longer than a node leaves a process waiting for a processor; short for a runtime that never switches `lo` on. */
const PATIENCE_MS = 150;
const LOOK_AGAIN_MS = 2;
/** From switching `lo` on to reading its addresses, in the same process. */
const GRACE_MS = 5;

/** Resolves at once where `lo` is up; else some milliseconds after it is, or when patience or `signal` ends. Never rejects for that. */
export async function awaitLoopback(isUp: () => boolean, clock: Clock, signal: AbortSignal): Promise<void> {
  if (isUp()) return;
  const pause = (ms: number): Promise<void> => clock.sleep(ms, signal).catch(() => undefined);
  for (const beganMs = clock.nowMs(); !signal.aborted && clock.nowMs() - beganMs < PATIENCE_MS; ) {
    await pause(LOOK_AGAIN_MS);
    if (isUp()) return pause(GRACE_MS);
  }
}
