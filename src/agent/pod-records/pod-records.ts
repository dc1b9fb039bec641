/**
 * Keeps what was decided on pods over the agent's own end: a file for each in a folder of the run directory, read at start,
 * believed once the pod's network namespace proves to be the same, written when nobody waits, removed with the sandbox.
 * Nothing here can refuse a pod: without its files the agent decides anew from annotations (ADR 10).
 */
import { isSameNetns, type NetnsId, type NetnsIdentity } from "../../core/netns/netns-id.ts";
import { renderCapture } from "../../core/pod-record/capture-fields.ts";
import { isBootId, type PodRecord, type RecordedPod, recordFileName } from "../../core/pod-record/pod-record.ts";
import type { PodCapture } from "../../core/rules/pod-capture.ts";
import type { Clock } from "../../platform/clock.ts";
import { createRecordFiles, RECORD_BOUNDS, type RecordFilesDeps } from "./record-files.ts";
import { createRecordStore } from "./record-store.ts";

export interface PodRecordsDeps extends RecordFilesDeps {
  /** The identity of an open namespace. May throw. */
  identify(netnsFd: number): NetnsIdentity;
  /** `/proc/sys/kernel/random/boot_id`; without it no record can be believed, so none is kept. */
  readonly bootId: string | undefined;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  wallMs(): number;
}

export interface PodRecordsOptions {
  /** @default 4096 */
  readonly maxRecords?: number;
  /** Of all files together. @default 16 MiB */
  readonly maxTotalBytes?: number;
  /** After which the files that are not read yet count as absent: a pod that has left ambient mode meanwhile would keep its rules
   * for good, so it is far more than reading takes on a node whose processors are all taken. @default 10000 */
  readonly loadTimeoutMs?: number;
  /** How long a pod may be unknown to the API before its record goes. @default 300000 */
  readonly unknownGraceMs?: number;
}

/** A decision for one sandbox, without what is found out here. Which of the modes decided tells `mode`. */
export type PodDecision = Omit<RecordedPod, "netns" | "bootId" | "decidedAtMs"> &
  (Decided<Extract<PodRecord, { mode: "sidecar" }>> | Decided<Extract<PodRecord, { mode: "ambient" }>>);
type Decided<T extends PodRecord> = Pick<T, "mode" | "reason" | "capture">;

/** A pod's namespace, open for the time of the call. */
export interface OpenNetns extends NetnsId {
  readonly fd: number;
}

export interface PodRecords {
  /** Reads what there is, then keeps the files until the signal aborts, and writes what is left to write. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
  /** Resolves when the records of the agent before this one are known, or never will be. */
  readonly loaded: Promise<void>;
  /** The latest decision holds. The namespace is asked at once, the file written later. Never throws; telling the same
   * again costs nothing. */
  keep(decision: PodDecision, netns: OpenNetns): void;
  /** Writes the pod's file now, where it differs. Never throws. */
  save(podUid: string): void;
  /** What was decided for the sandbox that this pod has. */
  decided(podUid: string): PodRecord | undefined;
  /** What an agent before this one decided, and nobody knows yet whether that was for the sandbox that the pod has. */
  unproven(podUid: string): PodRecord | undefined;
  /** The namespace that the pod has: a record of this one is proven, one of another forgotten. Never throws. */
  prove(podUid: string, netns: OpenNetns): void;
  /** What was applied to this very sandbox, as far as a record tells. */
  formerly(podUid: string, containerId: string): PodCapture | undefined;
  /** DEL: the sandbox is gone. */
  removeSandbox(containerId: string): void;
  /** The pod is gone. */
  forget(podUid: string): void;
  /** The complete list of the node's pods: files that are missing are written again, those of nobody removed. */
  retain(podUids: Iterable<string>): void;
}

