// Keeps the redirection of every pod of this node as it should be: compares desired with actual at start, when the kernel or
// the API tells of a change, and on a timer, and repairs in place. Level-triggered: what is missed once is found the next time.
import type { IpAddress } from "../../core/address.ts";
import { doublingDelayMs } from "../../core/doubling-delay.ts";
import { createDueQueue } from "../../core/due-queue.ts";
import { messageOf } from "../../core/error-message.ts";
import type { Pod } from "../../core/kube/pod.ts";
import { isSameNetns } from "../../core/netns/netns-id.ts";
import type { FamilyOptions } from "../../core/policy/capture-families.ts";
import type { RepairOptions } from "../../core/policy/repair-decision.ts";
import type { SidecarSettings } from "../../core/policy/sidecar-decision.ts";
import type { Clock } from "../../platform/clock.ts";
import type { NetnsHandle } from "../../platform/linux/netns.ts";
import { ambientDesired, type VerifiedAmbient } from "./ambient-rules.ts";
import { type Desired, decideDesired, type StartedWith } from "./desired-capture.ts";
import { lookAtPod, type VerifiedBackend } from "./look-at-pod.ts";
import { createNetnsSearch, type NetnsSearchDeps } from "./netns-search.ts";
import { createPodMonitors, type PodMonitorsDeps } from "./pod-monitors.ts";
import {
  createPodReporter,
  createPodState,
  isUnchanged,
  noteWish,
  type PodReporterDeps,
  type PodState,
  restAfterLook,
  restAfterRepair,
} from "./pod-state.ts";
import { releasePod } from "./release-pod.ts";
import type { VerificationRecord } from "./verification-record.ts";
import { createWanted, hostUsersOf } from "./wanted.ts";

/** A namespace, for the time of a call. */
type NetnsHere = Omit<NetnsHandle, typeof Symbol.dispose>;

/** A pod's namespace, lent: `fd` is good until the next `await`. */
export interface LentNetns extends NetnsHere {
  readonly source: "add" | "uid" | "ip";
}

export interface VerifierDeps extends PodMonitorsDeps, PodReporterDeps {
  readonly pods: {
    get(uid: string): Pod | undefined;
    list(): readonly Pod[];
    subscribe(listener: (event: { readonly type: "add" | "update" | "delete"; readonly pod: Pod }) => void): Disposable;
    waitSynced(signal: AbortSignal): Promise<void>;
  };
  readonly netns: Omit<NetnsSearchDeps["netns"], "get"> & {
    get(pod: Pod): LentNetns | undefined;
    /** The complete list of the node's pods. */
    retain(pods: readonly Pod[]): void;
  };
  readonly backend: VerifiedBackend &
    PodMonitorsDeps["backend"] & {
      addresses(netnsFd: number): readonly IpAddress[];
      isForbidden(netnsFd: number): boolean;
      /** The dialect in which this pod's rules are written: it decides which families are captured. */
      dialectFor(pod: Pod, netnsFd: number): FamilyOptions["dialect"];
    };
  /** A second descriptor of a namespace: the lent one may be closed while the kernel is asked. */
  dup(netnsFd: number): NetnsHandle;
  /** What was decided before, by this agent or one before it: it holds for the sandbox's life (ADR 7, ADR 10). */
  readonly decisions: {
    /** For the sandbox that the pod has. */
    get(podUid: string): StartedWith | undefined;
    /** By an agent before this one; whether for the same sandbox the pod's namespace has to tell. */
    unproven(podUid: string): StartedWith | undefined;
    /** The namespace that the pod has. Afterwards nothing is unproven, if the kernel answers. */
    prove(podUid: string, netns: NetnsHere): void;
    /** Decided now, or seen in place for the first time; telling it again costs nothing. */
    keep(pod: Pod, decision: StartedWith, netns: NetnsHere): void;
  };
  /** Undefined: this node is in sidecar mode. */
  readonly ambient?: VerifiedAmbient;
  readonly clock: Clock;
  /** In [0, 1). */
  random(): number;
  /** Resolves after whatever else waits for the thread has had its turn. */
  yieldToLoop(): Promise<void>;
}

