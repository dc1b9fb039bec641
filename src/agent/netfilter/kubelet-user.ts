// Looks through the node's processes for the kubelet, for the native rule that names its user. Never fails: a node whose
// kubelet has another name still starts (surprise 6), with uid 0.
import {
  chooseKubeletUser,
  type KubeletUser,
  mayBeKubelet,
  type ProcessFacts,
  parseCmdline,
  parseRealUid,
} from "../../core/netns/kubelet-process.ts";
import { parseProcessStat } from "../../core/netns/stat-text.ts";

export interface KubeletUserDeps {
  /** The node's processes. */
  readonly proc: {
    pids(): Promise<number[]>;
    stat(pid: number): string | undefined;
    netnsIno(pid: number): bigint | undefined;
  };
  text(pid: number, file: "cmdline" | "status"): string | undefined;
  /** Inode of the node's own network namespace; undefined: nobody knows, and every process counts. */
  readonly nodeNetnsIno: bigint | undefined;
  /** Resolves after whatever else waits for the thread has had its turn. */
  yieldToLoop(): Promise<void>;
}

/** About 10 µs each: a millisecond at a time. */
const PIDS_PER_TURN = 100;
/** Nobody has so many kubelets, and a process can be named like one by anybody. */
const MAX_CANDIDATES = 64;

/** Resolves in any case; rejects only with the signal's reason. */
export async function findKubeletUser(deps: KubeletUserDeps, signal: AbortSignal): Promise<KubeletUser> {
  const candidates: ProcessFacts[] = [];
  const pids = await deps.proc.pids().catch(() => []);
  for (const [index, pid] of pids.toSorted((left, right) => left - right).entries()) {
    if (index % PIDS_PER_TURN === 0) await deps.yieldToLoop();
    signal.throwIfAborted();
    if (candidates.length >= MAX_CANDIDATES) break;
    const comm = parseProcessStat(deps.proc.stat(pid) ?? "")?.comm;
    if (comm === undefined || !mayBeKubelet(comm)) continue;
    if (deps.nodeNetnsIno !== undefined && deps.proc.netnsIno(pid) !== deps.nodeNetnsIno) continue;
    const cmdline = parseCmdline(deps.text(pid, "cmdline") ?? "");
    candidates.push({ pid, comm, cmdline, realUid: parseRealUid(deps.text(pid, "status") ?? "") });
  }
  return chooseKubeletUser(candidates);
}
