// Joins what ambient mode is made of: deciding and enrolling at ADD, ztunnel's socket, the node's probe set, and the loop that
// keeps every pod where its labels want it. Part of wire-pods.ts, which lends it what both modes share.
import { setImmediate } from "node:timers/promises";
import type { FindPod } from "../agent/ambient/ambient-sandboxes.ts";
import {
  type AmbientSandboxes,
  type AmbientSandboxesDeps,
  createAmbientSandboxes,
} from "../agent/ambient/ambient-sandboxes.ts";
import { createAnnotate } from "../agent/ambient/annotate.ts";
import { createEnrolment } from "../agent/ambient/enrolment.ts";
import type { Enrolment, EnrolmentDeps } from "../agent/ambient/enrolment-api.ts";
import { type AmbientMember, type LeaveReport, leaveAmbient } from "../agent/ambient/leave-ambient.ts";
import type { ProbeSelfTest } from "../agent/ambient/probe-self-test.ts";
import { createNamespaceLookup } from "../agent/informers/namespace-lookup.ts";
import type { PodBackend } from "../agent/netfilter/pod-backend.ts";
import type { NetnsRegistry } from "../agent/netns/netns-registry.ts";
import type { VerifiedAmbient } from "../agent/verify/ambient-rules.ts";
import type { Verifier } from "../agent/verify/verifier.ts";
import type { ZtunnelServer } from "../agent/ztunnel/ztunnel-api.ts";
import { createZtunnelServer, ZTUNNEL_SERVER_DEFAULTS } from "../agent/ztunnel/ztunnel-server.ts";
import type { Pod } from "../core/kube/pod.ts";
import type { NetnsId } from "../core/netns/netns-id.ts";
import { decideAmbient, decideAmbientEarly, decideWhileOff } from "../core/policy/ambient-decision.ts";
import { decideAmbientFamilies } from "../core/policy/ambient-families.ts";
import { redirectionOf } from "../core/policy/ambient-redirection.ts";
import type { BackendDecision } from "../core/policy/backend-decision.ts";
import { type EnablementLabel, enablementLabels } from "../core/policy/enablement-selectors.ts";
import type { ZtunnelStatusFacts } from "../core/status/describe-enrolment.ts";
import { createAcceptor } from "../platform/linux/acceptor.ts";
import { dupNetns } from "../platform/linux/dup-netns.ts";
import { closeFd } from "../platform/linux/libc.ts";
import { netnsIdOf } from "../platform/linux/netns.ts";
import { SOCK_SEQPACKET } from "../platform/linux/socket-numbers.ts";
import { listenUnix } from "../platform/linux/unix-socket.ts";
import { ambientRulesOf, anyAmbientCapture, enrolmentMetrics, isOrWasIn } from "./ambient-pods.ts";
import { ambientSettings } from "./ambient-settings.ts";
import { isWatched } from "./is-watched.ts";
import { removeHostProbes } from "./remove-host-probes.ts";
import type { WiredDecisions } from "./wire-decisions.ts";
import { wireHostProbes } from "./wire-host-probes.ts";
import type { PodsInput } from "./wire-pods.ts";
import { wireProbeSelfTest } from "./wire-probe-self-test.ts";

/** For the answers of all ztunnels to the end of a sandbox. */
const WITHDRAW_TIMEOUT_MS = 10_000;
/** For open connections at the agent's last end: half of the time that there is. */
const LEAVE_FINISH_MS = 5000;

export interface AmbientInput
  extends Pick<
    PodsInput,
    "config" | "log" | "clock" | "metrics" | "api" | "informers" | "poller" | "takenOff" | "onZtunnel"
  > {
  readonly findPod: FindPod;
  readonly netns: NetnsRegistry;
  readonly backend: Pick<PodBackend, "addresses" | "apply" | "clear" | "drift" | "isForbidden" | "release" | "remove">;
  /** Asks the kernel at the first call. */
  readonly decision: () => BackendDecision;
  readonly decisions: Pick<WiredDecisions, "ambient" | "loaded">;
  /** Made after this. */
  readonly verifier: () => Pick<Verifier, "request" | "record">;
  /** A sandbox was enrolled: keep its namespace. */
  readonly adopt: (podUid: string, containerId: string, netnsFd: number) => void;
  readonly recordEvent: EnrolmentDeps["recordEvent"];
}