export interface VerifierOptions {
  readonly settings: SidecarSettings;
  /** Capture every family that has an address, also one that came later. */
  readonly strictFamilies: boolean;
  readonly repair: RepairOptions;
  /** Between two looks at a pod. @default 60000 */
  readonly intervalMs?: number;
  /** Between two looks that do not rely on the generation number. @default 600000 */
  readonly wholeLookMs?: number;
  /** After an ADD or DEL, so that looking does not compete with it. @default 500 */
  readonly afterSandboxMs?: number;
  /** So long a pod that left ambient mode may go on with connections that were redirected. @default 300000 */
  readonly finishMs?: number;
}

export interface Verifier {
  /** Verifies until the signal aborts, then resolves. To be called once. */
  run(signal: AbortSignal): Promise<void>;
  /** An ADD is done: the pod may have another namespace and other rules than before. */
  sandboxAdded(podUid: string): void;
  /** A DEL, after the registry let go of the namespace: our socket in it has to go too. Without a UID all pods are looked
   * through. */
  sandboxRemoved(podUid?: string): void;
  /** Looks at one pod, or at all, as soon as possible, whatever the generation says. */
  request(podUid?: string): void;
  records(): readonly VerificationRecord[];
  record(podUid: string): VerificationRecord | undefined;
}

/** Without a reason of ours each wake-up would make an exception with its stack. */
const WOKEN = "woken";
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;
/** Nothing we do makes a sandbox of its own kernel visible. */
const UNSUPPORTED_RETRY_MS = 600_000;
/** A runtime's loopback plugin switches `lo` off at DEL, a moment before we are told of it: what the kernel takes away with `lo` is put
 * back only if nobody has come by then. */
const LOOPBACK_OFF_MS = 5000;
/** For a pod that is out, to remember that it is. */
const TRIES_TO_KEEP = 5;

