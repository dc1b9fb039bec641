// A look into a pod's network namespace for somebody who asks: found, held open for the time of the look and no longer, and
// answered within the asker's deadline whatever the look does. What cannot be looked into is an answer too.
import { messageOf } from "../../core/error-message.ts";
import type { Pod } from "../../core/kube/pod.ts";
import type { NetnsHandle } from "../../platform/linux/netns.ts";

export interface PodNetnsDeps {
  readonly netns: {
    /** Lent: `fd` is good until the next `await`. */
    get(pod: Pod): { readonly fd: number; readonly ino: bigint; readonly source: "add" | "uid" | "ip" } | undefined;
    /** Looks through the node for namespaces; `get` lends what was found. */
    find(
      pods: readonly Pod[],
      signal: AbortSignal,
    ): Promise<ReadonlyMap<object, { readonly kind: string; readonly message?: string }>>;
  };
  /** True for the node's own namespace, or the agent's. */
  isForbidden(netnsFd: number): boolean;
  dup(netnsFd: number): NetnsHandle;
}

export type PodLook<T> =
  | {
      readonly kind: "seen";
      readonly netns: { readonly inode: string; readonly source: "add" | "uid" | "ip" };
      readonly value: T;
    }
  | { readonly kind: "unavailable"; readonly message: string };

/** Rejects for nothing. When the signal aborts first, `look` goes on in the background with the descriptor that it has. */
export async function lookIntoPod<T>(
  deps: PodNetnsDeps,
  pod: Pod,
  look: (netnsFd: number) => Promise<T>,
  signal: AbortSignal,
): Promise<PodLook<T>> {
  if (pod.hostNetwork) return unavailable("it uses the node's own network, where nobody is captured");
  try {
    let missing = "nobody found it";
    if (deps.netns.get(pod) === undefined) {
      const found = await before(signal, deps.netns.find([pod], signal));
      missing = found.get(pod)?.message ?? missing;
    }
    const lent = deps.netns.get(pod);
    if (lent === undefined) return { kind: "unavailable", message: missing };
    if (deps.isForbidden(lent.fd)) return unavailable("it is the node's or the agent's own");
    const { ino, source } = lent;
    const handle = deps.dup(lent.fd);
    const work = look(handle.fd).finally(() => handle[Symbol.dispose]());
    return { kind: "seen", netns: { inode: String(ino), source }, value: await before(signal, work) };
  } catch (error) {
    return unavailable(signal.aborted ? "there was no answer in time" : messageOf(error));
  }
}

function unavailable(why: string): { readonly kind: "unavailable"; readonly message: string } {
  return { kind: "unavailable", message: `Cannot look into the pod's network namespace: ${why}` };
}

/** Rejects with the signal's reason when that comes first. */
async function before<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    // Nobody waits for it any more.
    work.catch(() => undefined);
  }
}