export function createPodRecords(deps: PodRecordsDeps, options: PodRecordsOptions = {}): PodRecords {
  const { clock, log } = deps;
  const { maxRecords, maxTotalBytes } = { ...RECORD_BOUNDS, ...options };
  const { loadTimeoutMs = 10_000, unknownGraceMs = 300_000 } = options;
  const bootId = deps.bootId !== undefined && isBootId(deps.bootId) ? deps.bootId : undefined;
  const files = createRecordFiles(deps, { maxRecords, maxTotalBytes, bootId: bootId ?? "" });
  const store = createRecordStore(maxRecords);
  const loaded = Promise.withResolvers<void>();
  const startedMs = clock.nowMs();
  /** Written in vain; tried again with the next list of pods. */
  const unwritten = new Set<string>();
  /** The last complete list of pods, until the files have been compared with it. */
  let listed: ReadonlySet<string> | undefined;
  let wake = Promise.withResolvers<void>();

  async function load(signal: AbortSignal): Promise<void> {
    const reading = new AbortController();
    const both = AbortSignal.any([signal, reading.signal]);
    const loading = files.load((record) => {
      // An ADD was faster.
      if (both.aborted || store.get(record.podUid) !== undefined) return;
      store.putRead({ record, isProven: false, sinceMs: clock.nowMs() });
    }, both);
    const isDone = await Promise.race([
      loading.then(() => true),
      clock.sleep(loadTimeoutMs, both).then(
        () => false,
        () => true,
      ),
    ]);
    reading.abort();
    if (!isDone)
      log.warn(`Gave up reading what was decided on pods after ${loadTimeoutMs} ms: what is not read counts as absent`);
  }

  async function writeTouched(): Promise<void> {
    for (let podUid = store.nextTouched(); podUid !== undefined; podUid = store.nextTouched()) {
      write(podUid);
      await deps.yieldToLoop();
    }
  }

  function write(podUid: string): void {
    const stored = store.get(podUid);
    unwritten.delete(podUid);
    if (stored === undefined) files.remove(podUid);
    else if (!files.write(stored.record)) unwritten.add(podUid);
  }

  /** Level-triggered: whatever a full disk, a human or an agent before us has left different. */
  async function compare(pods: ReadonlySet<string>): Promise<void> {
    const nowMs = clock.nowMs();
    for (const { record, sinceMs } of [...store.all()]) {
      if (!pods.has(record.podUid) && nowMs - sinceMs > unknownGraceMs) store.remove(record.podUid);
    }
    for (const podUid of unwritten) store.touch(podUid);
    const present = await files.list();
    if (present === undefined) return;
    for (const { record } of store.all()) if (!present.has(record.podUid)) store.touch(record.podUid);
    // Of a version that is not ours, or written by an agent that ended after we began: they go with their pods.
    if (nowMs - startedMs <= unknownGraceMs) return;
    for (const podUid of present) if (!pods.has(podUid) && store.get(podUid) === undefined) store.touch(podUid);
  }

  function drop(podUid: string): void {
    store.remove(podUid);
    wake.resolve();
  }

  return {
    loaded: loaded.promise,
    async run(signal) {
      if (bootId === undefined) {
        log.warn("Cannot keep what is decided on pods over a restart of the agent: the kernel tells no boot id");
        loaded.resolve();
        return;
      }
      await load(signal);
      loaded.resolve();
      signal.addEventListener("abort", () => wake.resolve(), { once: true });
      while (!signal.aborted) {
        wake = Promise.withResolvers<void>();
        await writeTouched();
        if (listed !== undefined) {
          const pods = listed;
          listed = undefined;
          await compare(pods);
          await writeTouched();
        }
        if (!signal.aborted) await wake.promise;
      }
      await writeTouched();
    },
    keep(decision, at) {
      const { podUid } = decision;
      if (bootId === undefined || recordFileName(podUid) === undefined) return;
      const old = store.get(podUid);
      const before = old?.isProven === true && isSameNetns(old.record.netns, at) ? old.record : undefined;
      const told = {
        ...decision,
        containerId: decision.containerId ?? before?.containerId,
        wasInPlace: decision.wasInPlace || (before?.wasInPlace ?? false),
      };
      if (before !== undefined && isSame(before, told)) return;
      let netns = before?.netns;
      try {
        netns ??= deps.identify(at.fd);
      } catch (error) {
        log.debug("Cannot identify a pod's network namespace", { podUid, err: String(error) });
        return;
      }
      const record: PodRecord = { ...told, netns, bootId, decidedAtMs: Math.max(0, Math.floor(deps.wallMs())) };
      store.put({ record, isProven: true, sinceMs: clock.nowMs() });
      wake.resolve();
    },
    save(podUid) {
      if (store.takeTouched(podUid)) write(podUid);
    },
    decided(podUid) {
      const stored = store.get(podUid);
      return stored?.isProven === true ? stored.record : undefined;
    },
    unproven(podUid) {
      const stored = store.get(podUid);
      return stored?.isProven === false ? stored.record : undefined;
    },
    prove(podUid, at) {
      const stored = store.get(podUid);
      if (stored === undefined) return;
      const { netns, podNamespace, podName } = stored.record;
      if (isSameNetns(netns, at)) {
        if (stored.isProven) return;
        try {
          if (deps.identify(at.fd).cookie === netns.cookie) return store.prove(podUid);
        } catch (error) {
          log.debug("Cannot identify a pod's network namespace", { podUid, err: String(error) });
          return;
        }
      }
      log.info("Forgot what was decided on a pod: that was for a former sandbox", {
        ns: podNamespace,
        name: podName,
        podUid,
      });
      drop(podUid);
    },
    formerly(podUid, containerId) {
      const record = store.get(podUid)?.record;
      return record?.containerId === containerId ? record.capture : undefined;
    },
    removeSandbox(containerId) {
      for (const { record } of store.all()) {
        if (record.containerId === containerId) return drop(record.podUid);
      }
    },
    forget: drop,
    retain(podUids) {
      listed = new Set(podUids);
      wake.resolve();
    },
  };
}

/** But for when and where it was decided. */
function isSame(record: PodRecord, told: PodDecision): boolean {
  return (
    record.mode === told.mode &&
    record.reason === told.reason &&
    record.decidedBy === told.decidedBy &&
    record.wasInPlace === told.wasInPlace &&
    record.containerId === told.containerId &&
    isSameCapture(record.capture, told.capture)
  );
}

function isSameCapture(left: PodCapture | undefined, right: PodCapture | undefined): boolean {
  if (left === right) return true;
  if (left === undefined || right === undefined) return false;
  return JSON.stringify(renderCapture(left)) === JSON.stringify(renderCapture(right));
}
