// The two repairs that go through the API: deleting broken pods, or labelling them for somebody else to delete (contract 6.2,
// 6.4). Repair in place is the verifier's, which sees the rules themselves.

import { doublingDelayMs } from "../../core/doubling-delay.ts";
import { messageOf } from "../../core/error-message.ts";
import { isConflict, isForbidden, isNotFound } from "../../core/kube/kube-api-error.ts";
import type { Pod } from "../../core/kube/pod.ts";
import type { Logger } from "../../core/log.ts";
import { decideRepair, type RepairOptions } from "../../core/policy/repair-decision.ts";
import type { SidecarSettings } from "../../core/policy/sidecar-decision.ts";
import type { Clock } from "../../platform/clock.ts";
import type { KubeApi } from "../../platform/http/kube-api.ts";

export interface RepairControllerDeps {
  readonly api: Pick<KubeApi, "delete" | "patch">;
  readonly pods: {
    get(uid: string): Pod | undefined;
    list(): Iterable<Pod>;
    subscribe(listener: (event: { readonly type: "add" | "update" | "delete"; readonly pod: Pod }) => void): Disposable;
    waitSynced(signal: AbortSignal): Promise<void>;
  };
  /** An Event on the pod; returns at once. */
  recordEvent(event: {
    readonly pod: Pod;
    readonly type: "Warning";
    readonly reason: "DeleteBrokenPod" | "LabelBrokenPod";
    readonly message: string;
    readonly component: "cni-repair";
  }): void;
  /** `istio_cni_repair_pods_repaired_total`. */
  count(type: "delete" | "label", result: "success" | "fail" | "skip"): void;
  readonly clock: Clock;
  /** In [0, 1). */
  random(): number;
  readonly log: Logger;
}

export interface RepairControllerOptions {
  readonly repair: RepairOptions & { readonly mode: "delete" | "label" };
  readonly labelValue: string;
  readonly settings: SidecarSettings;
}

interface Attempt {
  failures: number;
  dueMs: number;
}

const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;
/** A right may be granted later. */
const FORBIDDEN_RETRY_MS = 300_000;
const IDLE_MS = 3_600_000;
/** A watch that has not shown by then what was done has lost it; and whoever undoes it waits for us, longer each time. */
const FIRST_REST_MS = 10_000;
const MAX_REST_MS = 300_000;

/** Acts on every broken pod of the store, one after the other, until the signal aborts; then resolves. What fails is tried
 * again for as long as the pod is broken (upstream: five times). To be called once. */
