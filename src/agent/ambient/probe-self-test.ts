// Keeps known whether the kubelet's probes reach enrolled pods, by trying it: a few pods at a time, those first that were never
// tried, then in turn. What was found wrong is tried once more before it is told. How one pod is tried: try-probe-path.ts; what
// it means: core/policy/probe-self-test.ts. Changes nothing in any pod and decides nothing for anybody.
import { formatIp, type IpAddress } from "../../core/address.ts";
import { messageOf } from "../../core/error-message.ts";
import type { Logger } from "../../core/log.ts";
import { renderProbePathHint } from "../../core/policy/probe-path-hints.ts";
import {
  decideSelfTest,
  type ProbeEvidence,
  SELF_TEST_RESULTS,
  type SelfTestOutcome,
  type SelfTestResult,
  type SelfTestSummary,
  summarizeSelfTests,
} from "../../core/policy/probe-self-test.ts";
import type { ProbePathFacts } from "../../core/status/describe-probe-path.ts";
import type { Clock } from "../../platform/clock.ts";

/** An enrolled pod whose addresses stand in the node's probe set, and whose rules let only probes pass ztunnel. */
export interface SelfTestPod {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly ips: readonly IpAddress[];
}

export interface ProbeSelfTestDeps {
  /** As they are now. */
  pods(): readonly SelfTestPod[];
  /** Descriptors of the pod's namespace and of the node's; a sentence: why one cannot be had. Good until something is waited for. */
  netns(podUid: string): { readonly pod: number; readonly node: number } | string;
  tryPath(
    path: { readonly podNetnsFd: number; readonly nodeNetnsFd: number; readonly address: IpAddress },
    signal: AbortSignal,
  ): Promise<ProbeEvidence>;
  readonly clock: Clock;
  /** Wall time in milliseconds since 1970. */
  wallMs(): number;
  readonly log: Logger;
  /** Pods of a family by what was found of them last. */
  count(family: 4 | 6, result: SelfTestResult, pods: number): void;
  /** The verdict of a family is another one; `sentence` says it all. */
  changed(family: 4 | 6, summary: SelfTestSummary, sentence: string): void;
}

export interface ProbeSelfTestOptions {
  readonly families: readonly (4 | 6)[];
  readonly probeSource: { readonly v4: IpAddress; readonly v6: IpAddress };
  /** Between two looks for pods never tried, and for findings made only once. @default 5000 */
  readonly soonMs?: number;
  /** Between two rounds among the others. @default 60000 */
  readonly intervalMs?: number;
  /** Pods of each family in one round. @default 4 */
  readonly perRound?: number;
}

export interface ProbeSelfTest {
  /** Tests until the signal aborts, then resolves. To be called once. */
  run(signal: AbortSignal): Promise<void>;
  records(): readonly ProbePathFacts[];
}

interface Finding {
  readonly name: string;
  /** The addresses that were tried: with others it is another test. */
  readonly address: string;
  /** What is told. */
  readonly confirmed: SelfTestOutcome | undefined;
  /** Found last, not often enough to be told, and how often in a row. */
  readonly suspected: { readonly outcome: SelfTestOutcome; readonly times: number } | undefined;
  /** Counts tries: who has the smallest was tried longest ago. */
  readonly order: number;
}

interface FamilyState {
  readonly family: 4 | 6;
  readonly source: IpAddress;
  readonly findings: Map<string, Finding>;
  nextRoundMs: number;
  told: string;
  lastWallMs: number | undefined;
}

/** As often in a row something is found before it is told: a pod that ends while it is tried proves nothing. */
const CONFIRMED_TIMES = 2;
/** Before all that were tried. */
const NEVER_TRIED = -2;
const TO_CONFIRM = -1;
const MAX_EXAMPLES = 3;

