// What many processes at once tell: how long until each and the last was done, and in which order. Pure.
import type { CrowdMember } from "./crowd.ts";

export interface Burst {
  /** Until the last one was done. */
  readonly allMs: number;
  /** Until each one was done, in the order of the requests: what its pod waited. */
  readonly eachMs: readonly number[];
  /** CPU time of all of them. */
  readonly cpuMs: number;
  /** For each, how many began after it and were done before it: all 0 is the order in which they came. */
  readonly overtaken: readonly number[];
}

/** @throws {RangeError} on an empty crowd. */
export function describeBurst(members: readonly CrowdMember[]): Burst {
  if (members.length === 0) throw new RangeError("Cannot describe a burst: nobody was in it");
  const overtaken = members.map(
    (one) => members.filter((other) => other.startedMs > one.startedMs && other.endedMs < one.endedMs).length,
  );
  return {
    allMs: Math.max(...members.map(({ endedMs }) => endedMs)),
    eachMs: members.map(({ endedMs }) => endedMs),
    cpuMs: members.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    overtaken,
  };
}
