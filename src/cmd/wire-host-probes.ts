// Joins the node's probe set and rule with the node: its network namespace, its kernel, its kubelet. Part of wire-ambient.ts.
import { setImmediate } from "node:timers/promises";
import { createProbeBook, type ProbeBook, type ProbeSet } from "../agent/ambient/probe-book.ts";
import { gatherHostProbeFacts } from "../agent/netfilter/host-probe-facts.ts";
import { createHostProbes, type HostProbes } from "../agent/netfilter/host-probes.ts";
import { keepHostProbes } from "../agent/netfilter/host-probes-keeper.ts";
import { findKubeletUser } from "../agent/netfilter/kubelet-user.ts";
import { openChangeMonitor } from "../agent/verify/change-monitor.ts";
import { messageOf } from "../core/error-message.ts";
import type { Logger } from "../core/log.ts";
import type { AgentMetrics } from "../core/metrics/agent-metrics.ts";
import type { BackendDecision } from "../core/policy/backend-decision.ts";
import { decideHostDialect } from "../core/policy/host-probe-backend.ts";
import type { AmbientHost } from "../core/rules/ambient-host.ts";
import type { SystemClock } from "../platform/clock.ts";
import { createProcReader } from "../platform/fs/proc-reader.ts";
import { readProcessText } from "../platform/fs/process-text.ts";
import { openNetnsFile } from "../platform/linux/dup-netns.ts";
import { readNetSysctl } from "../platform/linux/net-sysctl.ts";
import { joinNetlinkGroup, openNetlink } from "../platform/linux/netlink-socket.ts";
import type { Poller } from "../platform/linux/poller.ts";
import { ownUid } from "../platform/process/own-user.ts";
import { HOST_PROBE_DEPS as deps } from "./host-probe-deps.ts";
import { ignoreAbort } from "./ignore-abort.ts";

const PROC = "/host/proc";
/** The node's namespace may come into sight later. */
const RETRY_MS = 10_000;
/** A pod that starts waits so long for the set to be made, when the agent has only just started. */
const SET_UP_WAIT_MS = 3000;

/** Off where pods may have branch network interfaces (contract 7.9). */
const EARLY_DEMUX = "ipv4.tcp_early_demux";

export interface HostProbesInput {
  /** `ENABLE_AWS_BRANCH_ENI_PROBE`. */
  readonly branchInterfaces: boolean;
  readonly host: AmbientHost;
  /** Asks the kernel at the first call. */
  readonly backend: () => BackendDecision;
  readonly log: Logger;
  readonly clock: SystemClock;
  readonly metrics: AgentMetrics;
  readonly poller: Poller;
}

export interface WiredHostProbes {
  readonly book: ProbeBook;
  /** The node's namespace, for connections that count as the kubelet's; a sentence: why there are none. */
  readonly netns: () => number | string;
  /** Makes the set and keeps it, until the agent ends; what stands then stays. */
  readonly run: (ending: AbortSignal) => Promise<void>;
}