export interface WiredAmbient {
  readonly sandboxes: AmbientSandboxes;
  readonly forVerifier: VerifiedAmbient;
  readonly enrolment: Enrolment;
  readonly ztunnel: ZtunnelServer;
  /** Whether probes of the node reach enrolled pods. */
  readonly probePaths: ProbeSelfTest["records"];
  /** A sandbox has ended; `netns` was its namespace. */
  removed(podUid: string, netns: NetnsId): void;
  readonly runs: readonly ((ending: AbortSignal) => Promise<void>)[];
  ztunnelStatus(): ZtunnelStatusFacts;
  /** By which the selectors go now, for those who ask. */
  enablementLabels(pod: Pod): readonly EnablementLabel[];
  /** After `runs`, where no agent comes after this one: nothing of ambient mode stays on the node. Never rejects. */
  leave(signal: AbortSignal): Promise<LeaveReport>;
}

export function wireAmbient(input: AmbientInput): WiredAmbient {
  const { config, log, clock, metrics, api, informers, poller, netns, backend, decisions, takenOff, verifier } = input;
  const settings = ambientSettings(config);
  const families = { ipv6: config.ambient.ipv6, strict: config.policy.strictFamilies };
  const host = {
    families: { v4: true, v6: families.ipv6 || families.strict },
    probeSource: settings.probeSource,
  };
  const branchInterfaces = config.ambient.enableAwsBranchEniProbe;
  const hostProbes = wireHostProbes({ branchInterfaces, host, backend: input.decision, log, clock, metrics, poller });
  const probes = hostProbes.book;
  const namespaceLookup = createNamespaceLookup(
    { api, clock, namespaces: informers.namespaces },
    { patienceMs: config.install.pluginAgentWaitMs },
  );
  const decide: AmbientSandboxesDeps["decide"] = (pod, namespace, annotations) => {
    const decision = decideAmbient(pod, namespace, settings, annotations);
    return takenOff.is() ? decideWhileOff(decision) : decision;
  };
  const decideNow = (pod: Pod) => decide(pod, informers.namespaces.get(pod.namespace), undefined);
  const atAdd = (deadline: AbortSignal) =>
    AbortSignal.any([deadline, AbortSignal.timeout(config.install.pluginAgentWaitMs)]);

  const ztunnel = createZtunnelServer(
    {
      clock,
      poller,
      log,
      accept: createAcceptor({
        poller,
        log,
        listen: () => listenUnix(config.ambient.ztunnelSocketPath, SOCK_SEQPACKET, { mode: 0o600, backlog: 16 }),
      }),
      dupNetns,
      closeDescriptor: (fd) => void closeFd(fd),
    },
    { ...ZTUNNEL_SERVER_DEFAULTS, enrollTimeoutMs: config.install.pluginAgentWaitMs },
  );
  const tellZtunnel = () => {
    metrics.ztunnelConnected.set({}, ztunnel.connections().filter(({ phase }) => phase === "live").length);
    input.onZtunnel(ztunnel.isConnected());
  };
  ztunnel.subscribe(({ type }) => {
    if (type === "connected" || type === "disconnected") tellZtunnel();
  });

  const annotate = createAnnotate(api);
  const enrolment = createEnrolment({
    pods: { ...informers.pods, isCurrent: () => isWatched(informers) },
    namespaces: {
      subscribe: (listener) => informers.namespaces.subscribe(({ namespace }) => listener(namespace.name)),
      waitSynced: informers.namespaces.waitSynced,
    },
    decide: decideNow,
    subscribePolicy: takenOff.subscribe,
    wasIn: decisions.ambient.wasIn,
    netns,
    rules: ambientRulesOf(verifier, netns, backend),
    ztunnel: {
      isConnected: ztunnel.isConnected,
      workload: ztunnel.workload,
      workloads: ztunnel.workloads,
      declare: ztunnel.declare,
      withdraw: (uid, signal) => ztunnel.withdraw(uid, signal),
      admitSnapshots: ztunnel.admitSnapshots,
      subscribe: (listener) => ztunnel.subscribe((change) => listener("uid" in change ? { uid: change.uid } : {})),
    },
    probes,
    annotate,
    metrics: enrolmentMetrics(metrics),
    clock,
    wallMs: Date.now,
    random: Math.random,
    recordEvent: input.recordEvent,
    log,
  });

  const selfTest = wireProbeSelfTest({
    ...{ host, hostProbes, metrics, clock, poller, log, recordEvent: input.recordEvent },
    enrolled: () => enrolment.records().filter(({ state }) => state === "enrolled"),
    standing(uid) {
      const record = verifier().record(uid);
      return record?.state === "verified" || record?.state === "repaired" ? record.desired : undefined;
    },
    podNetns(uid) {
      const pod = informers.pods.get(uid);
      return pod === undefined ? undefined : netns.get(pod)?.fd;
    },
    ownPod: () => informers.pods.byName(config.api.podNamespace ?? "", config.api.podName ?? ""),
  });

  const withdraw = (podUid: string, { dev, ino }: NetnsId): void =>
    void ztunnel.withdraw(podUid, AbortSignal.timeout(WITHDRAW_TIMEOUT_MS), { dev, ino });
  const anyCapture = anyAmbientCapture(settings.probeSource);
  const sandboxes = createAmbientSandboxes({
    decideEarly: (sandbox) => decideAmbientEarly(sandbox, settings),
    decide,
    findPod: input.findPod,
    knownNamespace: (name) => informers.namespaces.get(name),
    findNamespace: (name, signal) => namespaceLookup.findNamespace(name, atAdd(signal)),
    decideFamilies: (addresses) => decideAmbientFamilies(addresses, families),
    netfilter: { ...backend, clear: (fd) => backend.clear(fd, anyCapture) },
    probes,
    ztunnel: {
      enroll: (workload, netnsFd, signal) => ztunnel.enroll(workload, netnsFd, signal),
      withdraw: (podUid, netnsFd) => withdraw(podUid, netnsIdOf(netnsFd)),
    },
    namespaces: { adopt: input.adopt },
    starting: enrolment.starting,
    added(pod, sandbox) {
      decisions.ambient.keep(pod, sandbox);
      enrolment.added(pod);
    },
    countDecision(decision, reason, seconds) {
      metrics.decisions.increment({ mode: "ambient", decision, reason });
      metrics.decideSeconds.observe({ mode: "ambient" }, seconds);
    },
    observe: (phase, dialect, seconds) =>
      phase === "program"
        ? metrics.programSeconds.observe({ mode: "ambient", backend: dialect }, seconds)
        : metrics.ztunnelSeconds.observe({}, seconds),
    log,
    nowMs: clock.nowMs,
    later: (action) => void setImmediate().then(action),
  });

  const isMember = (pod: Pod): boolean => isOrWasIn(pod, decisions.ambient, enrolment);
  const memberOf = (pod: Pod): AmbientMember => ({
    ...{ podUid: pod.uid, podNamespace: pod.namespace, podName: pod.name },
    open() {
      const held = netns.get(pod);
      return held === undefined ? undefined : dupNetns(held.fd);
    },
    ...(redirectionOf(pod.annotations) !== "none" && {
      annotate: (signal: AbortSignal) => annotate(pod, "none", signal),
    }),
  });

  return {
    sandboxes,
    enrolment,
    ztunnel,
    probePaths: selfTest.records,
    forVerifier: {
      wishFor: enrolment.wishFor,
      decideFamilies: (addresses) => decideAmbientFamilies(addresses, families),
      anyCapture,
      inPlace: decisions.ambient.inPlace,
      released: ({ uid }) => decisions.ambient.forget(uid),
      settled: enrolment.settled,
    },
    removed(podUid, at) {
      withdraw(podUid, at);
      enrolment.removed(podUid);
    },
    runs: [
      hostProbes.run,
      (ending) => ztunnel.run(ending),
      (ending) => decisions.loaded.then(() => enrolment.run(ending)),
      selfTest.run,
    ],
    ztunnelStatus: () => ({
      isConnected: ztunnel.isConnected(),
      workloads: ztunnel.workloads().length,
      connections: ztunnel.connections(),
    }),
    enablementLabels: (pod) =>
      enablementLabels(settings.selectors, pod.labels, informers.namespaces.get(pod.namespace)?.labels),
    leave: (signal) =>
      leaveAmbient(
        {
          release: backend.release,
          remove: (fd) => backend.remove(fd, anyCapture),
          removeHostProbes: () => removeHostProbes({ probeSource: settings.probeSource, backend: input.decision() }),
          ...{ clock, log },
        },
        informers.pods.list().filter(isMember).map(memberOf),
        { finishMs: LEAVE_FINISH_MS },
        signal,
      ),
  };
}
