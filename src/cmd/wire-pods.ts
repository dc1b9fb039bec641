// Joins what concerns pods: deciding and programming at ADD, holding their namespaces, verifying and repairing them, telling
// about it. Part of wire.ts, which joins the rest.
import { setImmediate } from "node:timers/promises";
import { createEventRecorder, type EventRecorder } from "../agent/events/event-recorder.ts";
import type { Informers } from "../agent/informers/informers.ts";
import { createPodLookup } from "../agent/informers/pod-lookup.ts";
import type { PodBackend } from "../agent/netfilter/pod-backend.ts";
import { tryCaptures } from "../agent/netfilter/trial-capture.ts";
import { createNetnsRegistry } from "../agent/netns/netns-registry.ts";
import { createPluginRequests, type SandboxService, type TellRefusal } from "../agent/plugin-api/plugin-requests.ts";
import type { PluginServerDeps } from "../agent/plugin-api/plugin-server.ts";
import { createPreference } from "../agent/plugin-api/preference.ts";
import { runRepairController } from "../agent/repair/repair-controller.ts";
import { createSidecar, type FindPod, type Sidecar } from "../agent/sidecar/sidecar.ts";
import type { NodeStatusDeps } from "../agent/status/node-status.ts";
import { createVerifier } from "../agent/verify/verifier.ts";
import type { AgentConfig } from "../core/config/agent-config.ts";
import type { Logger } from "../core/log.ts";
import type { AgentMetrics } from "../core/metrics/agent-metrics.ts";
import { type BackendDecision, describeTrial, withTrial } from "../core/policy/backend-decision.ts";
import type { SystemClock } from "../platform/clock.ts";
import { createProcReader } from "../platform/fs/proc-reader.ts";
import type { KubeApi } from "../platform/http/kube-api.ts";
import { dupNetns, openNetnsFile } from "../platform/linux/dup-netns.ts";
import { joinNetlinkGroup, openNetlink } from "../platform/linux/netlink-socket.ts";
import type { Poller } from "../platform/linux/poller.ts";
import { createThrowawayNetns } from "../platform/linux/throwaway-netns.ts";
import { createBackendOnce, trialCaptures, usualCaptures } from "./backend.ts";
import { ignoreAbort } from "./ignore-abort.ts";
import { isWatched } from "./is-watched.ts";
import { forbiddenNamespaces, netnsFolders } from "./node-namespaces.ts";
import type { PodLooks } from "./pod-routes.ts";
import { releaseSandbox } from "./release-sandbox.ts";
import { repairSettings } from "./repair-settings.ts";
import { sidecarSettings } from "./sidecar-settings.ts";
import type { TakenOff } from "./taken-off.ts";
import type { WiredAmbient, wireAmbient } from "./wire-ambient.ts";
import type { wireAmbientOff } from "./wire-ambient-off.ts";
import { wireDecisions } from "./wire-decisions.ts";

/** The node's, where the chart mounts it. */
const PROC = "/host/proc";
/** The first list has arrived and been answered for by then. */
const REHEARSE_AFTER_MS = 200;
/** Well within the grace period that the chart gives; a shorter one cuts it. */
const LEAVE_TIMEOUT_MS = 10_000;

export interface PodsInput {
  readonly config: AgentConfig;
  readonly log: Logger;
  readonly clock: SystemClock;
  readonly metrics: AgentMetrics;
  readonly api: KubeApi;
  readonly informers: Informers;
  readonly poller: Poller;
  readonly nodeName: string;
  /** One of both: the node is in ambient mode, or not. The other one's modules need not be loaded. */
  readonly ambientMode: AmbientMode;
  /** Nothing is enrolled any more, and what is in is let out. */
  readonly takenOff: Pick<TakenOff, "is" | "subscribe">;
  /** Whether pods can be enrolled in ambient mode; called in that mode only. */
  readonly onZtunnel: (isConnected: boolean) => void;
}

export type AmbientMode =
  | { readonly wireAmbient: typeof wireAmbient; readonly wireAmbientOff?: undefined }
  | { readonly wireAmbient?: undefined; readonly wireAmbientOff: typeof wireAmbientOff };

