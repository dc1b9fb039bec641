// How far one pod has come in ambient mode, and how ztunnel is connected, as plain data for people and programs.

import type { EnrolmentFacts, EnrolmentStep, EnrolmentWait } from "../policy/enrolment-steps.ts";
import { cutText } from "../short-text.ts";
import type { ENROLMENT_STATES, PodStatus, StatusDocument } from "./status-document.ts";

/** What the enrolment loop knows of a pod (agent/ambient). Times are milliseconds since 1970. */
export interface EnrolmentStatusFacts {
  readonly podUid: string;
  readonly state: (typeof ENROLMENT_STATES)[number];
  readonly facts: EnrolmentFacts | undefined;
  readonly waits: EnrolmentWait | undefined;
  readonly failedStep: EnrolmentStep | undefined;
  readonly message: string | undefined;
  readonly sinceMs: number;
}

/** What ztunnel's server knows (agent/ztunnel). */
export interface ZtunnelStatusFacts {
  readonly isConnected: boolean;
  readonly workloads: number;
  readonly connections: readonly {
    readonly pid: number;
    readonly phase: string;
    readonly isPrimary: boolean;
    readonly workloads: number;
  }[];
}

const MAX_SENTENCE = 512;

/** Null: nobody has looked at the pod, or nothing of this mode concerns it. */
export function describeEnrolment(record: EnrolmentStatusFacts | undefined): PodStatus["ambient"] {
  if (record?.facts === undefined) return null;
  const { state, facts, waits, failedStep, message, sinceMs } = record;
  return {
    state,
    since: new Date(sinceMs).toISOString(),
    rules: facts.rules,
    ztunnel: facts.ztunnel,
    probes: facts.probes,
    annotation: facts.annotation,
    waits: waits ?? null,
    failedStep: failedStep ?? null,
    message: message === undefined ? null : cutText(message, MAX_SENTENCE),
  };
}

/** Somebody should look: a step fails again and again, or ztunnel cannot serve the pod. A ztunnel that is away is told of once,
 * for the node. */
export function isEnrolmentInTrouble(record: Pick<EnrolmentStatusFacts, "state" | "waits"> | undefined): boolean {
  return record?.state === "failed" || record?.waits === "ztunnel-refused";
}

export function describeZtunnel(facts: ZtunnelStatusFacts | undefined): StatusDocument["ztunnel"] {
  if (facts === undefined) return null;
  const { isConnected, workloads, connections } = facts;
  return {
    isConnected,
    workloads,
    connections: connections.map(({ pid, phase, isPrimary, workloads: served }) => ({
      ...{ pid, phase, isPrimary },
      workloads: served,
    })),
  };
}

/** The kernel tells 0 of a peer in a process namespace that we do not see. */
function nameOf(pid: number): string {
  return pid === 0 ? "one in a namespace of its own" : `pid ${pid}`;
}

/** One line for `install-cni status`. */
export function wordsOfZtunnel({
  isConnected,
  workloads,
  connections,
}: NonNullable<StatusDocument["ztunnel"]>): string {
  const pods = workloads === 1 ? "1 pod" : `${workloads} pods`;
  if (connections.length === 0) return `not connected; waiting for it: ${pods}`;
  const each = connections.map(
    ({ pid, phase, isPrimary, workloads: served }) =>
      `${nameOf(pid)} ${phase === "live" ? `serves ${served}` : phase}${isPrimary ? ", gets new pods" : ""}`,
  );
  return `${isConnected ? "connected" : "not ready"}, ${pods}: ${each.join("; ")}`;
}
