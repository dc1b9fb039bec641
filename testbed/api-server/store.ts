// The objects and their history: one revision counter for all kinds, as etcd has. Responsible for versions, order,
// snapshots at an earlier version and compaction; knows nothing about HTTP, kinds' rules or selectors.
import { type KubeObject, sameJson, withMeta } from "./kube-object.ts";
import { keyOf, type StorageName } from "./resources.ts";

/** One write. `object` carries the version of the write, also for a DELETED; `previous` is what was there before. */
export interface StoreEvent {
  readonly revision: number;
  readonly storage: StorageName;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: KubeObject;
  readonly previous: KubeObject | undefined;
}

/** Objects in the order of their keys. */
export interface Store {
  /** The version of the latest write. */
  revision(): number;
  /** Versions below this one are gone. */
  compactedRevision(): number;
  get(storage: StorageName, key: string): KubeObject | undefined;
  list(storage: StorageName): readonly KubeObject[];
  /** The list as it was at `revision`, or undefined when that is compacted. */
  listAt(storage: StorageName, revision: number): readonly KubeObject[] | undefined;
  /** Writes and returns the object with its new resourceVersion; a write that changes nothing makes no new version. */
  put(storage: StorageName, object: KubeObject): KubeObject;
  /** Removes and returns the object as its DELETED event shows it. */
  remove(storage: StorageName, key: string): KubeObject | undefined;
  /** Writes after `revision`, oldest first, or undefined when some are compacted. */
  since(revision: number): readonly StoreEvent[] | undefined;
  subscribe(listener: (event: StoreEvent) => void): Disposable;
  /** Makes every version seen so far too old: takes a new version and forgets what was before it. */
  compact(): void;
}

/** An empty store. It keeps the last `historyLimit` writes. */
export function createStore(options: { readonly historyLimit: number; readonly firstRevision: number }): Store {
  const kinds = new Map<StorageName, Map<string, KubeObject>>();
  const listeners = new Set<(event: StoreEvent) => void>();
  let history: StoreEvent[] = [];
  let revision = options.firstRevision;
  let compacted = options.firstRevision;

  const kindOf = (storage: StorageName): Map<string, KubeObject> => {
    const known = kinds.get(storage) ?? new Map<string, KubeObject>();
    kinds.set(storage, known);
    return known;
  };

  const record = (event: StoreEvent): void => {
    history.push(event);
    if (history.length > options.historyLimit * 2) {
      const kept = history.slice(-options.historyLimit);
      compacted = kept[0]?.revision ?? revision;
      history = kept;
    }
    for (const listener of [...listeners]) listener(event);
  };

  const sorted = (objects: ReadonlyMap<string, KubeObject>): readonly KubeObject[] =>
    [...objects].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);

  return {
    revision: () => revision,
    compactedRevision: () => compacted,
    get: (storage, key) => kindOf(storage).get(key),
    list: (storage) => sorted(kindOf(storage)),

    listAt(storage, asked) {
      if (asked < compacted) return undefined;
      const objects = new Map(kindOf(storage));
      for (const event of history.toReversed()) {
        if (event.revision <= asked) break;
        if (event.storage !== storage) continue;
        if (event.previous === undefined) objects.delete(keyOf(event.object));
        else objects.set(keyOf(event.object), event.previous);
      }
      return sorted(objects);
    },

    put(storage, object) {
      const objects = kindOf(storage);
      const key = keyOf(object);
      const previous = objects.get(key);
      if (previous !== undefined) {
        const unchanged = withMeta(object, { resourceVersion: previous.metadata.resourceVersion });
        if (sameJson(unchanged, previous)) return previous;
      }
      revision += 1;
      const stored = freeze(withMeta(structuredClone(object), { resourceVersion: String(revision) }));
      objects.set(key, stored);
      record({ revision, storage, type: previous === undefined ? "ADDED" : "MODIFIED", object: stored, previous });
      return stored;
    },

    remove(storage, key) {
      const previous = kindOf(storage).get(key);
      if (previous === undefined) return undefined;
      kindOf(storage).delete(key);
      revision += 1;
      const last = freeze(withMeta(previous, { resourceVersion: String(revision) }));
      record({ revision, storage, type: "DELETED", object: last, previous });
      return last;
    },

    since(asked) {
      return asked < compacted ? undefined : history.filter((event) => event.revision > asked);
    },

    subscribe(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },

    compact() {
      revision += 1;
      compacted = revision;
      history = [];
    },
  };
}

// Objects leave the store by reference; freezing them makes a test that edits one fail at the place of the edit.
function freeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  for (const part of Object.values(value)) freeze(part);
  return Object.freeze(value);
}