export interface WiredPods extends Disposable {
  /** Answers plugins. */
  readonly handle: PluginServerDeps["handle"];
  /** Programs pods, for plugins that ask in another way. */
  readonly sandboxes: SandboxService;
  readonly tellRefusal: TellRefusal;
  /** Tells about a pod; the agent's own is one too. */
  readonly recordEvent: EventRecorder["record"];
  /** What has to run until the agent ends. */
  readonly runs: readonly ((ending: AbortSignal) => Promise<void>)[];
  /** After `runs`, where no agent comes after this one: takes pods out of ambient mode. Never rejects. */
  leaveAmbient(): Promise<void>;
  /** What is known of the node's pods, for those who ask. */
  readonly knowledge: Pick<
    NodeStatusDeps,
    "verifications" | "sandboxes" | "netns" | "backend" | "probePaths" | "enrolments" | "ztunnel" | "enablementLabels"
  >;
  /** How their namespaces are looked into, for those who ask. */
  readonly looks: PodLooks;
}

export function wirePods(input: PodsInput): WiredPods {
  const { config, log, clock, metrics, api, informers, poller, nodeName, takenOff, onZtunnel } = input;
  const sandboxWork = createPreference();
  const lookup = createPodLookup(
    { api, clock, pods: informers.pods },
    { patienceMs: config.install.pluginAgentWaitMs },
  );

  // Pods: from the plugin's request to the rules in their namespace.
  const proc = createProcReader(PROC);
  const forbidden = forbiddenNamespaces(proc);
  let decided: BackendDecision | undefined;
  const node = createBackendOnce(config.policy, forbidden, usualCaptures(config), (decision) => {
    decided = decision;
    const { message, dialect, reason, missing } = decision;
    log.info(message);
    metrics.backend.set({ dialect, reason }, 1);
    for (const { feature, family } of missing) metrics.kernelFeatureMissing.set({ feature, family: String(family) }, 1);
  });
  const netns = createNetnsRegistry(
    {
      proc,
      dup: dupNetns,
      open: openNetnsFile,
      addresses: (fd) => node().backend.addresses(fd),
      log,
      nowMs: clock.nowMs,
      yieldToLoop: () => setImmediate(),
    },
    { forbidden, namedFolders: netnsFolders("/host") },
  );
  const backend = {
    addresses: (fd: number) => node().backend.addresses(fd),
    isLoopbackUp: (fd: number) => node().backend.isLoopbackUp(fd),
    apply: (...call: Parameters<PodBackend["apply"]>) => node().backend.apply(...call),
    release: (netnsFd: number) => node().backend.release(netnsFd),
    remove: (...call: Parameters<PodBackend["remove"]>) => node().backend.remove(...call),
    clear: (...call: Parameters<PodBackend["clear"]>) => node().backend.clear(...call),
    drift: (...call: Parameters<PodBackend["drift"]>) => node().backend.drift(...call),
    differsByLoopback: (...call: Parameters<PodBackend["differsByLoopback"]>) =>
      node().backend.differsByLoopback(...call),
    isForbidden: (fd: number) => node().backend.isForbidden(fd),
    // The node's, also for a pod that has to be written in another: what is captured does not depend on hostUsers.
    dialectFor: (): "nftables" | "iptables" => (node().decision.dialect === "nftables" ? "nftables" : "iptables"),
    hasGenerations: () => node().decision.dialect !== "iptables-legacy",
  };
  const settings = sidecarSettings(config);
  const findPod: FindPod = async (pod, deadline) => {
    const result = await lookup.findPod(pod, deadline);
    return result.found ? result : { found: false, reason: result.message };
  };
  const adopt = (podUid: string, containerId: string, netnsFd: number) => {
    netns.adopt(podUid, containerId, netnsFd);
    verifier.sandboxAdded(podUid);
  };
  const decisions = wireDecisions({
    runDir: config.install.runDir,
    settings,
    netns,
    pods: informers.pods,
    live: (uid) => sidecar.records().findLast(({ podUid }) => podUid === uid),
    metrics,
    clock,
    log,
  });
  const sidecar = createSidecar(
    {
      findPod,
      netfilter: backend,
      namespaces: {
        adopt,
        release: (containerId) => releaseSandbox(containerId, { netns, verifier, ambient }),
      },
      memory: decisions.atAdd,
      log,
      countDecision(reason, seconds) {
        metrics.decisions.increment({ mode: "sidecar", decision: reason === "sidecar" ? "in" : "out", reason });
        metrics.decideSeconds.observe({ mode: "sidecar" }, seconds);
      },
      observeProgram: (mode, dialect, seconds) => metrics.programSeconds.observe({ mode, backend: dialect }, seconds),
      clock,
      later: (action) => void setImmediate().then(action),
    },
    {
      settings,
      strictFamilies: config.policy.strictFamilies,
    },
  );

  // Running pods: what is there is what should be there, and whoever started without it is repaired, deleted or labelled.
  const repair = repairSettings(config);
  if (config.repair.nodeName !== undefined && config.repair.nodeName !== nodeName) {
    log.warn(`REPAIR_NODE_NAME=${config.repair.nodeName} has no effect: this agent repairs the pods of ${nodeName}`);
  }
  const events = createEventRecorder(
    {
      api,
      clock,
      log,
      wallMs: Date.now,
      random: Math.random,
      dropped: (reason, count) => {
        metrics.eventsDropped.increment({ reason }, count);
        log.debug("Dropped Events", { why: reason, count });
      },
    },
    { nodeName },
  );
  const ambient = input.ambientMode.wireAmbient?.({
    ...{ config, log, clock, metrics, api, informers, poller, findPod, netns, backend, decisions, adopt, takenOff },
    onZtunnel,
    decision: () => node().decision,
    verifier: () => verifier,
    recordEvent: events.record,
  });
  const ambientOff = input.ambientMode.wireAmbientOff?.({
    ...{ config, log, clock, metrics, api, informers, netns, backend, decisions },
    decision: () => node().decision,
    verifier: () => verifier,
    recordEvent: events.record,
  });
  const verifiedAmbient = (ambient ?? ambientOff)?.forVerifier;
  const verifier = createVerifier(
    {
      pods: informers.pods,
      netns: {
        get: netns.get,
        find: netns.find,
        retain(pods) {
          // While nothing is shown, an ADD may have found a pod that is not in the list yet.
          if (!isWatched(informers)) return;
          netns.retain(pods);
          decisions.retain(pods);
        },
      },
      backend,
      dup: dupNetns,
      openNetlink,
      joinGroup: joinNetlinkGroup,
      watchReadable: (fd, onReadable) => poller.watch(fd, { readable: true, writable: false }, onReadable),
      decisions: decisions.ofRunning,
      ...(verifiedAmbient !== undefined && { ambient: verifiedAmbient }),
      recordEvent: events.record,
      metrics: {
        drift: (action) => metrics.drift.increment({ object: "rules", action }),
        podRepaired: (result) => metrics.podsRepaired.increment({ type: "repair", result }),
      },
      clock,
      wallMs: Date.now,
      random: Math.random,
      yieldToLoop: () => setImmediate().then(sandboxWork.isOver),
      log,
    },
    {
      settings,
      strictFamilies: config.policy.strictFamilies,
      repair,
      ...config.verify,
    },
  );
  const { mode } = repair;
  const repairByApi = (ending: AbortSignal): Promise<void> =>
    mode === "delete" || mode === "label"
      ? runRepairController(
          {
            api,
            pods: informers.pods,
            recordEvent: events.record,
            count: (type, result) => metrics.podsRepaired.increment({ type, result }),
            clock,
            random: Math.random,
            log,
          },
          { repair: { ...repair, mode }, labelValue: config.repair.labelValue, settings },
          ending,
        )
      : Promise.resolve();
  const ends = informers.pods.subscribe(({ type, pod }) => {
    const isOver = type === "delete" || pod.phase === "Succeeded" || pod.phase === "Failed";
    if (!isOver) return;
    sidecar.forget(pod.uid);
    netns.forget(pod.uid);
    decisions.forget(pod.uid);
  });
  const sandboxes = preferred(ambient === undefined ? sidecar : withAmbient(sidecar, ambient), sandboxWork);
  /** An Event needs the pod's UID: none for a pod that nobody has shown. */
  const tellRefusal: TellRefusal = ({ namespace, name }, message) => {
    const pod = informers.pods.byName(namespace, name);
    if (pod !== undefined) events.record({ pod, type: "Warning", reason: "RedirectionRefused", message });
  };
  const handle = createPluginRequests({
    sandboxes,
    tellRefusal,
    log,
    observe: (command, seconds, result) => {
      metrics.pluginCommands.increment({ command, result });
      // Upstream counts in ambient mode only, where its plugin asks too.
      if (command === "ADD" && ambient !== undefined)
        metrics.pluginRequests.increment({ response_code: result === "ok" ? "200" : "500" });
      metrics.pluginCommandSeconds.observe({ command }, seconds);
    },
    nowMs: clock.nowMs,
  });

  /** After all else: what it warms is not needed before the first pod, and readiness does not wait for it. */
  const rehearse = async (ending: AbortSignal): Promise<void> => {
    await informers.pods.waitSynced(ending).catch(ignoreAbort(ending));
    await clock.sleep(REHEARSE_AFTER_MS, ending).catch(ignoreAbort(ending));
    if (ending.aborted) return;
    const { backend: tried, decision } = node();
    const problems = await tryCaptures({ backend: tried, createThrowawayNetns }, trialCaptures(config));
    decided = withTrial(decision, problems);
    for (const problem of problems) {
      log.warn(`Cannot capture: ${describeTrial(problem)}; pods that need it will be refused`);
      const feature = problem.mode === "ambient" ? "ambient capture" : "sidecar capture";
      for (const family of problem.families) metrics.kernelFeatureMissing.set({ feature, family: String(family) }, 1);
    }
  };
  /** Nobody looks at a pod before it is known what was decided on it. */
  const verify = (ending: AbortSignal): Promise<void> => decisions.loaded.then(() => verifier.run(ending));
  return {
    handle,
    sandboxes,
    tellRefusal,
    recordEvent: events.record,
    runs: [decisions.run, verify, repairByApi, events.run, rehearse, ...((ambient ?? ambientOff)?.runs ?? [])],
    async leaveAmbient() {
      await ambient?.leave(AbortSignal.timeout(LEAVE_TIMEOUT_MS));
    },
    knowledge: {
      verifications: verifier.records,
      sandboxes: sidecar.records,
      netns: netns.status,
      backend: () => decided,
      probePaths: () => ambient?.probePaths() ?? [],
      enrolments: () => (ambient ?? ambientOff)?.enrolment.records() ?? [],
      ztunnel: () => ambient?.ztunnelStatus(),
      enablementLabels: (pod) => ambient?.enablementLabels(pod) ?? [],
    },
    looks: {
      netns: { get: netns.get, find: netns.find },
      isForbidden: backend.isForbidden,
      dup: dupNetns,
      drift: backend.drift,
      take: (fd) => node().pictures.take(fd),
      route: (fd, question) => node().pictures.route(fd, question),
    },
    [Symbol.dispose]() {
      ends[Symbol.dispose]();
      netns[Symbol.dispose]();
    },
  };
}

/** Says of each ADD and CHECK when it begins and ends: what nobody waits for has time until then. */
function preferred(sandboxes: SandboxService, work: ReturnType<typeof createPreference>): SandboxService {
  return {
    add: (...call) => work.during(() => sandboxes.add(...call)),
    check: (...call) => work.during(() => sandboxes.check(...call)),
    remove: (sandbox) => sandboxes.remove(sandbox),
  };
}

/** Both modes at ADD and CHECK: ambient mode decides, but for pods that have a sidecar. */
function withAmbient(sidecar: Sidecar, ambient: WiredAmbient): SandboxService {
  return {
    async add(sandbox, signal) {
      if ((await ambient.sandboxes.add(sandbox, signal)) === "sidecar") await sidecar.add(sandbox, signal);
    },
    async check(sandbox, signal) {
      if ((await ambient.sandboxes.check(sandbox, signal)) === "sidecar") await sidecar.check(sandbox, signal);
    },
    remove: sidecar.remove,
  };
}
