// Whether the watch shows what there is now.
import type { Informers } from "../agent/informers/informers.ts";

/** The pods of this node are listed and watched, without a fault: who is not among them is not there. */
export function isWatched(informers: Pick<Informers, "health">): boolean {
  return informers.health().some(({ kind, isSynced, phase }) => kind === "pods" && isSynced && phase === "watching");
}
