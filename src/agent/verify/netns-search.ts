// Looks through the node for the namespaces of all pods that need one and have none, one look after the other.
import { messageOf } from "../../core/error-message.ts";
import type { Pod } from "../../core/kube/pod.ts";

export interface NetnsSearchDeps {
  readonly pods: { get(uid: string): Pod | undefined; list(): readonly Pod[] };
  readonly netns: {
    get(pod: Pod): object | undefined;
    /** One look through the node for the namespaces of all these pods; `get` lends what was found. */
    find(
      pods: readonly Pod[],
      signal: AbortSignal,
    ): Promise<
      ReadonlyMap<
        { readonly uid: string },
        { readonly kind: string; readonly message?: string; readonly reason?: string }
      >
    >;
  };
}

export interface NetnsSearchListener {
  isNeeded(pod: Pod): boolean;
  /** A look for this pod's namespace begins. */
  begun(pod: Pod): void;
  found(pod: Pod): void;
  /** `kind` and `reason` as the registry of namespaces has them. */
  missing(pod: Pod, message: string, kind: string, reason: string | undefined): void;
}

export interface NetnsSearch {
  /** Looks for the namespace of this pod, unless that is being done, and of all others that need it. Returns at once. */
  begin(uid: string, signal: AbortSignal): void;
  /** Resolves when no look is under way. */
  ended(): Promise<void>;
}

export function createNetnsSearch(deps: NetnsSearchDeps, listener: NetnsSearchListener): NetnsSearch {
  const sought = new Set<string>();
  let searching: Promise<void> = Promise.resolve();

  async function searchAll(signal: AbortSignal): Promise<void> {
    const pods = deps.pods.list().filter((pod) => deps.netns.get(pod) === undefined && listener.isNeeded(pod));
    if (pods.length === 0 || signal.aborted) return;
    for (const pod of pods) {
      sought.add(pod.uid);
      listener.begun(pod);
    }
    const missing = new Map(pods.map((pod) => [pod.uid, notFound("nobody looked for it")]));
    try {
      for (const [{ uid }, found] of await deps.netns.find(pods, signal)) {
        const { kind, message = "it has just ended", reason } = found;
        missing.set(uid, { kind, message, reason });
      }
    } catch (error) {
      if (signal.aborted) return;
      const message = messageOf(error);
      for (const uid of missing.keys()) missing.set(uid, notFound(message));
    } finally {
      sought.clear();
    }
    for (const [uid, { kind, message, reason }] of missing) {
      const pod = deps.pods.get(uid);
      if (pod === undefined) continue;
      if (deps.netns.get(pod) !== undefined) listener.found(pod);
      else listener.missing(pod, message, kind, reason);
    }
  }

  return {
    begin(uid, signal) {
      if (!sought.has(uid)) searching = searching.then(() => searchAll(signal));
    },
    ended: () => searching,
  };
}

function notFound(message: string): { kind: string; message: string; reason: string | undefined } {
  return { kind: "not-found", message, reason: undefined };
}
