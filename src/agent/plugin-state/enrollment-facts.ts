/**
 * Tells the state file where ambient pods come from, as the stores of the API show it (ADR 8): which namespaces enrol their
 * pods, and in which a pod of this node asked for it by its own label. Ambient mode only.
 */
import type { Namespace } from "../../core/kube/namespace.ts";
import type { Pod } from "../../core/kube/pod.ts";
import { type AmbientSettings, decideAmbient } from "../../core/policy/ambient-decision.ts";
import { enrollsByNamespace, enrollsByPod } from "../../core/policy/enablement-selectors.ts";
import type { Clock } from "../../platform/clock.ts";
import type { PluginStateFile } from "./plugin-state.ts";

export interface EnrollmentFactsDeps {
  readonly namespaces: {
    list(): readonly Pick<Namespace, "name" | "labels">[];
    subscribe(listener: () => void): Disposable;
    /** All namespaces have been seen once. */
    waitSynced(signal: AbortSignal): Promise<void>;
  };
  readonly pods: {
    list(): readonly Pod[];
    subscribe(listener: (event: { readonly pod: Pod }) => void): Disposable;
  };
  readonly state: Pick<PluginStateFile, "setNamespaces" | "notePodEnrolled">;
  readonly clock: Clock;
}

export interface EnrollmentFactsOptions {
  readonly settings: AmbientSettings;
  /** How long changes of namespaces are gathered: a list of thousands comes one by one. */
  readonly gatherMs: number;
}

/** Until the signal aborts; never rejects for anything else. Before all namespaces are seen nothing is said of them. */
export async function runEnrollmentFacts(
  { namespaces, pods, state, clock }: EnrollmentFactsDeps,
  { settings, gatherMs }: EnrollmentFactsOptions,
  signal: AbortSignal,
): Promise<void> {
  const { selectors } = settings;
  const note = (pod: Pod): void => {
    if (asksByItself(pod, settings)) state.notePodEnrolled(pod.namespace);
  };
  let changed = Promise.withResolvers<void>();
  using _pods = pods.subscribe(({ pod }) => note(pod));
  using _namespaces = namespaces.subscribe(() => changed.resolve());
  const onAbort = (): void => changed.resolve();
  signal.addEventListener("abort", onAbort, { once: true });
  for (const pod of pods.list()) note(pod);
  await namespaces.waitSynced(signal).catch(() => undefined);
  while (!signal.aborted) {
    changed = Promise.withResolvers();
    const all = namespaces.list();
    const enrolling = all.filter(({ labels }) => enrollsByNamespace(selectors, labels));
    state.setNamespaces(
      all.map(({ name }) => name),
      enrolling.map(({ name }) => name),
    );
    // A pod may be known before its namespace, which was then taken for one that is gone.
    for (const pod of pods.list()) note(pod);
    await changed.promise;
    await clock.sleep(gatherMs, signal).catch(() => undefined);
  }
  signal.removeEventListener("abort", onAbort);
}

/** A pod that has finished tells as much of its namespace as one that runs. */
function asksByItself(pod: Pod, settings: AmbientSettings): boolean {
  if (!enrollsByPod(settings.selectors, pod.labels)) return false;
  return decideAmbient({ ...pod, phase: "" }, undefined, settings).kind === "in";
}