export function createVerifier(deps: VerifierDeps, options: VerifierOptions): Verifier {
  const { intervalMs = 60_000, wholeLookMs = 600_000, afterSandboxMs = 500, finishMs = 300_000 } = options;
  const states = new Map<string, PodState>();
  const queue = createDueQueue();
  const report = createPodReporter(deps);
  let wake = new AbortController();
  const monitors = createPodMonitors(deps, (uid) => ask(uid, 0, true));
  const wantedOf = createWanted(deps, options);
  const search = createNetnsSearch(deps, {
    isNeeded(pod) {
      const state = stateOf(pod);
      return whyNetns(pod, state, desiredOf(pod, state)) !== undefined;
    },
    begun: (pod) => queue.remove(pod.uid),
    found: (pod) => ask(pod.uid, 0, false),
    missing(pod, message, kind, reason) {
      const state = stateOf(pod);
      letGo(state);
      // Nobody misses the namespace of a pod that is out.
      if (whyNetns(pod, state, desiredOf(pod, state)) === "look") {
        report.unverifiable(pod, state, message, kind, reason);
      }
      retry(pod, state, kind === "unsupported" ? UNSUPPORTED_RETRY_MS : 0);
      deps.ambient?.settled(pod.uid);
    },
  });

  async function run(signal: AbortSignal): Promise<void> {
    using _changes = deps.pods.subscribe(({ type, pod }) => {
      if (type === "delete") drop(pod.uid);
      else ask(pod.uid, 0, false);
    });
    try {
      await deps.pods.waitSynced(signal);
      let nextPassMs = deps.clock.nowMs();
      while (!signal.aborted) {
        wake = new AbortController();
        const nowMs = deps.clock.nowMs();
        if (nowMs >= nextPassMs) {
          beginPass();
          nextPassMs = nowMs + intervalMs * (0.8 + 0.2 * deps.random());
        }
        const uid = queue.next(nowMs);
        if (uid === undefined) {
          const waitMs = Math.max(1, Math.min(nextPassMs, queue.nextDueMs()) - nowMs);
          await deps.clock.sleep(waitMs, AbortSignal.any([signal, wake.signal])).catch(() => undefined);
        } else {
          queue.remove(uid);
          await verify(uid, signal);
          await deps.yieldToLoop();
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      await search.ended();
      for (const uid of states.keys()) drop(uid);
    }
  }

  function ask(uid: string, delayMs: number, isUrgent: boolean): void {
    const dueMs = Math.max(deps.clock.nowMs() + delayMs, states.get(uid)?.quietUntilMs ?? 0);
    queue.put(uid, { dueMs, isUrgent });
    wake.abort(WOKEN);
  }

  function beginPass(): void {
    const pods = deps.pods.list();
    deps.netns.retain(pods);
    const uids = new Set(pods.map(({ uid }) => uid));
    for (const uid of states.keys()) if (!uids.has(uid)) drop(uid);
    for (const uid of uids) {
      // What could not be found is tried again by its own, growing intervals.
      const isWaiting = states.get(uid)?.record.state === "unverifiable" && queue.has(uid);
      if (!isWaiting) ask(uid, 0, false);
    }
  }

  async function verify(uid: string, signal: AbortSignal): Promise<void> {
    const pod = deps.pods.get(uid);
    if (pod === undefined) return drop(uid);
    const state = stateOf(pod);
    // Asked for during the look after which it rests.
    if (deps.clock.nowMs() < state.quietUntilMs) return ask(uid, 0, true);
    const lent = deps.netns.get(pod);
    if (lent !== undefined) deps.decisions.prove(uid, lent);
    const desired = desiredOf(pod, state);
    if (whyNetns(pod, state, desired) === undefined) {
      letGo(state);
      deps.ambient?.settled(uid);
      return;
    }
    if (lent === undefined) {
      // Found or not, it is asked for again.
      search.begin(uid, signal);
      return;
    }
    try {
      if (deps.backend.isForbidden(lent.fd)) {
        throw new Error("Cannot look into the pod's network namespace: it is the node's or the agent's own");
      }
      if (deps.decisions.unproven(uid) !== undefined) {
        throw new Error("Cannot tell whether the pod's network namespace is still that of its ADD");
      }
      if (desired.kind === "release") {
        if (deps.ambient !== undefined) await release(pod, state, lent, deps.ambient);
        return;
      }
      if (desired.kind !== "none") return await look(pod, state, desired, lent);
      if (state.pinned !== undefined) deps.decisions.keep(pod, state.pinned, lent);
      state.isOutKept = true;
      letGo(state);
    } catch (error) {
      // It may have been deleted, or have another sandbox, meanwhile.
      if (states.get(uid) !== state) return;
      monitors.close(state);
      report.unverifiable(pod, state, messageOf(error));
      retry(pod, state);
    } finally {
      deps.ambient?.settled(uid);
    }
  }

  function desiredOf(pod: Pod, state: PodState): Desired {
    const { record } = state;
    const desired =
      (deps.ambient === undefined ? undefined : ambientDesired(deps.ambient, pod)) ??
      decideDesired(pod, deps.decisions.get(pod.uid) ?? state.pinned, options.settings);
    record.reason = desired.reason;
    record.decidedBy = desired.source;
    if (desired.kind !== "release") {
      state.released = undefined;
      record.finishing = undefined;
    }
    if (desired.kind === "none") {
      Object.assign(record, { state: desired.state, message: desired.message, desired: undefined, bypassed: [] });
      if (desired.pin !== undefined) state.pinned = desired.pin;
    }
    return desired;
  }

  /** What the pod's namespace is needed for; undefined: for nothing. A pod that is out needs no look, but a later agent has
   * to know that it is, and what an agent before us decided has to be held against the namespace before anybody decides
   * otherwise. */
  function whyNetns(
    pod: Pod,
    { pinned, isOutKept, failures }: PodState,
    desired: Desired,
  ): "look" | "keep" | undefined {
    if (desired.kind !== "none") return "look";
    if (desired.reason === "finished") return undefined;
    const unproven = deps.decisions.unproven(pod.uid);
    if (unproven !== undefined) return unproven.capture === undefined ? undefined : "look";
    const isToBeKept = pinned !== undefined && !isOutKept && pod.podIps.length > 0;
    return isToBeKept && failures < TRIES_TO_KEEP ? "keep" : undefined;
  }

  /** The pod has left ambient mode. */
  async function release(pod: Pod, state: PodState, lent: LentNetns, ambient: VerifiedAmbient): Promise<void> {
    using netns = deps.dup(lent.fd);
    const pass = await releasePod(deps, { pod, state, netnsFd: netns.fd }, ambient.anyCapture, finishMs);
    if (states.get(pod.uid) !== state) return;
    letGo(state);
    if (pass.kind === "gone") ambient.released(pod);
    else ask(pod.uid, pass.againMs, false);
  }

  async function look(
    pod: Pod,
    state: PodState,
    desired: Exclude<Desired, { kind: "none" | "release" }>,
    lent: LentNetns,
  ): Promise<void> {
    using netns = deps.dup(lent.fd);
    state.record.netns = { ino: String(lent.ino), source: lent.source };
    monitors.watchRules(pod.uid, state, netns);
    noteWish(state, desired);
    if (isUnchanged(state, deps.clock.nowMs())) {
      state.record.lastVerifiedMs = deps.wallMs();
      return;
    }
    const wanted = wantedOf(pod, state, desired, netns);
    if (wanted === undefined) {
      report.unverifiable(pod, state, "Cannot verify the pod: its network namespace has no address yet", "no-ip-yet");
      return retry(pod, state);
    }
    const { capture } = wanted;
    state.record.desired = capture;
    monitors.watchRouting(pod.uid, state, netns.fd, capture);
    report.bypassed(pod, state, wanted.bypassed, capture.mode);
    const nowMs = deps.clock.nowMs();
    const result = await lookAtPod(deps.backend, {
      netnsFd: netns.fd,
      capture,
      pod: { ...hostUsersOf(pod), ...(state.applied !== undefined && { formerly: state.applied }) },
      monitor: state.monitor?.rules,
      mayRepair: wanted.whyNot === undefined,
      waitsForLoopback: nowMs < (state.loopbackOffUntilMs ?? Number.POSITIVE_INFINITY),
      knownGeneration: state.record.generation,
      yieldToLoop: deps.yieldToLoop,
    });
    // It may have been deleted meanwhile.
    if (states.get(pod.uid) !== state) return;
    restAfterLook(state, nowMs, deps.clock.nowMs());
    if (result.kind === "loopback-off") {
      state.loopbackOffUntilMs ??= nowMs + LOOPBACK_OFF_MS;
      return ask(pod.uid, state.loopbackOffUntilMs - nowMs, false);
    }
    state.loopbackOffUntilMs = undefined;
    const isFailed = report.settle(pod, state, { ...wanted, result });
    wanted.remember();
    if (isFailed) return retry(pod, state);
    state.wholeLookDueMs = deps.clock.nowMs() + wholeLookMs;
    // Somebody who undoes repairs is one thing, labels and annotations that change another.
    if (result.kind === "repaired" && !wanted.isNew) restAfterRepair(state, deps.clock.nowMs());
  }

  function retry(pod: Pod, state: PodState, atLeastMs = 0): void {
    const delayMs = Math.max(atLeastMs, doublingDelayMs(FIRST_RETRY_MS, MAX_RETRY_MS, ++state.failures));
    ask(pod.uid, delayMs * (0.75 + 0.5 * deps.random()), false);
  }

  function letGo(state: PodState): void {
    monitors.close(state);
    state.record.netns = undefined;
    state.record.generation = undefined;
  }

  function drop(uid: string): void {
    queue.remove(uid);
    const state = states.get(uid);
    if (state !== undefined) monitors.close(state);
    states.delete(uid);
  }

  function stateOf(pod: Pod): PodState {
    const state = states.get(pod.uid) ?? createPodState(pod);
    states.set(pod.uid, state);
    return state;
  }

  return {
    run,
    sandboxAdded(podUid) {
      // Its namespace and rules are new, and so is what was told of them.
      const state = states.get(podUid);
      if (state !== undefined) letGo(state);
      states.delete(podUid);
      ask(podUid, afterSandboxMs, false);
    },
    sandboxRemoved(podUid) {
      for (const uid of podUid === undefined ? states.keys() : [podUid]) {
        const state = states.get(uid);
        if (state?.monitor === undefined) continue;
        const pod = deps.pods.get(uid);
        const held = pod === undefined ? undefined : deps.netns.get(pod);
        if (held !== undefined && isSameNetns(held, state.monitor)) continue;
        letGo(state);
        ask(uid, afterSandboxMs, false);
      }
    },
    request(podUid) {
      for (const uid of podUid === undefined ? states.keys() : [podUid]) {
        Object.assign(states.get(uid) ?? {}, { quietUntilMs: 0, wholeLookDueMs: 0 });
        ask(uid, 0, true);
      }
    },
    records: () => [...states.values()].map(({ record }) => record),
    record: (podUid) => states.get(podUid)?.record,
  };
}