export function createProbeSelfTest(deps: ProbeSelfTestDeps, options: ProbeSelfTestOptions): ProbeSelfTest {
  const { families, probeSource, intervalMs = 60_000, soonMs = 5000, perRound = 4 } = options;
  const states = families.map((family): FamilyState => {
    const source = family === 4 ? probeSource.v4 : probeSource.v6;
    return { family, source, findings: new Map(), nextRoundMs: 0, told: "untested", lastWallMs: undefined };
  });

  let tries = 0;

  async function run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        for (const state of states) await testSome(state, signal);
        await deps.clock.sleep(soonMs, signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async function testSome(state: FamilyState, signal: AbortSignal): Promise<void> {
    const { family, findings } = state;
    const pods = deps.pods().flatMap((pod) => {
      const ip = pod.ips.find((one) => one.family === family);
      return ip === undefined ? [] : [{ pod, ip }];
    });
    const standing = new Map(pods.map(({ pod, ip }) => [pod.uid, formatIp(ip)]));
    // Of pods that are gone, or have come up elsewhere, nothing is known any more.
    for (const [uid, { address }] of findings) if (standing.get(uid) !== address) findings.delete(uid);
    const nowMs = deps.clock.nowMs();
    const isRound = nowMs >= state.nextRoundMs;
    if (isRound) state.nextRoundMs = nowMs + intervalMs;
    // Never tried, then found wrong once, then whoever was tried longest ago.
    const turn = (uid: string): number => {
      const finding = findings.get(uid);
      if (finding === undefined) return NEVER_TRIED;
      return finding.suspected === undefined ? finding.order : TO_CONFIRM;
    };
    const due = pods.filter(({ pod }) => isRound || turn(pod.uid) <= TO_CONFIRM);
    const chosen = due.toSorted((left, right) => turn(left.pod.uid) - turn(right.pod.uid)).slice(0, perRound);
    for (const { pod, ip } of chosen) {
      const outcome = decideSelfTest(await attempt(pod, ip, signal), state.source);
      const label = { name: `${pod.namespace}/${pod.name}`, address: formatIp(ip), order: tries++ };
      findings.set(pod.uid, { ...label, ...weigh(findings.get(pod.uid), outcome) });
      state.lastWallMs = deps.wallMs();
    }
    tell(state);
  }

  async function attempt(pod: SelfTestPod, address: IpAddress, signal: AbortSignal): Promise<ProbeEvidence> {
    const netns = deps.netns(pod.uid);
    if (typeof netns === "string") return { kind: "untried", problem: netns };
    try {
      return await deps.tryPath({ podNetnsFd: netns.pod, nodeNetnsFd: netns.node, address }, signal);
    } catch (error) {
      signal.throwIfAborted();
      return { kind: "untried", problem: messageOf(error) };
    }
  }

  /** Once for each verdict and what is wrong most often. */
  function tell(state: FamilyState): void {
    const summary = summarize(state);
    for (const result of SELF_TEST_RESULTS) deps.count(state.family, result, summary.pods[result]);
    const key = [summary.verdict, summary.worst?.result ?? "", summary.worst?.reason ?? ""].join(" ").trim();
    if (key === state.told) return;
    state.told = key;
    const sentence = sentenceOf(state, summary);
    deps.changed(state.family, summary, sentence);
    const labels = { family: `IPv${state.family}`, verdict: summary.verdict };
    if (summary.verdict === "fails" || summary.verdict === "partly") deps.log.warn(sentence, labels);
    else deps.log.info(sentence, labels);
  }

  function records(): readonly ProbePathFacts[] {
    return states.map((state) => {
      const { verdict, pods, worst } = summarize(state);
      return {
        ...{ family: state.family, verdict, source: state.source, pods },
        message: worst === undefined ? "" : withHint(worst, verdict),
        examples: examplesOf(state, worst),
        lastMs: state.lastWallMs,
      };
    });
  }

  return { run, records };
}

function summarize({ findings }: FamilyState): SelfTestSummary {
  return summarizeSelfTests([...findings.values()].flatMap(({ confirmed }) => confirmed ?? []));
}

/** That something works needs no second look. */
function weigh(before: Finding | undefined, outcome: SelfTestOutcome): Pick<Finding, "confirmed" | "suspected"> {
  const isKnown = outcome.result === "works" || before?.confirmed?.result === outcome.result;
  const times = before?.suspected?.outcome.result === outcome.result ? before.suspected.times + 1 : 1;
  if (isKnown || times >= CONFIRMED_TIMES) return { confirmed: outcome, suspected: undefined };
  return { confirmed: before?.confirmed, suspected: { outcome, times } };
}

function examplesOf({ findings }: FamilyState, worst: SelfTestOutcome | undefined): string[] {
  if (worst === undefined) return [];
  return [...findings.values()]
    .filter(({ confirmed }) => confirmed?.result === worst.result)
    .slice(0, MAX_EXAMPLES)
    .map(({ name }) => name);
}

function sentenceOf(state: FamilyState, { verdict, pods, worst }: SelfTestSummary): string {
  const what = `IPv${state.family} probes of the node`;
  const examples = examplesOf(state, worst).join(", ");
  const trouble = worst === undefined ? "" : withHint(worst, verdict);
  const tested = Object.values(pods).reduce((sum, count) => sum + count, 0) - pods["cannot-test"];
  switch (verdict) {
    case "untested":
      return `${what}: no enrolled pod to test them with`;
    case "cannot-test":
      return `${what} cannot be tested: ${trouble}`;
    case "works":
      return `${what} reach enrolled pods from ${formatIp(state.source)}, as they should`;
    case "partly":
      return `${what} do not reach ${tested - pods.works} of ${tested} tested pods (${examples}): ${trouble}`;
    case "fails":
      return `${what} do not reach enrolled pods (${examples}): ${trouble}`;
  }
}

function withHint({ message, reason }: SelfTestOutcome, verdict: SelfTestSummary["verdict"]): string {
  const hint = renderProbePathHint(reason, verdict);
  return hint === "" ? message : `${message}. Known causes and remedies: ${hint}`;
}