export async function runRepairController(
  deps: RepairControllerDeps,
  { repair, labelValue, settings }: RepairControllerOptions,
  signal: AbortSignal,
): Promise<void> {
  /** By UID: a pod that comes back under its name is another one (D24). */
  const waiting = new Map<string, Attempt>();
  /** Acted on: how often, and until when it is left alone. */
  const acted = new Map<string, { readonly times: number; readonly restsUntilMs: number }>();
  /** Labels that are counted. */
  const skipped = new Set<string>();
  let wake = new AbortController();
  let isForbiddenSaid = false;

  const consider = (pod: Pod): void => {
    const decision = decideRepair(pod, repair, settings);
    if (decision.kind === "broken") {
      const dueMs = Math.max(deps.clock.nowMs(), acted.get(pod.uid)?.restsUntilMs ?? 0);
      if (!waiting.has(pod.uid)) waiting.set(pod.uid, { failures: 0, dueMs });
      wake.abort();
      return;
    }
    waiting.delete(pod.uid);
    if (decision.reason !== "labelled" || skipped.has(pod.uid)) return;
    skipped.add(pod.uid);
    deps.count("label", "skip");
  };
  using _changes = deps.pods.subscribe(({ type, pod }) => {
    if (type !== "delete") return consider(pod);
    for (const known of [waiting, acted, skipped]) known.delete(pod.uid);
  });

  try {
    await deps.pods.waitSynced(signal);
    for (const pod of deps.pods.list()) consider(pod);
    while (!signal.aborted) {
      wake = new AbortController();
      const nowMs = deps.clock.nowMs();
      const due = [...waiting].find(([, { dueMs }]) => dueMs <= nowMs);
      if (due === undefined) {
        const untilNext = Math.min(IDLE_MS, ...[...waiting.values()].map(({ dueMs }) => dueMs - nowMs));
        await deps.clock.sleep(untilNext, AbortSignal.any([signal, wake.signal])).catch(() => undefined);
      } else await attempt(...due);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }

  async function attempt(uid: string, state: Attempt): Promise<void> {
    const pod = deps.pods.get(uid);
    const decision = pod === undefined ? undefined : decideRepair(pod, repair, settings);
    if (pod === undefined || decision?.kind !== "broken") {
      waiting.delete(uid);
      return;
    }
    const labels = { ns: pod.namespace, name: pod.name, podUid: uid };
    try {
      if (repair.mode === "delete") await deletePod(pod);
      else await labelPod(pod);
    } catch (error) {
      if (signal.aborted) return;
      return fail(pod, state, error);
    }
    waiting.delete(uid);
    // The watch may have shown its end before the answer came: then nothing would take it out again.
    if (deps.pods.get(uid) !== undefined) {
      const times = (acted.get(uid)?.times ?? 0) + 1;
      acted.set(uid, { times, restsUntilMs: deps.clock.nowMs() + doublingDelayMs(FIRST_REST_MS, MAX_REST_MS, times) });
      skipped.add(uid);
    }
    deps.count(repair.mode, "success");
    tell(pod, repair.mode === "delete" ? "deleted" : "labeled");
    deps.log.info(`Pod detected as broken, ${repair.mode === "delete" ? "deleted" : "labeled"}`, {
      ...labels,
      evidence: decision.evidence,
    });
  }

  /** Only this very pod, and only as it was judged. */
  async function deletePod({ uid, resourceVersion, namespace, name }: Pod): Promise<void> {
    await deps.api.delete({ plural: "pods", namespace, name }, { uid, resourceVersion }, signal);
  }

  /** Through the status, for which the chart grants the right; the UID in the patch is a precondition. */
  async function labelPod({ uid, namespace, name }: Pod): Promise<void> {
    const patch = { metadata: { uid, labels: { [repair.labelKey]: labelValue } } };
    await deps.api.patch({ plural: "pods", namespace, name, subresource: "status" }, patch, signal);
  }

  function fail(pod: Pod, state: Attempt, error: unknown): void {
    const verb = repair.mode;
    const labels = { ns: pod.namespace, name: pod.name, podUid: pod.uid };
    const message = messageOf(error);
    if (isNotFound(error)) {
      waiting.delete(pod.uid);
      deps.log.debug("Broken pod is gone already", labels);
      return;
    }
    const retryMs = doublingDelayMs(FIRST_RETRY_MS, MAX_RETRY_MS, ++state.failures) * (0.5 + deps.random());
    state.dueMs = deps.clock.nowMs() + retryMs;
    if (isConflict(error)) {
      // It has changed since we saw it; the watch brings the newer one, and with it another judgement.
      deps.log.debug(`Broken pod changed before it could be repaired`, labels);
      return;
    }
    deps.count(verb, "fail");
    if (isForbidden(error)) {
      state.dueMs = deps.clock.nowMs() + FORBIDDEN_RETRY_MS;
      if (isForbiddenSaid) return;
      isForbiddenSaid = true;
      const right = verb === "delete" ? "delete of pods" : "patch of pods/status";
      const option = verb === "delete" ? "repair.deletePods" : "repair.labelPods";
      deps.log.error(`Cannot ${verb} broken pods: the right is missing`, {
        ...labels,
        hint: `grant ${right} to the agent's service account, as the chart does with ${option}`,
        err: message,
      });
    } else deps.log.warn(`Cannot ${verb} a broken pod`, { ...labels, err: message });
    tell(pod, `but failed to ${verb}: ${message}`);
  }

  /** Upstream's words (contract 6.4): people search for them. */
  function tell(pod: Pod, outcome: string): void {
    const reason = repair.mode === "delete" ? "DeleteBrokenPod" : "LabelBrokenPod";
    const message = `pod detected as broken, ${outcome}`;
    deps.recordEvent({ pod, type: "Warning", reason, message, component: "cni-repair" });
  }
}