export function wireHostProbes(input: HostProbesInput): WiredHostProbes {
  const { branchInterfaces, host, backend, log, clock, metrics, poller } = input;
  const proc = createProcReader(PROC);
  const firstTry = Promise.withResolvers<void>();
  let isTried = false;
  let state: ProbeSet | { readonly unavailable: string } = { unavailable: "the agent is only starting" };
  let nodeNetns: number | string = "the agent is only starting";
  const book = createProbeBook(async () => {
    if (!isTried) await firstTryOrLong();
    return state;
  });

  async function firstTryOrLong(): Promise<void> {
    const over = new AbortController();
    await Promise.race([firstTry.promise, clock.sleep(SET_UP_WAIT_MS, over.signal).catch(() => undefined)]);
    // A sleep that nobody waits for would keep the process from ending.
    over.abort();
  }

  /** The set is there, or why there is none is known. */
  function settle(next: typeof state): void {
    state = next;
    isTried = true;
    firstTry.resolve();
  }

  async function decideDialect() {
    const { dialect: ofPods, nfTables } = backend();
    const decision = decideHostDialect(ofPods, await gatherHostProbeFacts(deps, ofPods, nfTables, host));
    if (decision.works) log.info(decision.message);
    else log.error(decision.message);
    return { dialect: decision.dialect, nfTables };
  }

  /** The native rule names a user; in the other dialects every process of the node is let in. */
  async function kubeletUid(dialect: string, nodeNetnsIno: bigint, signal: AbortSignal): Promise<number> {
    if (dialect !== "nftables") return 0;
    const text = (pid: number, file: "cmdline" | "status") => readProcessText(PROC, pid, file);
    const user = await findKubeletUser({ proc, text, nodeNetnsIno, yieldToLoop: () => setImmediate() }, signal);
    log.info(user.message);
    return user.uid;
  }

  function keep(probes: HostProbes, netnsFd: number, ending: AbortSignal): Promise<void> {
    const watchReadable = (fd: number, onReadable: () => void) =>
      poller.watch(fd, { readable: true, writable: false }, onReadable);
    const monitorDeps = { openNetlink, joinGroup: joinNetlinkGroup, watchReadable };
    return keepHostProbes(
      {
        probes,
        openMonitor: (onChange) =>
          openChangeMonitor(monitorDeps, netnsFd, (generations) => {
            // Every pod that comes or goes makes one of ours, and a look takes as long as all pods together.
            if (generations === undefined || !generations.every(probes.isOwnGeneration)) onChange();
          }),
        clock,
        readSet: readBook,
        onRepaired(sentences) {
          metrics.drift.increment({ object: "host-probes", action: "repaired" });
          log.warn("The node's rules for probes were altered, and repaired", { drift: sentences.join("; ") });
        },
        onReplaced: (dialects) => log.info(`Removed the node's rules for probes as ${dialects.join(", ")}: ours stand`),
        onNotes: (notes) => log.info(`Probes: ${notes.length > 0 ? notes.join("; ") : "nothing to note any more"}`),
        onFailure(error) {
          if (error === undefined) return log.info("The node's rules for probes stand again");
          metrics.drift.increment({ object: "host-probes", action: "failed" });
          log.error("Cannot keep the node's rules for probes", { err: messageOf(error) });
        },
      },
      {},
      ending,
    );
  }

  async function readBook(): Promise<void> {
    await book.read().catch((error: unknown) => log.warn(`Cannot read the node's probe set: ${messageOf(error)}`));
  }

  async function serve(ending: AbortSignal): Promise<void> {
    const { path, ino } = proc.nodeNetns();
    using netns = openNetnsFile(path);
    const { dialect, nfTables } = await decideDialect();
    const uid = await kubeletUid(dialect, ino, ending);
    using probes = createHostProbes(deps, {
      netnsFd: netns.fd,
      dialect,
      nfTables,
      host,
      kubeletUid: () => uid,
      hasBranchInterfaces: branchInterfaces && readNetSysctl(netns.fd, EARLY_DEMUX) === "0",
    });
    settle(probes);
    const isExempt = dialect !== "nftables" || uid === ownUid();
    nodeNetns = isExempt ? netns.fd : `only connections of the kubelet's user, ${uid}, pass, and the agent is another`;
    const keeping = keep(probes, netns.fd, ending);
    await readBook();
    try {
      await keeping;
    } finally {
      nodeNetns = "the node's network namespace is closed";
    }
  }

  return {
    book,
    netns: () => nodeNetns,
    async run(ending) {
      while (!ending.aborted) {
        try {
          await serve(ending);
        } catch (error) {
          if (ending.aborted) break;
          const unavailable = messageOf(error);
          settle({ unavailable });
          log.error(`Cannot exempt the kubelet's probes, trying again: ${unavailable}`);
          await clock.sleep(RETRY_MS, ending).catch(ignoreAbort(ending));
        }
      }
    },
  };
}
