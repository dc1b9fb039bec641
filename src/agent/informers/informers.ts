/**
 * The agent's knowledge of the cluster: the pods of its node and the metadata of all namespaces, followed
 * by list and watch. What is not in here is unknown, never "not there" (DESIGN 3.3): pod-lookup.ts asks on.
 */

import type { ListWatchReport } from "../../core/kube/list-watch.ts";
import { type Namespace, parseNamespace } from "../../core/kube/namespace.ts";
import { OBJECT_NAME } from "../../core/kube/object-name.ts";
import type { ObjectChange, StoredObject } from "../../core/kube/object-store.ts";
import { type Pod, parsePod } from "../../core/kube/pod.ts";
import type { Logger } from "../../core/log.ts";
import { quoteText } from "../../core/short-text.ts";
import type { Clock } from "../../platform/clock.ts";
import type { KubeApi } from "../../platform/http/kube-api.ts";
import { createInformerStore, type FollowedObjects, type StoreReport } from "./informer-store.ts";
import { runListWatch } from "./run-list-watch.ts";

export type PodEvent = { readonly type: "add" | "update" | "delete"; readonly pod: Pod; readonly old?: Pod };

export type NamespaceEvent = {
  readonly type: "add" | "update" | "delete";
  readonly namespace: Namespace;
  readonly old?: Namespace;
};

/** The pods of this node; see FollowedObjects for the contract of each function. */
export interface PodStore extends Omit<FollowedObjects<Pod>, "subscribe"> {
  /** The listener has to return at once. Deletions carry the last known state. */
  subscribe(listener: (event: PodEvent) => void): Disposable;
}

/** All namespaces; they are known by name. */
export interface NamespaceStore extends Omit<FollowedObjects<Namespace>, "subscribe" | "get" | "byName"> {
  get(name: string): Namespace | undefined;
  subscribe(listener: (event: NamespaceEvent) => void): Disposable;
}

export type WatchedKind = "pods" | "namespaces";

/** Counters; every label has a closed set of values. Called synchronously. */
export type InformerMetrics = {
  changed(kind: WatchedKind, type: "add" | "update" | "delete"): void;
  reported(kind: WatchedKind, what: ListWatchReport["what"] | StoreReport["what"], count: number): void;
};

export type InformersDeps = {
  readonly api: Pick<KubeApi, "list" | "watch" | "refreshCredentials">;
  readonly clock: Clock;
  readonly log: Logger;
  /** In [0, 1), for jitter. */
  random(): number;
  readonly metrics?: InformerMetrics;
};

export type InformersOptions = {
  /** `NODE_NAME` of the container. */
  readonly nodeName: string | undefined;
  /** False where no decision reads namespaces: then that store stays empty and counts as synced. @default true */
  readonly followsNamespaces?: boolean;
  /** Bounds of memory. @default 2000 and 50000 */
  readonly maxPods?: number;
  readonly maxNamespaces?: number;
};

/** How one kind's list-watch stands, for status and metrics. */
export type InformerHealth = {
  readonly kind: WatchedKind;
  readonly isSynced: boolean;
  /** "starting" before the first answer. */
  readonly phase: "starting" | "listing" | "watching" | "waiting";
  /** In a row; 0 when all is well. */
  readonly failures: number;
  readonly resourceVersion: string;
  readonly objects: number;
  /** The last failure's sentence while `failures` is not 0. */
  readonly lastFailure?: string;
};

export interface Informers {
  /**
   * Follows the API until the signal aborts, then resolves; what was learned stays readable. Rejects only for a defect of
   * this program. To be called once.
   */
  start(signal: AbortSignal): Promise<void>;
  readonly pods: PodStore;
  readonly namespaces: NamespaceStore;
  /** Every followed kind has been listed completely once. */
  synced(): boolean;
  health(): InformerHealth[];
}

/** Options that informers cannot work with. */
export class InformersError extends Error {
  readonly code = "INFORMERS_NODE_NAME";

