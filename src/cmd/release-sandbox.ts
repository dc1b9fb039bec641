// What a DEL means to those who held on to the sandbox's namespace: its handle, the verifier's monitor in it, ztunnel.
import type { NetnsRegistry } from "../agent/netns/netns-registry.ts";
import type { Verifier } from "../agent/verify/verifier.ts";
import type { WiredAmbient } from "./wire-ambient.ts";

export interface SandboxHolders {
  readonly netns: Pick<NetnsRegistry, "release">;
  readonly verifier: Pick<Verifier, "record" | "sandboxRemoved">;
  /** Undefined: the node is not in ambient mode. */
  readonly ambient: Pick<WiredAmbient, "removed"> | undefined;
}

/** By the sandbox's id alone: the pod UID of a DEL is not the API's where the pod is static, and belongs to the pod's newer
 * sandbox too. */
export function releaseSandbox(containerId: string, { netns, verifier, ambient }: SandboxHolders): void {
  const released = netns.release(containerId);
  const podUid = released[0]?.podUid;
  // A static pod may be held under a UID that is not the API's, and who is not held may be monitored all the same.
  const isKnown = podUid !== undefined && verifier.record(podUid) !== undefined;
  verifier.sandboxRemoved(isKnown ? podUid : undefined);
  for (const held of released) ambient?.removed(held.podUid, held);
}
