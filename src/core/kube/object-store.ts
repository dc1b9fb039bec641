/**
 * Objects of one kind by uid, with the names they go by, and the difference that a new list makes to
 * them. Knows nothing of watches or listeners: every change is returned to the caller.
 */

/** What identifies an object: its uid, and its version for "nothing changed". */
export type StoredObject = {
  readonly uid: string;
  readonly name: string;
  readonly namespace?: string;
  readonly resourceVersion: string;
};

export type ObjectChange<T> =
  | { readonly type: "add"; readonly object: T }
  | { readonly type: "update"; readonly object: T; readonly old: T }
  /** `object` is the last known state. */
  | { readonly type: "delete"; readonly object: T };

/** The objects, for readers. */
export interface ObjectReader<T> {
  get(uid: string): T | undefined;
  /** The object of that name that was stored last; namespace is "" for cluster-scoped kinds. */
  byName(namespace: string, name: string): T | undefined;
  list(): T[];
  size(): number;
}

export interface ObjectStore<T> extends ObjectReader<T> {
  /** Undefined when that version was there already. "full": the bound is reached and the object is not kept. */
  upsert(object: T): ObjectChange<T> | "full" | undefined;
  /** `last` is the state the server sent with the deletion. Undefined when the object was not there. */
  remove(uid: string, last?: T): ObjectChange<T> | undefined;
  /** From now on, what is not upserted or kept until `endReplace()` counts as gone. Calling it again starts over. */
  beginReplace(): void;
  /** The object is still there although its new state is not known. */
  keep(uid: string): void;
  /** Removes what the new list did not contain. */
  endReplace(): ObjectChange<T>[];
}

/** @param maxObjects bound on the number of objects. */
export function createObjectStore<T extends StoredObject>(maxObjects: number): ObjectStore<T> {
  const objects = new Map<string, T>();
  const uidByName = new Map<string, string>();
  let unseen: Set<string> | undefined;

  function upsert(object: T): ObjectChange<T> | "full" | undefined {
    const old = objects.get(object.uid);
    if (old === undefined && objects.size >= maxObjects) return "full";
    unseen?.delete(object.uid);
    if (old?.resourceVersion === object.resourceVersion) return undefined;
    objects.set(object.uid, object);
    uidByName.set(nameKey(object), object.uid);
    return old === undefined ? { type: "add", object } : { type: "update", object, old };
  }

  function remove(uid: string, last?: T): ObjectChange<T> | undefined {
    const old = objects.get(uid);
    unseen?.delete(uid);
    if (old === undefined) return undefined;
    objects.delete(uid);
    const key = nameKey(old);
    if (uidByName.get(key) === uid) {
      uidByName.delete(key);
      // Two uids share a name only while a relist has brought the successor and not yet removed the predecessor.
      for (const other of objects.values()) if (nameKey(other) === key) uidByName.set(key, other.uid);
    }
    return { type: "delete", object: last ?? old };
  }

  function endReplace(): ObjectChange<T>[] {
    const gone = [...(unseen ?? [])];
    unseen = undefined;
    return gone.map((uid) => remove(uid)).filter((change) => change !== undefined);
  }

  return {
    get: (uid) => objects.get(uid),
    byName: (namespace, name) => objects.get(uidByName.get(`${namespace}/${name}`) ?? ""),
    list: () => [...objects.values()],
    size: () => objects.size,
    upsert,
    remove,
    beginReplace: () => {
      unseen = new Set(objects.keys());
    },
    keep: (uid) => {
      unseen?.delete(uid);
    },
    endReplace,
  };
}

function nameKey(object: StoredObject): string {
  return `${object.namespace ?? ""}/${object.name}`;
}
