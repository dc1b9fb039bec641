// Keeps every pod of the node in or out of ambient mode, as its labels say: compares what is wanted with what is there (rules,
// ztunnel's word, probe set, annotation) at start, on every event and on a timer, and does the steps in between. Which steps:
// core/policy/enrolment-steps.ts. Rules in a pod's namespace are the verifier's, which is told here what to make of them.

import { doublingDelayMs } from "../../core/doubling-delay.ts";
import { createDueQueue } from "../../core/due-queue.ts";
import { messageOf } from "../../core/error-message.ts";
import { isForbidden, isNotFound } from "../../core/kube/kube-api-error.ts";
import type { Pod } from "../../core/kube/pod.ts";
import { type Redirection, redirectionOf } from "../../core/policy/ambient-redirection.ts";
import { decideEnrolmentSteps, type EnrolmentPlan, type EnrolmentStep } from "../../core/policy/enrolment-steps.ts";
import { decideRulesWish } from "../../core/policy/rules-wish.ts";
import type { Enrolment, EnrolmentDeps, EnrolmentOptions } from "./enrolment-api.ts";
import { type GatheredFacts, gatherFacts } from "./enrolment-facts.ts";
import { type EnrolmentRecord, newRecord, noteFailure, noteLook } from "./enrolment-record.ts";
import { createEnrolmentTeller, newTold, type ToldOfPod } from "./enrolment-teller.ts";
import { workloadOf } from "./workload.ts";

interface PodState {
  record: EnrolmentRecord;
  /** As last seen. */
  pod: Pod;
  wasIn: boolean;
  /** Added, and not shown by the watch: till then it is not taken for gone. */
  unseenUntilMs: number | undefined;
  failures: number;
  readonly told: ToldOfPod;
  written: { readonly value: Redirection; readonly untilMs: number } | undefined;
  /** What the verifier was asked for last, and when it may be asked again. */
  asked: { readonly step: EnrolmentStep; readonly againMs: number } | undefined;
  /** The step that failed last: whatever happens meanwhile, it is not tried again before. */
  failed: { readonly step: EnrolmentStep; readonly againMs: number } | undefined;
}

/** Without a reason of ours each wake-up would make an exception with its stack. */
const WOKEN = "woken";
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 30_000;
/** Rights are granted by people. */
const MAX_FORBIDDEN_RETRY_MS = 300_000;
/** A watch that has not shown our own patch by then has lost it. */
const BELIEVE_WRITTEN_MS = 10_000;
/** As long as its record is kept (agent/pod-records). */
const UNSEEN_MS = 300_000;
/** What waits is looked at again so often although nothing has happened. */
const WAITING_RETRY_MS = 5000;
/** Said aloud in a row of failures of one pod. */
const TOLD_FAILURES = 3;
/** Should one of these fail, the others are done all the same: nobody is kept out of the mesh, or in it, for that. */
const MAY_FAIL: ReadonlySet<EnrolmentStep> = new Set(["list-probes", "annotate"]);
/** Steps of the verifier; that they are done is seen when it has settled. */
const BY_VERIFIER: ReadonlySet<EnrolmentStep> = new Set(["find-netns", "capture", "release"]);

