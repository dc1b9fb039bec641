// What other services ask of the ztunnel server, and what they are told. Types only.
import type { NetnsId } from "../../core/netns/netns-id.ts";
import type { SessionPhase } from "../../core/zds/session.ts";

/** A pod as ztunnel knows it; `serviceAccount` is spec.serviceAccountName. */
export interface ZtunnelWorkload {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** What became of an enrolment. After anything but "acknowledged" the workload is no longer wanted, in no later snapshot
 * either, unless it was before, in the same namespace. */
export type EnrollOutcome =
  | { readonly result: "acknowledged" }
  /** ztunnel's own words, on one line of at most 512 characters. */
  | { readonly result: "refused"; readonly error: string }
  /** It can never be told: see `problem`. */
  | { readonly result: "invalid"; readonly problem: string }
  /** No ztunnel had its snapshot, for as long as was waited. */
  | { readonly result: "no-connection" }
  | { readonly result: "timed-out" }
  /** Withdrawn meanwhile, or enrolled with another namespace. */
  | { readonly result: "superseded" }
  | { readonly result: "aborted" }
  | { readonly result: "agent-ends" };

export type DeclareOutcome =
  | { readonly result: "declared" }
  | { readonly result: "invalid"; readonly problem: string }
  | { readonly result: "agent-ends" };

export type WithdrawOutcome =
  /** No connected ztunnel serves it. */
  | { readonly result: "withdrawn" }
  /** It is wanted again, or only another namespace of it was to be withdrawn. */
  | { readonly result: "superseded" }
  | { readonly result: "aborted" }
  | { readonly result: "agent-ends" };

/** How a workload stands with the ztunnel that gets new ones. "kept": its namespace is not known, that ztunnel was asked to
 * go on if it has it. "refused": it is tried again. "waiting": it has yet to be told, or there is no ztunnel. */
export type WorkloadState = "served" | "kept" | "refused" | "waiting";

export interface WorkloadStatus extends ZtunnelWorkload {
  readonly netns: NetnsId | undefined;
  readonly state: WorkloadState;
  /** Connections, by number, that acknowledged it in its present namespace. */
  readonly servedBy: readonly number[];
  /** In a row. */
  readonly failures: number;
  readonly lastError: string | undefined;
}

export interface ConnectionStatus {
  readonly id: number;
  /** The process, as the node counts. */
  readonly pid: number;
  readonly phase: SessionPhase;
  /** It gets new workloads. */
  readonly isPrimary: boolean;
  readonly workloads: number;
}

export type ZtunnelChange =
  | { readonly type: "acknowledged" | "refused"; readonly uid: string; readonly connection: number }
  /** A ztunnel has acknowledged its snapshot. */
  | { readonly type: "connected"; readonly connection: number }
  | { readonly type: "disconnected"; readonly connection: number };

/** The workloads of this node as ztunnel shall serve them. */
export interface ZtunnelServer {
  /** Listens until the signal aborts; then connections are closed, and ztunnel goes on with what it has.
   * @throws {ErrnoError} when the socket cannot be opened. */
  run(signal: AbortSignal): Promise<void>;
  /** Everything that runs is declared: from now on snapshots are sent. ztunnel stops what is not in one. */
  admitSnapshots(): void;
  /** A running pod, wanted until it is withdrawn, whatever ztunnel says of it. Without a namespace ztunnel is asked to go on
   * with what it has. @throws what opening the namespace once more throws; nothing has changed then. */
  declare(workload: ZtunnelWorkload, netnsFd: number | undefined): DeclareOutcome;
  /** A pod that starts: wanted if ztunnel takes it. The descriptor stays the caller's. Asked again, it answers again.
   * @throws what opening the namespace once more throws; nothing has changed then. */
  enroll(workload: ZtunnelWorkload, netnsFd: number, signal: AbortSignal): Promise<EnrollOutcome>;
  /** Takes a pod out, everywhere. `only`: unless it has another namespace by now, as after the sandbox was made anew. */
  withdraw(uid: string, signal: AbortSignal, only?: NetnsId): Promise<WithdrawOutcome>;
  workload(uid: string): WorkloadStatus | undefined;
  workloads(): WorkloadStatus[];
  connections(): ConnectionStatus[];
  /** Whether some ztunnel has acknowledged its snapshot: new pods can be enrolled. */
  isConnected(): boolean;
  subscribe(listener: (change: ZtunnelChange) => void): Disposable;
}
