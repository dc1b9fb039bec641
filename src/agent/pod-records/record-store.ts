// The records in memory: one for each pod, bounded, and which of them differ from their files. No file is touched here.
import type { PodRecord } from "../../core/pod-record/pod-record.ts";

export interface StoredRecord {
  readonly record: PodRecord;
  /** It is of the sandbox that the pod has now; false: read from a file, and nobody has compared the namespaces yet. */
  readonly isProven: boolean;
  /** Since when we have it, on the monotonic clock. */
  readonly sinceMs: number;
}

export interface RecordStore {
  get(podUid: string): StoredRecord | undefined;
  all(): IterableIterator<StoredRecord>;
  /** Replaces what the pod had. The oldest of another pod gives way when there are too many. */
  put(stored: StoredRecord): void;
  /** The same as what its file has. */
  putRead(stored: StoredRecord): void;
  prove(podUid: string): void;
  remove(podUid: string): void;
  /** The pod's file is to be made what the store has. */
  touch(podUid: string): void;
  /** The next pod whose file differs; it counts as the same from then on. */
  nextTouched(): string | undefined;
  /** Whether this pod's file differs; it counts as the same from then on. */
  takeTouched(podUid: string): boolean;
}

export function createRecordStore(maxRecords: number): RecordStore {
  const records = new Map<string, StoredRecord>();
  const touched = new Set<string>();

  function set(stored: StoredRecord): void {
    const { podUid } = stored.record;
    // At the end, as the youngest.
    records.delete(podUid);
    records.set(podUid, stored);
    const [oldest] = records.size > maxRecords ? records.keys() : [];
    if (oldest !== undefined) remove(oldest);
  }
  function remove(podUid: string): void {
    if (records.delete(podUid)) touched.add(podUid);
  }

  return {
    get: (podUid) => records.get(podUid),
    all: () => records.values(),
    put(stored) {
      set(stored);
      touched.add(stored.record.podUid);
    },
    putRead: set,
    prove(podUid) {
      const stored = records.get(podUid);
      if (stored !== undefined) records.set(podUid, { ...stored, isProven: true });
    },
    remove,
    touch: (podUid) => void touched.add(podUid),
    nextTouched() {
      for (const podUid of touched) {
        touched.delete(podUid);
        return podUid;
      }
      return undefined;
    },
    takeTouched: (podUid) => touched.delete(podUid),
  };
}