export function createEnrolment(deps: EnrolmentDeps, options: EnrolmentOptions = {}): Enrolment {
  const { intervalMs = 60_000, maxBusy = 16, stepTimeoutMs = 10_000, firstSnapshotMs = 5000 } = options;
  const states = new Map<string, PodState>();
  const queue = createDueQueue();
  const busy = new Map<string, Promise<void>>();
  /** Asked for while they were being worked on. */
  const again = new Set<string>();
  /** ADDs under way. */
  const starting = new Map<string, number>();
  /** Before the first snapshot: at whom the verifier has not finished its first look. */
  const sought = new Set<string>();
  const teller = createEnrolmentTeller({ recordEvent: deps.recordEvent, nowMs: deps.clock.nowMs, log: deps.log });
  let wake = new AbortController();
  let isForbiddenSaid = false;

  async function run(signal: AbortSignal): Promise<void> {
    using _pods = deps.pods.subscribe(({ type, pod }) => {
      deps.metrics.handled(type);
      const state = states.get(pod.uid);
      if (state !== undefined) Object.assign(state, { pod, unseenUntilMs: undefined });
      ask(pod.uid);
    });
    using _namespaces = deps.namespaces.subscribe((name) => {
      deps.metrics.handled("update");
      for (const { namespace, uid } of deps.pods.list()) if (namespace === name) ask(uid);
    });
    using _ztunnel = deps.ztunnel.subscribe(({ uid }) => (uid === undefined ? askAll() : ask(uid)));
    using _probes = deps.probes.subscribe(askAll);
    using _policy = deps.subscribePolicy?.(askAll);
    try {
      await deps.pods.waitSynced(signal);
      await deps.namespaces.waitSynced(signal);
      await declareRunning(signal);
      let nextPassMs = deps.clock.nowMs();
      while (!signal.aborted) {
        wake = new AbortController();
        if (deps.clock.nowMs() >= nextPassMs) {
          askAll();
          nextPassMs = deps.clock.nowMs() + intervalMs * (0.9 + 0.2 * deps.random());
        }
        for (const uid of queue.allDue(deps.clock.nowMs())) {
          if (busy.size >= maxBusy) break;
          begin(uid, signal);
        }
        const dueMs = busy.size >= maxBusy ? nextPassMs : Math.min(nextPassMs, queue.nextDueMs());
        const waitMs = Math.max(1, dueMs - deps.clock.nowMs());
        await deps.clock.sleep(waitMs, AbortSignal.any([signal, wake.signal])).catch(() => undefined);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      await Promise.allSettled(busy.values());
    }
  }

  /** ztunnel stops what is not in its snapshot, so the first one waits until everything that was in is declared: with its
   * namespace where that was found in time, else by name only, which lets ztunnel go on with what it has. A pod that is on its
   * way out, or whose namespace nobody has shown yet, is declared like one that stays: it is withdrawn when it is known to be out
   * and has finished. One whose ADD is under way, because a predecessor ended in it, brings its namespace itself, and waits for
   * this snapshot. Some have no namespace any more, and on a busy node there is always such a one: nobody waits for those that
   * are being deleted, nor for those that were looked for in vain. */
  async function declareRunning(signal: AbortSignal): Promise<void> {
    const listRunning = (): readonly Pod[] =>
      deps.pods.list().filter((pod) => {
        const { wanted, wasIn, annotation } = look(stateOf(pod), false).facts;
        return wanted !== "over" && (wasIn || annotation !== "none");
      });
    for (const { uid } of listRunning()) sought.add(uid);
    for (const uid of sought) deps.rules.request(uid);
    const untilMs = deps.clock.nowMs() + firstSnapshotMs;
    const isAwaited = (uid: string): boolean => {
      const pod = deps.pods.get(uid);
      if (pod === undefined || starting.has(uid)) return false;
      return pod.deletionTimestamp === undefined && deps.netns.get(pod) === undefined;
    };
    while ([...sought].some(isAwaited) && deps.clock.nowMs() < untilMs) await deps.clock.sleep(20, signal);
    sought.clear();
    // The watch may have shown more of them meanwhile.
    for (const pod of listRunning()) {
      try {
        declare(pod);
      } catch (error) {
        // One that cannot be told, because its names are too long for instance, is no reason to serve nobody.
        fail(stateOf(pod), "tell-ztunnel", error);
      }
    }
    deps.ztunnel.admitSnapshots();
  }

  function ask(uid: string, delayMs = 0): void {
    // Its ADD asks when it ends.
    if (starting.has(uid)) return;
    if (busy.has(uid)) again.add(uid);
    else queue.put(uid, { dueMs: deps.clock.nowMs() + delayMs, isUrgent: false });
    wake.abort(WOKEN);
  }

  /** Every pod that is there, and whoever is still listed somewhere without being there. */
  function askAll(): void {
    const listed = [...deps.ztunnel.workloads().map(({ uid }) => uid), ...deps.probes.uids(), ...states.keys()];
    for (const uid of new Set([...deps.pods.list().map((pod) => pod.uid), ...listed])) ask(uid);
  }

  function begin(uid: string, signal: AbortSignal): void {
    queue.remove(uid);
    const failed = (error: unknown): number => {
      deps.log.error("Cannot tell what a pod needs, trying again", { podUid: uid, err: messageOf(error) });
      return MAX_RETRY_MS;
    };
    const work = reconcile(uid, signal)
      .catch(failed)
      .then((delayMs) => {
        busy.delete(uid);
        if (again.delete(uid)) ask(uid);
        else if (delayMs !== undefined) ask(uid, delayMs);
        else wake.abort(WOKEN);
      });
    busy.set(uid, work);
  }

  /** One look and what follows from it. Resolves with when to come back although nothing has happened. */
  async function reconcile(uid: string, signal: AbortSignal): Promise<number | undefined> {
    const pod = deps.pods.get(uid);
    const state = pod === undefined ? states.get(uid) : stateOf(pod);
    if (state === undefined) return forgetStranger(uid, signal);
    const unseenMs = unseenMsOf(state);
    const isGone = pod === undefined && unseenMs <= 0;
    const gathered = look(state, isGone);
    const plan = decideEnrolmentSteps(gathered.facts);
    tell(state, gathered, plan);
    let retryMs: number | undefined;
    for (const step of plan.steps) {
      if (signal.aborted || starting.has(uid)) return undefined;
      const waitMs = state.failed?.step === step ? state.failed.againMs - deps.clock.nowMs() : 0;
      if (waitMs > 0) {
        retryMs = waitMs;
        if (MAY_FAIL.has(step)) continue;
        return retryMs;
      }
      // Its word brings us back; should that be lost, the timer does.
      if (BY_VERIFIER.has(step)) return askVerifier(state, step);
      try {
        await carryOut(step, state, gathered, plan, AbortSignal.any([signal, AbortSignal.timeout(stepTimeoutMs)]));
        deps.metrics.step(step, "done");
      } catch (error) {
        if (signal.aborted) return undefined;
        retryMs = fail(state, step, error);
        if (!MAY_FAIL.has(step)) return retryMs;
      }
    }
    if (retryMs !== undefined) return retryMs;
    Object.assign(state, { failures: 0, failed: undefined, asked: undefined });
    if (plan.steps.length > 0) return 0;
    if (isGone) states.delete(uid);
    else if (gathered.facts.wanted === "out") state.wasIn = false;
    if (pod === undefined && !isGone) return unseenMs;
    return plan.waits === undefined ? undefined : WAITING_RETRY_MS;
  }

  /** Once for each step: what it could not do it tries again by itself, and tells of each try. */
  function askVerifier(state: PodState, step: EnrolmentStep): number {
    const nowMs = deps.clock.nowMs();
    if (state.asked?.step !== step || nowMs >= state.asked.againMs) {
      state.asked = { step, againMs: nowMs + WAITING_RETRY_MS };
      deps.rules.request(state.pod.uid);
    }
    return state.asked.againMs - nowMs;
  }

  /** For how long a pod may be unknown to the watch; 0: it is gone. A watch that shows nothing shows no end either. */
  function unseenMsOf({ unseenUntilMs }: PodState): number {
    if (unseenUntilMs === undefined) return 0;
    const leftMs = Math.max(0, unseenUntilMs - deps.clock.nowMs());
    return deps.pods.isCurrent() ? leftMs : Math.max(leftMs, WAITING_RETRY_MS);
  }

  /** Listed somewhere, by a predecessor or because a pod's end was missed, and not on this node any more. */
  async function forgetStranger(uid: string, signal: AbortSignal): Promise<number | undefined> {
    try {
      const limited = AbortSignal.any([signal, AbortSignal.timeout(stepTimeoutMs)]);
      if (deps.ztunnel.workload(uid) !== undefined) await withdraw(uid, limited);
      if (deps.probes.listed(uid).length > 0) await deps.probes.remove(uid);
      return undefined;
    } catch (error) {
      if (signal.aborted) return undefined;
      deps.log.warn("Cannot forget a pod that is gone", { podUid: uid, err: messageOf(error) });
      return MAX_RETRY_MS;
    }
  }

  function look(state: PodState, isGone: boolean): GatheredFacts {
    const { pod, written } = state;
    const isShown = written !== undefined && redirectionOf(pod.annotations) === written.value;
    if (written !== undefined && (isShown || deps.clock.nowMs() > written.untilMs)) state.written = undefined;
    const history = { wasIn: state.wasIn, written: state.written?.value };
    const gathered = gatherFacts(deps, pod, isGone, history);
    if (gathered.facts.rules === "stand" || gathered.facts.annotation !== "none") state.wasIn = true;
    return gathered;
  }

  async function carryOut(
    step: EnrolmentStep,
    state: PodState,
    { addresses }: GatheredFacts,
    { annotation }: EnrolmentPlan,
    signal: AbortSignal,
  ): Promise<void> {
    const { pod } = state;
    switch (step) {
      case "list-probes":
        return deps.probes.put(pod.uid, addresses);
      case "unlist-probes":
        return deps.probes.remove(pod.uid);
      case "tell-ztunnel":
        return declare(pod);
      case "withdraw":
        return withdraw(pod.uid, signal);
      case "annotate":
        try {
          await deps.annotate(pod, annotation, signal);
        } catch (error) {
          // The watch is about to show that it is gone.
          if (!isNotFound(error)) throw error;
        }
        state.written = { value: annotation, untilMs: deps.clock.nowMs() + BELIEVE_WRITTEN_MS };
    }
  }

  function declare(pod: Pod): void {
    const { result, problem } = deps.ztunnel.declare(workloadOf(pod), deps.netns.get(pod)?.fd);
    if (result !== "declared") throw new Error(`Cannot tell ztunnel of the pod: ${problem ?? result}`);
  }

  async function withdraw(uid: string, signal: AbortSignal): Promise<void> {
    const { result } = await deps.ztunnel.withdraw(uid, signal);
    if (result !== "withdrawn") throw new Error(`Cannot withdraw the pod from ztunnel: ${result}`);
  }

  function fail(state: PodState, step: EnrolmentStep, error: unknown): number {
    const message = messageOf(error);
    deps.metrics.step(step, "failed");
    state.record = noteFailure(state.record, step, message, deps.wallMs());
    const { namespace, name, uid } = state.pod;
    const labels = { ns: namespace, name, podUid: uid, step, err: message };
    const mayNot = isForbidden(error);
    if (mayNot) {
      const hint = "grant patch of pods/status to the agent's service account, as the chart does in ambient mode";
      if (!isForbiddenSaid) deps.log.error("Cannot annotate pods: the right is missing", { ...labels, hint });
      isForbiddenSaid = true;
      if (redirectionOf(state.pod.annotations) === "enabled") teller.mayNotAnnotate(state.pod, state.told);
    } else if (state.failures < TOLD_FAILURES) {
      deps.log.warn("Cannot bring a pod to its place, trying again", labels);
    }
    const longestMs = mayNot ? MAX_FORBIDDEN_RETRY_MS : MAX_RETRY_MS;
    const delayMs = doublingDelayMs(FIRST_RETRY_MS, longestMs, ++state.failures) * (0.75 + 0.5 * deps.random());
    state.failed = { step, againMs: deps.clock.nowMs() + delayMs };
    return delayMs;
  }

  function tell(state: PodState, { facts, reason }: GatheredFacts, plan: EnrolmentPlan): void {
    const before = state.record;
    state.record = noteLook(before, { facts, reason, plan }, deps.wallMs());
    teller.looked(state.pod, state.told, before, state.record);
  }

  function stateOf(pod: Pod): PodState {
    const known = states.get(pod.uid);
    if (known !== undefined) {
      known.pod = pod;
      return known;
    }
    const record = newRecord(pod, deps.wallMs());
    const wasIn = deps.wasIn(pod.uid);
    const state: PodState = {
      record,
      pod,
      wasIn,
      unseenUntilMs: undefined,
      failures: 0,
      told: newTold(wasIn || redirectionOf(pod.annotations) === "enabled"),
      written: undefined,
      asked: undefined,
      failed: undefined,
    };
    states.set(pod.uid, state);
    return state;
  }

  return {
    run,
    wishFor(pod) {
      return decideRulesWish(deps.decide(pod), look(stateOf(pod), false).facts);
    },
    settled(podUid) {
      sought.delete(podUid);
      ask(podUid);
    },
    starting(podUid) {
      starting.set(podUid, (starting.get(podUid) ?? 0) + 1);
      queue.remove(podUid);
      let isUnderWay = true;
      return {
        [Symbol.dispose]() {
          if (!isUnderWay) return;
          isUnderWay = false;
          const others = (starting.get(podUid) ?? 1) - 1;
          if (others > 0) starting.set(podUid, others);
          else if (starting.delete(podUid)) ask(podUid);
        },
      };
    },
    added(pod) {
      const shown = deps.pods.get(pod.uid);
      const state = stateOf(shown ?? pod);
      state.wasIn = true;
      state.told.isKnownIn = true;
      if (shown === undefined) state.unseenUntilMs = deps.clock.nowMs() + UNSEEN_MS;
      ask(pod.uid);
    },
    removed(podUid) {
      const state = states.get(podUid);
      if (state?.unseenUntilMs === undefined) return;
      state.unseenUntilMs = deps.clock.nowMs();
      ask(podUid);
    },
    records: () => [...states.values()].map(({ record }) => record),
    record: (podUid) => states.get(podUid)?.record,
  };
}
