// What it means when the node connects to an enrolled pod as its kubelet does: whether probes get through past ztunnel, and if
// not, where they are lost. One attempt has one outcome, all pods of a family have one verdict. Not here: how it is tried, when
// and with which pods; what a person can do about it (probe-path-hints.ts).
//
// A verdict is told, and never a condition of readiness: a pod can fail alone for its own network policy, its author decides
// that, and a node that were not ready for it could be taken out by any of its pods.
import { formatIp, type IpAddress, isSameIp } from "../address.ts";

/** What was seen when the node connected to a listener of ours in the pod. Sources are as the pod's namespace sees them. */
export type ProbeEvidence =
  /** Our listener got the connection, and nobody in between had it. */
  | { readonly kind: "arrived"; readonly source: IpAddress }
  /** Somebody else answered, or took it on to our listener: in a captured pod that is ztunnel. `source`: who it took us for. */
  | { readonly kind: "intercepted"; readonly source: IpAddress | undefined }
  /** Connecting failed at once; `code` is the errno's name. */
  | { readonly kind: "refused"; readonly code: string }
  /** Nothing came back. `source`: who knocked, undefined: nobody did; "unknown": the kernel cannot be asked. */
  | { readonly kind: "silent"; readonly source: IpAddress | undefined | "unknown" }
  /** It could not be tried. */
  | { readonly kind: "untried"; readonly problem: string };

/**
 * - `works`: probes of the kubelet reach the application, from the configured source.
 * - `wrong-source`: they come from another address, by which the pod cannot tell them from other traffic.
 * - `captured-by-ztunnel`: the source is right, or unknown, and yet ztunnel gets them.
 * - `refused`: somebody rejects them: a network policy, a firewall, a route.
 * - `no-answer`: they, or the answers to them, get lost.
 * - `cannot-test`: this says nothing of the probes.
 */
export const SELF_TEST_RESULTS = [
  "works",
  "wrong-source",
  "captured-by-ztunnel",
  "refused",
  "no-answer",
  "cannot-test",
] as const;
export type SelfTestResult = (typeof SELF_TEST_RESULTS)[number];

/** Where it went wrong, in one word; a closed set. */
export type SelfTestReason =
  | "none"
  | "other-source"
  | "source-unseen"
  | "probe-source-captured"
  | "rejected"
  | "request-lost"
  | "answer-lost"
  | "lost"
  | "untried";

export interface SelfTestOutcome {
  readonly result: SelfTestResult;
  readonly reason: SelfTestReason;
  /** One sentence without the pod's name; "" for `works`. */
  readonly message: string;
}

/** @param source from where probes of this family have to come */
export function decideSelfTest(evidence: ProbeEvidence, source: IpAddress): SelfTestOutcome {
  const expected = formatIp(source);
  switch (evidence.kind) {
    case "arrived": {
      if (isSameIp(evidence.source, source)) return { result: "works", reason: "none", message: "" };
      const message = `probes reach the pod, but from ${formatIp(evidence.source)} instead of ${expected}`;
      return { result: "wrong-source", reason: "other-source", message };
    }
    case "intercepted":
      return decideIntercepted(evidence.source, source);
    case "refused": {
      const message = `connections of the node to the pod are rejected (${evidence.code})`;
      return { result: "refused", reason: "rejected", message };
    }
    case "silent":
      return decideSilent(evidence.source, source);
    case "untried":
      return { result: "cannot-test", reason: "untried", message: evidence.problem };
  }
}

function decideIntercepted(seen: IpAddress | undefined, source: IpAddress): SelfTestOutcome {
  const expected = formatIp(source);
  const result = "captured-by-ztunnel";
  if (seen === undefined) {
    const message = `probes end in ztunnel; they should pass it, by coming from ${expected}`;
    return { result, reason: "source-unseen", message };
  }
  if (!isSameIp(seen, source)) {
    const message = `probes end in ztunnel, because they come from ${formatIp(seen)} instead of ${expected}`;
    return { result: "wrong-source", reason: "other-source", message };
  }
  const message = `probes end in ztunnel, although they come from ${expected} as they should`;
  return { result, reason: "probe-source-captured", message };
}

function decideSilent(seen: IpAddress | undefined | "unknown", source: IpAddress): SelfTestOutcome {
  const result = "no-answer";
  if (seen === "unknown") return { result, reason: "lost", message: "probes, or the answers to them, get lost" };
  if (seen === undefined) return { result, reason: "request-lost", message: "probes get lost on the way to the pod" };
  // Whatever the source, the pod has answered; that it is another one is the first thing to put right.
  if (!isSameIp(seen, source)) {
    const message = `probes reach the pod from ${formatIp(seen)} instead of ${formatIp(source)}, and the answers get lost`;
    return { result: "wrong-source", reason: "other-source", message };
  }
  const message = `probes reach the pod, but its answers to ${formatIp(source)} get lost on the way back`;
  return { result, reason: "answer-lost", message };
}

/**
 * - `untested`: there was no pod yet. `cannot-test`: there was, and it could not be tried.
 * - `works`: for every pod that was tested. `partly`: for some. `fails`: for none.
 */
export const SELF_TEST_VERDICTS = ["untested", "cannot-test", "works", "partly", "fails"] as const;
export type SelfTestVerdict = (typeof SELF_TEST_VERDICTS)[number];

export interface SelfTestSummary {
  readonly verdict: SelfTestVerdict;
  /** Pods by what was found of them last. */
  readonly pods: Readonly<Record<SelfTestResult, number>>;
  /** What went wrong for most of those for which anything did. */
  readonly worst: SelfTestOutcome | undefined;
}

/** Of one family: the last outcome of each pod, in any order. */
export function summarizeSelfTests(outcomes: Iterable<SelfTestOutcome>): SelfTestSummary {
  const pods = { works: 0, "wrong-source": 0, "captured-by-ztunnel": 0, refused: 0, "no-answer": 0, "cannot-test": 0 };
  const wrong = new Map<string, { readonly outcome: SelfTestOutcome; readonly count: number }>();
  for (const outcome of outcomes) {
    pods[outcome.result] += 1;
    if (outcome.result === "works") continue;
    const key = `${outcome.result} ${outcome.reason}`;
    wrong.set(key, { outcome: wrong.get(key)?.outcome ?? outcome, count: (wrong.get(key)?.count ?? 0) + 1 });
  }
  const untried = pods["cannot-test"];
  const failing = [...wrong.values()].filter(({ outcome }) => outcome.result !== "cannot-test");
  const failures = failing.reduce((sum, { count }) => sum + count, 0);
  const told = failing.length > 0 ? failing : [...wrong.values()];
  const [worst] = told.toSorted((left, right) => right.count - left.count);
  const verdict =
    failures > 0
      ? pods.works > 0
        ? "partly"
        : "fails"
      : pods.works > 0
        ? "works"
        : untried > 0
          ? "cannot-test"
          : "untested";
  return { verdict, pods, worst: verdict === "works" ? undefined : worst?.outcome };
}
