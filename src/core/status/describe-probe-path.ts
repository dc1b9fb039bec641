// Whether probes of the node reach enrolled pods, of one family, as plain data for people and programs.
import { formatIp, type IpAddress } from "../address.ts";
import { SELF_TEST_RESULTS, type SelfTestSummary } from "../policy/probe-self-test.ts";
import { timestamp } from "./describe-pod.ts";
import type { StatusDocument } from "./status-document.ts";

/** What the self-test knows (agent/ambient). Times are milliseconds since 1970. */
export interface ProbePathFacts {
  readonly family: 4 | 6;
  readonly verdict: SelfTestSummary["verdict"];
  readonly source: IpAddress;
  readonly pods: SelfTestSummary["pods"];
  /** What is wrong, with a hint; "" where nothing is. */
  readonly message: string;
  /** Of the pods for which something is wrong, a few, as "namespace/name". */
  readonly examples: readonly string[];
  /** When a pod was last tried. */
  readonly lastMs: number | undefined;
}

export type ProbePathStatus = StatusDocument["probePaths"][number];

export function describeProbePath(facts: ProbePathFacts): ProbePathStatus {
  const { family, verdict, source, pods, message, examples, lastMs } = facts;
  return {
    family: family === 4 ? "ipv4" : "ipv6",
    verdict,
    source: formatIp(source),
    results: SELF_TEST_RESULTS.flatMap((result) => (pods[result] === 0 ? [] : [{ result, pods: pods[result] }])),
    message: message === "" ? null : message,
    examples,
    lastTriedAt: timestamp(lastMs),
  };
}

/** One line for `install-cni status`. */
export function wordsOfProbePath({ family, verdict, source, results, message, examples }: ProbePathStatus): string {
  const name = family === "ipv4" ? "IPv4" : "IPv6";
  const counts = results.map(({ result, pods }) => `${pods} ${result}`).join(", ");
  const trouble = message === null ? "" : `; ${examples.join(", ")}: ${message}`;
  switch (verdict) {
    case "untested":
      return `${name}: no enrolled pod was tried yet`;
    case "cannot-test":
      return `${name}: cannot be tried${trouble}`;
    case "works":
      return `${name} reach pods from ${source} (${counts})`;
    case "partly":
      return `${name} do not reach all pods (${counts})${trouble}`;
    case "fails":
      return `${name} do not reach pods (${counts})${trouble}`;
  }
}
