/**
 * A store that can be waited on and listened to: the object store of core/kube plus its listeners. It is
 * the sink of the list-watch runner, and the only thing of it that other services see.
 */

import type { ListWatchReport, ListWatchState } from "../../core/kube/list-watch.ts";
import {
  createObjectStore,
  type ObjectChange,
  type ObjectReader,
  type StoredObject,
} from "../../core/kube/object-store.ts";
import type { ListWatchSink } from "./run-list-watch.ts";

/** Called after the store has changed. It has to return at once: whoever has work to do puts it in a queue of its own. */
export type ChangeListener<T> = (change: ObjectChange<T>) => void;

/** Objects that follow the API, for readers. */
export interface FollowedObjects<T> extends ObjectReader<T> {
  /**
   * The first object that matches, now or later. Rejects with `signal.reason` when the signal aborts, or with
   * what `match` throws.
   */
  waitFor(match: (object: T) => boolean, signal: AbortSignal): Promise<T>;
  /** Changes from now on, in the order of the API; read `list()` for what is there. Dispose of it to end. */
  subscribe(listener: ChangeListener<T>): Disposable;
  /** One complete list has arrived. */
  synced(): boolean;
  waitSynced(signal: AbortSignal): Promise<void>;
}

export type InformerStoreDeps<T> = {
  /** Of the runner, of listeners that threw, and of a full store. */
  onReport(report: ListWatchReport | StoreReport): void;
  onChange(change: ObjectChange<T>): void;
};

/** `store-full`: an object was not kept, told once until there is room again; `listener-failed`: a listener threw. */
export type StoreReport = {
  readonly type: "report";
  readonly severity: "warn";
  readonly what: "store-full" | "listener-failed";
  readonly message: string;
  readonly count: number;
};

export interface InformerStore<T> {
  readonly objects: FollowedObjects<T>;
  readonly sink: ListWatchSink<T>;
  /** Of the machine after its last step; undefined before the first. */
  state(): ListWatchState | undefined;
}

type Waiter<T> = { readonly match: (object: T) => boolean; resolve(object: T): void; reject(error: unknown): void };

/** @param what plural name of the objects, for messages. */
export function createInformerStore<T extends StoredObject>(
  what: string,
  maxObjects: number,
  deps: InformerStoreDeps<T>,
): InformerStore<T> {
  const store = createObjectStore<T>(maxObjects);
  const listeners = new Set<ChangeListener<T>>();
  const waiters = new Set<Waiter<T>>();
  const syncWaiters = new Set<() => void>();
  let isSynced = false;
  let isFull = false;
  let state: ListWatchState | undefined;

  function announce(change: ObjectChange<T>): void {
    deps.onChange(change);
    if (change.type !== "delete") for (const waiter of waiters) settle(waiter, change.object);
    for (const listener of listeners) {
      try {
        listener(change);
      } catch (error) {
        // One service's defect must not keep the others, or the watch, from going on.
        report("listener-failed", `Cannot tell a listener of ${what}: ${String(error)}`);
      }
    }
  }

  function settle(waiter: Waiter<T>, object: T): void {
    try {
      if (waiter.match(object)) waiter.resolve(object);
    } catch (error) {
      waiter.reject(error);
    }
  }

  function upsert(object: T): void {
    const change = store.upsert(object);
    if (change === "full") {
      if (!isFull) report("store-full", `Cannot keep more than ${maxObjects} ${what}: further ones stay unknown`);
      isFull = true;
    } else if (change !== undefined) announce(change);
  }

  function remove(uid: string, last: T | undefined): void {
    const change = store.remove(uid, last);
    isFull = isFull && store.size() >= maxObjects;
    if (change !== undefined) announce(change);
  }

  function report(kind: StoreReport["what"], message: string): void {
    deps.onReport({ type: "report", severity: "warn", what: kind, message, count: 1 });
  }

  function waitFor(match: (object: T) => boolean, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const end = (): void => {
        waiters.delete(waiter);
        signal.removeEventListener("abort", onAbort);
      };
      const onAbort = (): void => {
        end();
        reject(signal.reason);
      };
      const waiter: Waiter<T> = {
        match,
        resolve(object) {
          end();
          resolve(object);
        },
        reject(error) {
          end();
          reject(error);
        },
      };
      waiters.add(waiter);
      signal.addEventListener("abort", onAbort);
      for (const object of store.list()) {
        if (!waiters.has(waiter)) break;
        settle(waiter, object);
      }
    });
  }

  function waitSynced(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      if (isSynced) {
        resolve();
        return;
      }
      const onAbort = (): void => {
        syncWaiters.delete(onSynced);
        reject(signal.reason);
      };
      const onSynced = (): void => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      syncWaiters.add(onSynced);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  return {
    objects: {
      get: store.get,
      byName: store.byName,
      list: store.list,
      size: store.size,
      waitFor,
      subscribe(listener) {
        // Wrapped, so that one function subscribed twice is two subscriptions.
        const entry: ChangeListener<T> = (change) => listener(change);
        listeners.add(entry);
        return {
          [Symbol.dispose]: () => {
            listeners.delete(entry);
          },
        };
      },
      synced: () => isSynced,
      waitSynced,
    },
    sink: {
      beginReplace: store.beginReplace,
      upsert: (objects) => {
        for (const object of objects) upsert(object);
      },
      keep: (uids) => {
        for (const uid of uids) store.keep(uid);
      },
      remove,
      endReplace: () => {
        for (const change of store.endReplace()) announce(change);
        isFull = isFull && store.size() >= maxObjects;
      },
      synced: () => {
        isSynced = true;
        for (const resolve of syncWaiters) resolve();
        syncWaiters.clear();
      },
      report: deps.onReport,
      stateChanged: (next) => {
        state = next;
      },
    },
    state: () => state,
  };
}