  constructor(detail: string) {
    super(`Cannot watch the pods of this node: ${detail}`);
    this.name = "InformersError";
  }
}

/** @throws InformersError when the node's name is not known: an empty one would select unscheduled pods instead. */
export function createInformers(deps: InformersDeps, options: InformersOptions): Informers {
  const { followsNamespaces = true, maxPods = 2000, maxNamespaces = 50_000 } = options;
  const nodeName = checkNodeName(options.nodeName);
  const lastFailures = new Map<WatchedKind, string>();
  const pods = createStore<Pod>("pods", maxPods);
  const namespaces = createStore<Namespace>("namespaces", maxNamespaces);

  function createStore<T extends StoredObject>(kind: WatchedKind, maxObjects: number) {
    return createInformerStore<T>(kind, maxObjects, {
      onReport: (report) => {
        deps.metrics?.reported(kind, report.what, report.count);
        if (report.what === "failure" || report.what === "relist") lastFailures.set(kind, report.message);
        deps.log[report.severity](report.message, { resource: kind });
      },
      onChange: (change: ObjectChange<T>) => deps.metrics?.changed(kind, change.type),
    });
  }

  async function start(signal: AbortSignal): Promise<void> {
    // One loop that dies takes the other along: half of the knowledge looks like all of it.
    const failing = new AbortController();
    const onAbort = (): void => failing.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    const podSelection = { fieldSelector: `spec.nodeName=${nodeName}` };
    const runs = [
      runListWatch(
        deps,
        { ref: { plural: "pods" }, selection: podSelection, parse: parsePod },
        pods.sink,
        failing.signal,
      ),
    ];
    if (followsNamespaces) {
      const selection = { isMetadataOnly: true };
      runs.push(
        runListWatch(
          deps,
          { ref: { plural: "namespaces" }, selection, parse: parseNamespace },
          namespaces.sink,
          failing.signal,
        ),
      );
    }
    try {
      await Promise.all(runs);
    } catch (error) {
      failing.abort(error);
      await Promise.allSettled(runs);
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  function healthOf<T extends StoredObject>(
    kind: WatchedKind,
    store: ReturnType<typeof createStore<T>>,
  ): InformerHealth {
    const state = store.state();
    const lastFailure = lastFailures.get(kind);
    const failures = state?.failures ?? 0;
    return {
      kind,
      isSynced: store.objects.synced(),
      phase: state?.phase ?? "starting",
      failures,
      resourceVersion: state?.resourceVersion ?? "",
      objects: store.objects.size(),
      ...(failures > 0 && lastFailure !== undefined && { lastFailure }),
    };
  }

  return {
    start,
    pods: {
      ...pods.objects,
      subscribe: (listener) =>
        pods.objects.subscribe((change) => {
          const old = change.type === "update" ? { old: change.old } : {};
          listener({ type: change.type, pod: change.object, ...old });
        }),
    },
    namespaces: {
      ...namespaces.objects,
      get: (name) => namespaces.objects.byName("", name),
      subscribe: (listener) =>
        namespaces.objects.subscribe((change) => {
          const old = change.type === "update" ? { old: change.old } : {};
          listener({ type: change.type, namespace: change.object, ...old });
        }),
      ...(!followsNamespaces && { synced: () => true, waitSynced: () => Promise.resolve() }),
    },
    synced: () => pods.objects.synced() && (!followsNamespaces || namespaces.objects.synced()),
    health: () => [healthOf("pods", pods), ...(followsNamespaces ? [healthOf("namespaces", namespaces)] : [])],
  };
}

function checkNodeName(nodeName: string | undefined): string {
  if (nodeName === undefined || nodeName === "") {
    throw new InformersError("NODE_NAME is not set; the DaemonSet sets it from spec.nodeName");
  }
  if (OBJECT_NAME.test(nodeName)) return nodeName;
  throw new InformersError(`NODE_NAME is ${quoteText(nodeName)}, which no node can be called`);
}
