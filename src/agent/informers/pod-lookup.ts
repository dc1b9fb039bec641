/**
 * Finds the pod that a CNI request speaks of. The runtime may be faster than the watch, a name may have
 * changed hands, the API may be away: each of these ends as "not found, because", and none of them means that
 * the pod is not in the mesh (DESIGN 3.3).
 */

import { type Pod, parsePod } from "../../core/kube/pod.ts";
import { type ResourceRef, ResourceRefError, resourcePath } from "../../core/kube/resource-path.ts";
import type { PodStore } from "./informers.ts";
import { type AskDeps, type Asked, watchOrAsk } from "./watch-or-ask.ts";

/** From CNI_ARGS: K8S_POD_NAMESPACE, K8S_POD_NAME and, where the runtime gives it (not empty), K8S_POD_UID. */
export type PodIdentity = { readonly namespace: string; readonly name: string; readonly uid?: string | undefined };

/**
 * - `invalid-name`: no pod can have that name; returned without waiting.
 * - `not-synced`: the list of this node's pods has never been complete.
 * - `not-seen`: neither watch nor API show a pod of that name.
 * - `other-uid`: the name belongs to another pod, to be gone or to be replaced soon.
 * - `api-error`: not seen, and the API could not be asked.
 */
export type PodNotFoundReason = "invalid-name" | "not-synced" | "not-seen" | "other-uid" | "api-error";

export type PodLookupResult =
  | { readonly found: true; readonly pod: Pod; readonly source: "store" | "watch" | "api" }
  /** `message` is a sentence for people. */
  | { readonly found: false; readonly reason: PodNotFoundReason; readonly message: string };

export interface PodLookup {
  /**
   * The pod by UID, or by name when there is none. Waits until the signal aborts or `patienceMs` are over; either ends in
   * `found: false`. Makes no request when the store has the pod; otherwise asks until the API has answered once.
   */
  findPod(wanted: PodIdentity, signal: AbortSignal): Promise<PodLookupResult>;
}

export type PodLookupDeps = AskDeps & { readonly pods: Pick<PodStore, "byName" | "waitFor" | "synced"> };

export type PodLookupOptions = {
  /** With watch and API together. */
  readonly patienceMs: number;
};

/** Annotations by which the API's copy of a static pod names the pod that the kubelet runs (kubelet `types.ConfigHashAnnotationKey`, `ConfigMirrorAnnotationKey`). */
const STATIC_POD_ANNOTATIONS = ["kubernetes.io/config.hash", "kubernetes.io/config.mirror"];

export function createPodLookup(deps: PodLookupDeps, options: PodLookupOptions): PodLookup {
  const { pods } = deps;
  const { patienceMs } = options;

  async function findPod(identity: PodIdentity, signal: AbortSignal): Promise<PodLookupResult> {
    const wanted = withoutEmptyUid(identity);
    // Nearly always: then it is not worth a signal to wait by.
    const shown = pods.byName(wanted.namespace, wanted.name);
    if (shown !== undefined && isBelievable(shown, wanted)) return { found: true, pod: shown, source: "store" };
    const ref: ResourceRef = { plural: "pods", namespace: wanted.namespace, name: wanted.name };
    try {
      resourcePath(ref);
    } catch (error) {
      if (!(error instanceof ResourceRefError)) throw error;
      return { found: false, reason: "invalid-name", message: error.message };
    }
    const result = await watchOrAsk(
      deps,
      {
        ...{ ref, patienceMs, parse: parsePod },
        watched: (ending) => pods.waitFor((pod) => isBelievable(pod, wanted), ending),
        // Asked without UID, the API's present answer is the best there is, terminating or not.
        accepts: (pod) => isNamed(pod, wanted),
      },
      AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]),
    );
    return result.found ? { found: true, pod: result.object, source: result.source } : notFound(wanted, result.asked);
  }

  function notFound(wanted: PodIdentity, asked: Asked): PodLookupResult {
    const pod = `pod ${wanted.namespace}/${wanted.name}${wanted.uid === undefined ? "" : ` (uid ${wanted.uid.slice(0, 64)})`}`;
    const holder = pods.byName(wanted.namespace, wanted.name);
    if (asked instanceof Error) {
      return { found: false, reason: "api-error", message: `${pod} is not known yet: ${asked.message}` };
    }
    if (!pods.synced()) {
      return {
        found: false,
        reason: "not-synced",
        message: `${pod} is not known yet: the API server has not been heard`,
      };
    }
    if (asked === "other-object" || holder !== undefined) {
      const detail = holder === undefined ? "another pod" : `another pod (uid ${holder.uid})`;
      return { found: false, reason: "other-uid", message: `${pod} is not known yet: its name belongs to ${detail}` };
    }
    const detail =
      asked === "no-such-name" ? "the API server does not know it" : "the API server was not asked in time";
    return { found: false, reason: "not-seen", message: `${pod} is not known yet: ${detail}` };
  }

  return { findPod };
}

function withoutEmptyUid(identity: PodIdentity): PodIdentity {
  return identity.uid === "" ? { ...identity, uid: undefined } : identity;
}

/**
 * Whether the watch's pod is the wanted one. Without a UID, a terminating pod may be the predecessor of the wanted one
 * (a StatefulSet gives its name on), so only the API's own answer settles that.
 */
function isBelievable(pod: Pod, wanted: PodIdentity): boolean {
  if (!isNamed(pod, wanted)) return false;
  return wanted.uid !== undefined || pod.deletionTimestamp === undefined;
}

/** Name and namespace, and the UID where there is one: the pod's own or that of the static pod it mirrors. */
function isNamed(pod: Pod, wanted: PodIdentity): boolean {
  if (pod.namespace !== wanted.namespace || pod.name !== wanted.name) return false;
  if (wanted.uid === undefined || pod.uid === wanted.uid) return true;
  return STATIC_POD_ANNOTATIONS.some((key) => pod.annotations[key] === wanted.uid);
}
