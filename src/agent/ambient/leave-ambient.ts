// The end of ambient mode on this node, in one go: no agent comes after this one that would serve ztunnel or keep rules, so the
// pods that are in are let out, and then the node's rules for their probes. To be called when nothing else works on them any more.
import { messageOf } from "../../core/error-message.ts";
import type { Logger } from "../../core/log.ts";

/** A pod that is in, or may be. */
export interface AmbientMember {
  readonly podUid: string;
  readonly podNamespace: string;
  readonly podName: string;
  /** Its network namespace; undefined: not known. @throws when it cannot be opened */
  open(): (Disposable & { readonly fd: number }) | undefined;
  /** Takes its annotation away, where that can be done. */
  annotate?(signal: AbortSignal): Promise<void>;
}

export interface LeaveAmbientDeps {
  /** Takes every rule of ambient mode out of a namespace. */
  remove(netnsFd: number): Promise<unknown>;
  /** False: there were none. */
  removeHostProbes(): Promise<boolean>;
  readonly log: Logger;
}

export interface LeaveReport {
  readonly released: number;
  /** Pods that still hold rules or their annotation, and what is left of the node's own. */
  readonly left: readonly { readonly what: string; readonly reason: string }[];
}

/** Kernels answer a batch that deletes after 5 to 15 ms: pods at the same time. */
const AT_ONCE = 16;

/** Never rejects. Pods that were not reached before the signal aborts are `left`, as captured as they were. */
export async function leaveAmbient(
  deps: LeaveAmbientDeps,
  members: readonly AmbientMember[],
  signal: AbortSignal,
): Promise<LeaveReport> {
  const left: { what: string; reason: string }[] = [];
  let released = 0;
  const waiting = [...members];

  async function release(member: AmbientMember): Promise<void> {
    const what = `pod ${member.podNamespace}/${member.podName}`;
    try {
      signal.throwIfAborted();
      using netns = member.open();
      if (netns === undefined) throw new Error("its network namespace is not known");
      await deps.remove(netns.fd);
      released += 1;
    } catch (error) {
      left.push({ what, reason: messageOf(error) });
      return;
    }
    try {
      await member.annotate?.(signal);
    } catch (error) {
      left.push({ what: `the annotation of ${what}`, reason: messageOf(error) });
    }
  }

  async function work(): Promise<void> {
    for (let member = waiting.shift(); member !== undefined; member = waiting.shift()) await release(member);
  }

  await Promise.all(Array.from({ length: Math.min(AT_ONCE, members.length) }, work));
  try {
    if (await deps.removeHostProbes()) deps.log.info("Removed the node's rules for probes of ambient pods");
  } catch (error) {
    left.push({ what: "the node's rules for probes", reason: messageOf(error) });
  }
  if (released > 0) deps.log.warn(`Took ${released} pods out of the ambient mesh: no agent comes after this one`);
  for (const { what, reason } of left) deps.log.warn(`Left in ambient mode: ${what}: ${reason}`);
  return { released, left };
}
