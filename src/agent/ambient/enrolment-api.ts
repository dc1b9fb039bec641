// What the enrolment loop needs of others, and what others ask of it. Types only.
import type { IpAddress } from "../../core/address.ts";
import type { Pod } from "../../core/kube/pod.ts";
import type { Redirection } from "../../core/policy/ambient-redirection.ts";
import type { EnrolmentStep } from "../../core/policy/enrolment-steps.ts";
import type { RulesWish } from "../../core/policy/rules-wish.ts";
import type { Clock } from "../../platform/clock.ts";
import type { EnrolmentSources } from "./enrolment-facts.ts";
import type { EnrolmentRecord } from "./enrolment-record.ts";
import type { EnrolmentTellerDeps } from "./enrolment-teller.ts";
import type { Workload } from "./workload.ts";

export interface EnrolmentDeps {
  readonly pods: {
    get(uid: string): Pod | undefined;
    list(): readonly Pod[];
    subscribe(listener: (event: { readonly type: "add" | "update" | "delete"; readonly pod: Pod }) => void): Disposable;
    /** Whether what the API shows is what there is now: it is listed and watched, without a fault. */
    isCurrent(): boolean;
    waitSynced(signal: AbortSignal): Promise<void>;
  };
  readonly namespaces: {
    /** Told the name of a namespace that came, went or changed. */
    subscribe(listener: (name: string) => void): Disposable;
    waitSynced(signal: AbortSignal): Promise<void>;
  };
  readonly decide: EnrolmentSources["decide"];
  /** Calls when `decide` may decide otherwise on every pod although nothing of the pods has changed. */
  subscribePolicy?(listener: () => void): Disposable;
  /** Whether an agent has seen the rules of this pod's sandbox in place. */
  wasIn(podUid: string): boolean;
  readonly netns: EnrolmentSources["netns"];
  readonly rules: EnrolmentSources["rules"] & {
    /** Look, and bring to what `wishFor` says, as soon as possible; `settled` is called when that is done. */
    request(podUid: string): void;
  };
  readonly ztunnel: EnrolmentSources["ztunnel"] & {
    /** Wanted from now on, whatever ztunnel says of it. The descriptor stays ours. */
    declare(workload: Workload, netnsFd: number | undefined): { readonly result: string; readonly problem?: string };
    withdraw(podUid: string, signal: AbortSignal): Promise<{ readonly result: string }>;
    workloads(): readonly { readonly uid: string }[];
    /** Everything that runs is declared: a snapshot may be sent. */
    admitSnapshots(): void;
    subscribe(listener: (change: { readonly uid?: string }) => void): Disposable;
  };
  readonly probes: EnrolmentSources["probes"] & {
    uids(): readonly string[];
    put(podUid: string, ips: readonly IpAddress[]): Promise<void>;
    remove(podUid: string): Promise<void>;
    /** Told that the set is not what it was. */
    subscribe(listener: () => void): Disposable;
  };
  /** Writes the annotation. Rejects with KubeApiError. */
  annotate(pod: Pod, value: Redirection, signal: AbortSignal): Promise<void>;
  readonly metrics: {
    /** `nodeagent_reconcile_events_total`. */
    handled(type: "add" | "update" | "delete"): void;
    step(step: EnrolmentStep, result: "done" | "failed"): void;
  };
  readonly clock: Clock;
  /** Wall time in milliseconds since 1970. */
  wallMs(): number;
  /** In [0, 1). */
  random(): number;
  readonly recordEvent: EnrolmentTellerDeps["recordEvent"];
  readonly log: EnrolmentTellerDeps["log"];
}

export interface EnrolmentOptions {
  /** Between two looks at everything. @default 60000 */
  readonly intervalMs?: number;
  /** Pods worked on at the same time: one that waits for ztunnel or the API does not hold up the others. @default 16 */
  readonly maxBusy?: number;
  /** For one step. @default 10000 */
  readonly stepTimeoutMs?: number;
  /** A first snapshot waits so long for the namespaces of pods that were there before. @default 5000 */
  readonly firstSnapshotMs?: number;
}

export interface Enrolment {
  /** Reconciles until the signal aborts, then resolves. To be called once. */
  run(signal: AbortSignal): Promise<void>;
  wishFor(pod: Pod): RulesWish;
  /** The verifier has finished a look at this pod. */
  settled(podUid: string): void;
  /** An ADD of this pod is under way: until it is disposed of nobody else works on the pod, because the sandbox that counts is
   * not the one that is known. */
  starting(podUid: string): Disposable;
  /** The pod was captured and taken by ztunnel at its ADD; what is left to do is not waited for. The watch may not have shown
   * it yet. */
  added(pod: Pod): void;
  /** The sandbox that it was added with is gone: if the watch has not shown the pod by now, it is not waited for any longer. */
  removed(podUid: string): void;
  records(): readonly EnrolmentRecord[];
  record(podUid: string): EnrolmentRecord | undefined;
}
