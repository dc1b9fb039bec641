// The end of ambient mode on this node, in one go: no agent comes after this one that would serve ztunnel or keep rules, so the
// pods that are in are let out, and then the node's rules for their probes. To be called when nothing else works on them any more.
//
// All pods are let go at once, which sends their new connections past ztunnel; those that they have get the time there is.
import { messageOf } from "../../core/error-message.ts";
import type { Logger } from "../../core/log.ts";
import type { Clock } from "../../platform/clock.ts";

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
  /** Sends new connections past ztunnel and keeps the open ones up; asked again it tells how many those are (agent/netfilter). */
  release(netnsFd: number): Promise<{ readonly changed: boolean; readonly connections: number | undefined }>;
  /** Takes every rule of ambient mode out of a namespace. */
  remove(netnsFd: number, member: AmbientMember): Promise<unknown>;
  /** False: there were none. */
  removeHostProbes(): Promise<boolean>;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface LeaveAmbientOptions {
  /** How long open connections are waited for, all pods together. */
  readonly finishMs: number;
}

export interface LeaveReport {
  readonly released: number;
  /** Pods that still hold rules or their annotation, and what is left of the node's own. */
  readonly left: readonly { readonly what: string; readonly reason: string }[];
}

interface Going {
  readonly member: AmbientMember;
  readonly netns: Disposable & { readonly fd: number };
  isDone: boolean;
}

/** Kernels answer a batch that deletes after 5 to 15 ms: pods at the same time. */
const AT_ONCE = 16;
/** What was on its way when a pod was let go has arrived by then. */
const FIRST_LOOK_MS = 500;
const NEXT_LOOK_MS = 250;

/** Never rejects. Pods that were not reached before the signal aborts are `left`, as captured as they were. */
export async function leaveAmbient(
  deps: LeaveAmbientDeps,
  members: readonly AmbientMember[],
  { finishMs }: LeaveAmbientOptions,
  signal: AbortSignal,
): Promise<LeaveReport> {
  const { clock } = deps;
  const left: { what: string; reason: string }[] = [];
  const going: Going[] = [];
  let released = 0;
  const tryFor = async (what: string, action: () => Promise<void>): Promise<void> => {
    try {
      await action();
    } catch (error) {
      left.push({ what, reason: messageOf(error) });
    }
  };

  await forAll(members, (member) =>
    tryFor(nameOf(member), async () => {
      signal.throwIfAborted();
      const netns = member.open();
      if (netns === undefined) throw new Error("its network namespace is not known");
      const pod = { member, netns, isDone: false };
      going.push(pod);
      // Where nothing can be let go first, everything goes at once.
      const state = await deps.release(netns.fd).catch(() => undefined);
      pod.isDone = state === undefined || (!state.changed && state.connections === 0);
    }),
  );
  // The mesh makes connections to ztunnel for as long as it says that the pod is in; rules need not wait for the API.
  const annotating = forAll(going, ({ member }) =>
    tryFor(`the annotation of ${nameOf(member)}`, async () => member.annotate?.(signal)),
  );
  await finish();
  await forAll(going, ({ member, netns }) =>
    tryFor(nameOf(member), async () => {
      using _netns = netns;
      await deps.remove(netns.fd, member);
      released += 1;
    }),
  );
  await annotating;
  await tryFor("the node's rules for probes", async () => {
    if (await deps.removeHostProbes()) deps.log.info("Removed the node's rules for probes of ambient pods");
  });
  if (released > 0) deps.log.warn(`Took ${released} pods out of the ambient mesh: no agent comes after this one`);
  for (const { what, reason } of left) deps.log.warn(`Left in ambient mode: ${what}: ${reason}`);
  return { released, left };

  /** Until no pod has a connection that ztunnel has not finished, or time is up. */
  async function finish(): Promise<void> {
    const untilMs = clock.nowMs() + finishMs;
    for (let waitMs = FIRST_LOOK_MS; going.some(({ isDone }) => !isDone); waitMs = NEXT_LOOK_MS) {
      const leftMs = untilMs - clock.nowMs();
      if (leftMs <= 0 || signal.aborted) return;
      await clock.sleep(Math.min(waitMs, leftMs), signal).catch(() => undefined);
      await forAll(
        going.filter(({ isDone }) => !isDone),
        async (pod) => {
          const state = await deps.release(pod.netns.fd).catch(() => undefined);
          pod.isDone = state === undefined || state.connections === 0;
        },
      );
    }
  }
}

function nameOf({ podNamespace, podName }: AmbientMember): string {
  return `pod ${podNamespace}/${podName}`;
}

async function forAll<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const worker = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker));
}
