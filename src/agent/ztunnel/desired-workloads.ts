// The workloads that ztunnel shall serve, with their network namespaces, which are owned here and closed exactly once.
// Who is told of them, and when, is the server's business.
import { isSameNetns } from "../../core/netns/netns-id.ts";
import type { WorkloadInfo } from "../../core/zds/messages.ts";
import { retryDelayMs, type Want } from "../../core/zds/session-items.ts";
import type { NetnsHandle } from "../../platform/linux/netns.ts";
import type { EnrollOutcome } from "./ztunnel-api.ts";

/** One who waits for an acknowledgement. */
export interface Waiter {
  settle(outcome: EnrollOutcome): void;
}

export interface DesiredWorkload {
  readonly uid: string;
  readonly info: WorkloadInfo;
  readonly netns: NetnsHandle | undefined;
  /** Changes with the information and with the namespace; never used twice. */
  readonly generation: number;
  /** It is wanted only if ztunnel takes it: an ADD that waits, and fails with it. */
  isProvisional: boolean;
  /** What went wrong in a row, when it may be tried again, and what ztunnel said last. */
  failures: number;
  notBeforeMs: number;
  lastError: string | undefined;
  readonly waiters: Set<Waiter>;
}

export interface DesiredWorkloadsDeps {
  /** Opens the namespace once more, for us. @throws NotNetnsError, or an error of open(2). */
  dupNetns(fd: number): NetnsHandle;
}

export class DesiredWorkloads implements Disposable {
  readonly #deps: DesiredWorkloadsDeps;
  readonly #entries = new Map<string, DesiredWorkload>();
  #lastGeneration = 0;

  constructor(deps: DesiredWorkloadsDeps) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(uid: string): DesiredWorkload | undefined {
    return this.#entries.get(uid);
  }

  all(): IterableIterator<DesiredWorkload> {
    return this.#entries.values();
  }

  /** What a connection shall be told, in the order in which it came. */
  *wants(): Generator<readonly [string, Want]> {
    for (const entry of this.#entries.values()) yield [entry.uid, wantOf(entry)];
  }

  /** Puts a workload in. Without `netnsFd` it keeps the namespace that is known. `isProvisional`: to be taken out when it
   * fails; what was wanted already, in this very namespace, stays. Whoever waits for another namespace of it is told.
   * @throws what dupNetns throws; nothing has changed then. */
  put(
    uid: string,
    info: WorkloadInfo,
    netnsFd: number | undefined,
    isProvisional: boolean,
  ): { readonly entry: DesiredWorkload; readonly hasChanged: boolean } {
    const old = this.#entries.get(uid);
    const given = netnsFd === undefined ? undefined : this.#deps.dupNetns(netnsFd);
    const isInPlace = given === undefined || (old?.netns !== undefined && isSameNetns(old.netns, given));
    if (old !== undefined && isInPlace && isSameInfo(old.info, info)) {
      given?.[Symbol.dispose]();
      if (!isProvisional) old.isProvisional = false;
      return { entry: old, hasChanged: false };
    }
    const staysOnFailure = old !== undefined && isInPlace && !old.isProvisional;
    const entry: DesiredWorkload = {
      uid,
      info,
      netns: isInPlace ? (old?.netns ?? given) : given,
      generation: ++this.#lastGeneration,
      isProvisional: isProvisional && !staysOnFailure,
      failures: 0,
      notBeforeMs: 0,
      lastError: undefined,
      waiters: new Set(),
    };
    this.#entries.set(uid, entry);
    if (entry.netns !== given) given?.[Symbol.dispose]();
    if (old?.netns !== entry.netns) old?.netns?.[Symbol.dispose]();
    settleAll(old, { result: "superseded" });
    return { entry, hasChanged: true };
  }

  /** Takes it out and closes its namespace; `outcome` goes to whoever still waits for it. */
  remove(uid: string, outcome: EnrollOutcome): boolean {
    const entry = this.#entries.get(uid);
    if (entry === undefined) return false;
    this.#entries.delete(uid);
    entry.netns?.[Symbol.dispose]();
    settleAll(entry, outcome);
    return true;
  }

  [Symbol.dispose](): void {
    for (const uid of [...this.#entries.keys()]) this.remove(uid, { result: "agent-ends" });
  }
}

export function wantOf({ generation, netns, waiters, failures, notBeforeMs }: DesiredWorkload): Want {
  return { generation, hasNetns: netns !== undefined, isUrgent: waiters.size > 0, failures, notBeforeMs };
}

/** Another failure in a row. The first may be ztunnel's own restart: `isInnocent` ones are tried again at once then. */
export function noteFailure(entry: DesiredWorkload, nowMs: number, isInnocent: boolean, error?: string): void {
  entry.failures++;
  entry.notBeforeMs = isInnocent && entry.failures === 1 ? 0 : nowMs + retryDelayMs(entry.failures);
  entry.lastError = error ?? entry.lastError;
}

/** Tells all who wait, each once. */
export function settleAll(entry: DesiredWorkload | undefined, outcome: EnrollOutcome): void {
  if (entry === undefined) return;
  const waiters = [...entry.waiters];
  entry.waiters.clear();
  for (const waiter of waiters) waiter.settle(outcome);
}

function isSameInfo(a: WorkloadInfo, b: WorkloadInfo): boolean {
  return a.name === b.name && a.namespace === b.namespace && a.serviceAccount === b.serviceAccount;
}
