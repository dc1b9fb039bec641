// Joins what takes pods out of ambient mode after it was switched off: those that an agent before this one took in, as their
// annotation or its record tells, and then the node's rules for their probes. A node on which ambient mode never was pays a
// look at each pod's annotation and one at the node's rules. Part of wire-pods.ts.
//
// ztunnel is not told: an agent that is not in ambient mode does not serve it. It goes on listening where nothing is sent any
// more, until it ends.
import { createAnnotate } from "../agent/ambient/annotate.ts";
import { createEnrolment } from "../agent/ambient/enrolment.ts";
import type { Enrolment, EnrolmentDeps } from "../agent/ambient/enrolment-api.ts";
import type { PodBackend } from "../agent/netfilter/pod-backend.ts";
import type { NetnsRegistry } from "../agent/netns/netns-registry.ts";
import type { VerifiedAmbient } from "../agent/verify/ambient-rules.ts";
import type { Verifier } from "../agent/verify/verifier.ts";
import type { Pod } from "../core/kube/pod.ts";
import { AMBIENT_IS_OFF } from "../core/policy/ambient-decision.ts";
import type { BackendDecision } from "../core/policy/backend-decision.ts";
import { firstExisting } from "../platform/fs/existing-path.ts";
import { ambientRulesOf, anyAmbientCapture, enrolmentMetrics, isOrWasIn } from "./ambient-pods.ts";
import { ignoreAbort } from "./ignore-abort.ts";
import { removeHostProbes } from "./remove-host-probes.ts";
import type { WiredDecisions } from "./wire-decisions.ts";
import type { PodsInput } from "./wire-pods.ts";

export interface AmbientOffInput extends Pick<PodsInput, "config" | "log" | "clock" | "metrics" | "api" | "informers"> {
  readonly netns: NetnsRegistry;
  readonly backend: Pick<PodBackend, "addresses">;
  readonly decision: () => BackendDecision;
  readonly decisions: Pick<WiredDecisions, "ambient" | "loaded">;
  /** Made after this. */
  readonly verifier: () => Pick<Verifier, "request" | "record">;
  readonly recordEvent: EnrolmentDeps["recordEvent"];
}

export interface WiredAmbientOff {
  readonly forVerifier: VerifiedAmbient;
  readonly enrolment: Pick<Enrolment, "records">;
  readonly runs: readonly ((ending: AbortSignal) => Promise<void>)[];
}

/** Pods need their probes for as long as they are captured. */
const LOOK_AGAIN_MS = 2000;
const RETRY_HOST_MS = 30_000;

export function wireAmbientOff(input: AmbientOffInput): WiredAmbientOff {
  const { config, log, clock, metrics, api, informers, netns, backend, decisions, verifier } = input;
  const { probeSource } = config.ambient;

  /** A pod that was in, until nothing of that is left. */
  const isConcerned = (pod: Pod): boolean => isOrWasIn(pod, decisions.ambient, enrolment);
  const concerned = (): Pod[] => informers.pods.list().filter(isConcerned);

  const enrolment = createEnrolment({
    pods: {
      get(uid) {
        const pod = informers.pods.get(uid);
        return pod !== undefined && isConcerned(pod) ? pod : undefined;
      },
      list: concerned,
      subscribe: (listener) =>
        informers.pods.subscribe((event) => {
          if (isConcerned(event.pod)) listener(event);
        }),
      isCurrent: () => true,
      waitSynced: informers.pods.waitSynced,
    },
    // Labels have no say any more.
    namespaces: { subscribe: () => NOTHING, waitSynced: async () => {} },
    decide: () => AMBIENT_IS_OFF,
    wasIn: decisions.ambient.wasIn,
    netns,
    rules: ambientRulesOf(verifier, netns, backend),
    ztunnel: {
      isConnected: () => false,
      workload: () => undefined,
      workloads: () => [],
      declare: () => ({ result: "declared" }),
      withdraw: async () => ({ result: "withdrawn" }),
      admitSnapshots() {},
      subscribe: () => NOTHING,
    },
    probes: {
      listed: () => [],
      uids: () => [],
      put: async () => {},
      remove: async () => {},
      subscribe: () => NOTHING,
    },
    annotate: createAnnotate(api),
    metrics: enrolmentMetrics(metrics),
    clock,
    wallMs: Date.now,
    random: Math.random,
    recordEvent: input.recordEvent,
    log,
  });

  async function takeOut(ending: AbortSignal): Promise<void> {
    await decisions.loaded;
    await informers.pods.waitSynced(ending).catch(ignoreAbort(ending));
    const count = ending.aborted ? 0 : concerned().length;
    if (count > 0) log.info(`Ambient mode is off: taking ${count} pods out that were in it`);
    await enrolment.run(ending);
  }

  async function takeHostRulesOut(ending: AbortSignal): Promise<void> {
    await decisions.loaded;
    await informers.pods.waitSynced(ending).catch(ignoreAbort(ending));
    // Where the chart mounts no /proc the agent does not see the node.
    if (firstExisting(["/host/proc"]) === undefined) return;
    // Not before the agent is ready: to ask the kernel what it can do takes longer than most of the start.
    let waitMs = LOOK_AGAIN_MS;
    while (!ending.aborted) {
      await clock.sleep(waitMs, ending).catch(ignoreAbort(ending));
      if (ending.aborted) return;
      waitMs = LOOK_AGAIN_MS;
      if (concerned().length === 0) {
        try {
          const isRemoved = await removeHostProbes({ probeSource, backend: input.decision() });
          if (isRemoved) log.info("Ambient mode is off: removed the node's rules for probes");
          return;
        } catch (error) {
          waitMs = RETRY_HOST_MS;
          log.warn(`Cannot look for the node's rules for probes of ambient mode, trying again: ${String(error)}`);
        }
      }
    }
  }

  return {
    enrolment,
    forVerifier: {
      wishFor: (pod) => (isConcerned(pod) ? enrolment.wishFor(pod) : { kind: "none", reason: "mode-off" }),
      decideFamilies: () => ({ kind: "no-address" }),
      anyCapture: anyAmbientCapture(probeSource),
      inPlace() {},
      released: ({ uid }) => decisions.ambient.forget(uid),
      settled(uid) {
        if (enrolment.record(uid) !== undefined) enrolment.settled(uid);
      },
    },
    runs: [takeOut, takeHostRulesOut],
  };
}

const NOTHING: Disposable = { [Symbol.dispose]() {} };
