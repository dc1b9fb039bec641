// The records' files: read all, write one, remove one, compare with what should be there. What fails is told once for each
// state of things, counted each time, and never thrown.
import { type FileErrorCode, fileErrorCode, fileErrorReason } from "../../core/file-error.ts";
import type { Logger } from "../../core/log.ts";
import {
  decodePodRecord,
  encodePodRecord,
  MAX_POD_RECORD_BYTES,
  type PodRecord,
  podUidOfFile,
  recordFileName,
} from "../../core/pod-record/pod-record.ts";
import type { PrivateFolder } from "../../platform/fs/private-folder.ts";

export type RecordAction = "list" | "read" | "write" | "remove";

export interface RecordFilesDeps {
  readonly folder: PrivateFolder;
  /** Whether a write that was cut short leaves a file of that name. */
  isTemporaryName(name: string): boolean;
  readonly log: Logger;
  /** Something with the files failed; once for each attempt. */
  countFailure(action: RecordAction): void;
  /** Resolves after whatever else waits for the thread has had its turn. */
  yieldToLoop(): Promise<void>;
}

export interface RecordFilesOptions {
  readonly maxRecords: number;
  readonly maxTotalBytes: number;
  /** Of this kernel. Files of another one are removed. */
  readonly bootId: string;
}

export interface RecordFiles {
  /** Hands over every record there is, in no order. Stops when the signal aborts. */
  load(onRecord: (record: PodRecord) => void, signal: AbortSignal): Promise<void>;
  /** False: it could not be written. */
  write(record: PodRecord): boolean;
  remove(podUid: string): void;
  /** The pods that have a file; undefined: the folder cannot be listed. */
  list(): Promise<ReadonlySet<string> | undefined>;
}

/** Of the agent that writes, and so of whoever reads what it left (ADR 10). */
export const RECORD_BOUNDS: Pick<RecordFilesOptions, "maxRecords" | "maxTotalBytes"> = {
  maxRecords: 4096,
  maxTotalBytes: 16 << 20,
};

/** Files that are read before others have their turn: half a millisecond. */
const READ_AT_ONCE = 16;
/** Damaged files that are named one by one. */
const NAMED_IN_LOG = 5;
/** What does not belong here comes on top. */
const ENTRIES_PER_RECORD = 2;

export function createRecordFiles(deps: RecordFilesDeps, options: RecordFilesOptions): RecordFiles {
  const { folder, log } = deps;
  const { maxTotalBytes, bootId } = options;
  const maxEntries = options.maxRecords * ENTRIES_PER_RECORD;
  const sizes = new Map<string, number>();
  let totalBytes = 0;
  /** What was said, by what it was about. */
  const complaints = new Map<RecordAction, string>();

  function setSize(podUid: string, bytes: number): void {
    totalBytes += bytes - (sizes.get(podUid) ?? 0);
    if (bytes === 0) sizes.delete(podUid);
    else sizes.set(podUid, bytes);
  }

  function loadOne(name: string, podUid: string): Loaded {
    let bytes: Uint8Array;
    try {
      bytes = folder.read(name, MAX_POD_RECORD_BYTES);
    } catch (error) {
      const code = fileErrorCode(error);
      const reason = fileErrorReason(error);
      if (code === "not-found") return { kind: "passed-over" };
      if (code !== undefined && DAMAGED.has(code)) return { kind: "damaged", why: reason };
      failed("read", reason);
      return { kind: "passed-over" };
    }
    const decoded = decodePodRecord(bytes);
    if (decoded.kind === "other-version") return { kind: "passed-over" };
    if (decoded.kind === "damaged") return decoded;
    const { record } = decoded;
    if (record.podUid !== podUid) return { kind: "damaged", why: "it is of another pod than its name says" };
    if (record.bootId !== bootId) return { kind: "former-boot" };
    if (totalBytes + bytes.length > maxTotalBytes) return { kind: "damaged", why: "all together are too large" };
    setSize(podUid, bytes.length);
    return decoded;
  }

  function removeFile(name: string): void {
    try {
      folder.remove(name);
      worked("remove");
    } catch (error) {
      failed("remove", fileErrorReason(error));
    }
  }

  function removeRecord(podUid: string): void {
    const name = recordFileName(podUid);
    if (name === undefined) return;
    setSize(podUid, 0);
    removeFile(name);
  }

  async function names(): Promise<readonly string[] | undefined> {
    try {
      const found = await folder.names(maxEntries);
      worked("list");
      return found;
    } catch (error) {
      failed("list", fileErrorReason(error));
      return undefined;
    }
  }

  function failed(action: RecordAction, reason: string): void {
    deps.countFailure(action);
    if (complaints.get(action) === reason) return;
    complaints.set(action, reason);
    log.warn(`Cannot ${action} what was decided on pods in ${folder.path}: ${reason}`, {
      hint: "pods run on as they are; after the agent's next start their annotations decide anew",
    });
  }

  function worked(action: RecordAction): void {
    if (complaints.delete(action)) log.info(`Can ${action} what was decided on pods again`);
  }

  return {
    async load(onRecord, signal) {
      const counts = { record: 0, damaged: 0, "former-boot": 0, "passed-over": 0 };
      for (const [index, name] of ((await names()) ?? []).entries()) {
        if (index % READ_AT_ONCE === 0) await deps.yieldToLoop();
        if (signal.aborted) return;
        const podUid = podUidOfFile(name);
        if (podUid === undefined) {
          if (deps.isTemporaryName(name)) removeFile(name);
          continue;
        }
        const loaded = loadOne(name, podUid);
        counts[loaded.kind]++;
        if (loaded.kind === "record") onRecord(loaded.record);
        else if (loaded.kind !== "passed-over") removeFile(name);
        if (loaded.kind === "damaged" && counts.damaged <= NAMED_IN_LOG) {
          log.warn(`Removed ${folder.path}/${name}, it counts as absent: ${loaded.why}`);
        }
      }
      if (counts.damaged > NAMED_IN_LOG) log.warn("Removed damaged records of pods", { files: counts.damaged });
      if (counts["former-boot"] > 0) {
        log.info("Removed what was decided on pods before this node was started", { files: counts["former-boot"] });
      }
      log.debug("Read what was decided on pods", { files: counts.record });
    },
    write(record) {
      const { podUid, podNamespace, podName } = record;
      const name = recordFileName(podUid);
      const bytes = encodePodRecord(record);
      if (name === undefined || bytes === undefined) {
        deps.countFailure("write");
        log.debug("A pod's names or capture fit into no record", { ns: podNamespace, name: podName });
        removeRecord(podUid);
        return true;
      }
      if (totalBytes - (sizes.get(podUid) ?? 0) + bytes.length > maxTotalBytes) {
        failed("write", `all together are larger than ${maxTotalBytes} bytes`);
        removeRecord(podUid);
        return false;
      }
      try {
        folder.write(name, bytes);
      } catch (error) {
        failed("write", fileErrorReason(error));
        return false;
      }
      setSize(podUid, bytes.length);
      worked("write");
      return true;
    },
    remove: removeRecord,
    async list() {
      const found = await names();
      return found === undefined ? undefined : new Set(found.flatMap((name) => podUidOfFile(name) ?? []));
    },
  };
}

type Loaded =
  | { readonly kind: "record"; readonly record: PodRecord }
  | { readonly kind: "damaged"; readonly why: string }
  | { readonly kind: "former-boot" }
  | { readonly kind: "passed-over" };

/** With these a file is nothing that we wrote. */
const DAMAGED: ReadonlySet<FileErrorCode> = new Set(["foreign", "not-a-file", "too-large"]);
