// Puts sidecar pods into the mesh when their sandbox is made: find the pod, decide, program its network namespace.
// Keeps for every pod of the node what was decided and done, which is what status and verification read.
import type { IpAddress } from "../../core/address.ts";
import { CniError } from "../../core/cni/cni-error.ts";
import {
  podOf,
  refuseDrift,
  refuseGivenUp,
  refuseOwnNetns,
  refuseWithoutAddress,
  type Sandbox,
} from "../../core/cni/sandbox.ts";
import { messageOf } from "../../core/error-message.ts";
import type { Pod } from "../../core/kube/pod.ts";
import type { Logger } from "../../core/log.ts";
import { decideFamilies, type FamilyOptions } from "../../core/policy/capture-families.ts";
import {
  decideSidecar,
  OWN_POD_PREFIX,
  type SidecarPlan,
  type SidecarReason,
  type SidecarSettings,
  STATUS_ANNOTATION,
} from "../../core/policy/sidecar-decision.ts";
import { podNetwork } from "../../core/rules/pod-capture.ts";
import type { SidecarCapture } from "../../core/rules/sidecar-capture.ts";
import type { Clock } from "../../platform/clock.ts";
import { awaitLoopback } from "./await-loopback.ts";

/** What is told of the pod beside its capture; see agent/netfilter/pod-backend.ts. */
export interface SidecarPodHints {
  readonly hostUsers?: boolean;
  readonly formerly?: SidecarCapture;
}

/** Programs one network namespace: one batch, all or nothing. The descriptor stays open until the promise settles. */
export interface SidecarNetfilter {
  /** The addresses in the namespace, in the kernel's order. */
  addresses(netnsFd: number): readonly IpAddress[];
  /** Which families a capture has by nature: "nftables" rules hold for both. */
  dialectFor(pod: { readonly hostUsers?: boolean }, netnsFd: number): FamilyOptions["dialect"];
  /** Makes the namespace hold exactly this capture; `changed` is false when it did already. Rejects when it cannot. */
  apply(
    netnsFd: number,
    capture: SidecarCapture,
    pod: SidecarPodHints,
  ): Promise<{ readonly dialect: string; readonly changed: boolean; readonly repaired: readonly string[] }>;
  /** What differs from this capture, one sentence each; empty when it stands. */
  drift(netnsFd: number, capture: SidecarCapture, pod: SidecarPodHints): Promise<readonly string[]>;
  /** Whether `lo` is switched on. */
  isLoopbackUp(netnsFd: number): boolean;
  /** True for the node's own namespace, or the agent's: programming either would cut the node off. */
  isForbidden(netnsFd: number): boolean;
}

/** Keeps namespaces of captured pods at hand for as long as their sandbox lives. */
export interface SidecarNamespaces {
  adopt(podUid: string, containerId: string, netnsFd: number): void;
  release(containerId: string): void;
}

export type FindPod = (
  pod: { readonly namespace: string; readonly name: string; readonly uid: string | undefined },
  signal: AbortSignal,
) => Promise<{ readonly found: true; readonly pod: Pod } | { readonly found: false; readonly reason: string }>;

/** Keeps what was decided on sandboxes for as long as they live, over our own end too. Neither call may throw. */
export interface SidecarMemory {
  /** After every decided ADD. `netnsFd` is open during the call. */
  keep(record: SidecarRecord, netnsFd: number): void;
  /** What was applied to this very sandbox by an agent before this one. */
  formerly(podUid: string, containerId: string): SidecarCapture | undefined;
  /** The sandbox is gone. */
  release(containerId: string): void;
}

export interface SidecarDeps {
  readonly findPod: FindPod;
  readonly netfilter: SidecarNetfilter;
  readonly namespaces: SidecarNamespaces;
  readonly memory: SidecarMemory;
  readonly log: Logger;
  /** Once per decided ADD, for the metrics: seconds since its request, most of them for a pod that nobody had shown yet. */
  countDecision(reason: SidecarReason, seconds: number): void;
  /** Once per programmed pod: seconds from the decision to the kernel's answer. */
  observeProgram(mode: SidecarCapture["mode"], dialect: string, seconds: number): void;
  readonly clock: Clock;
  /** Does what nobody waits for, once the answer is on its way. */
  later(action: () => void): void;
}

export interface SidecarOptions {
  readonly settings: SidecarSettings;
  /** Capture every family that has an address. */
  readonly strictFamilies: boolean;
}

/** What was decided and done for one sandbox. */
export interface SidecarRecord {
  readonly podUid: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly containerId: string;
  readonly reason: SidecarReason;
  readonly capture: SidecarCapture | undefined;
  readonly bypassed: readonly string[];
  readonly addedMs: number;
}

export interface Sidecar {
  /** Resolves when the pod may start. Idempotent: a second ADD of the same sandbox changes nothing.
   * @throws {CniError} refused: code 11 when not known yet, 7 for a bad annotation, 8 for a namespace that is no pod's. */
  add(sandbox: Sandbox, signal: AbortSignal): Promise<void>;
  /** Resolves when what the pod should have stands. @throws {CniError} */
  check(sandbox: Sandbox, signal: AbortSignal): Promise<void>;
  /** The sandbox is gone. */
  remove(sandbox: { readonly containerId: string }): void;
  /** The pod is gone, whatever became of its sandbox. */
  forget(podUid: string): void;
  records(): readonly SidecarRecord[];
}

/** A node runs some hundreds of pods; a runtime that never sends DEL must not fill our memory. */
const MAX_RECORDS = 4096;

export function createSidecar(deps: SidecarDeps, options: SidecarOptions): Sidecar {
  const records = new Map<string, SidecarRecord>();

  async function desired(sandbox: Sandbox, signal: AbortSignal): Promise<Desired> {
    const early = decideEarly(sandbox, options.settings);
    if (early !== undefined) return { reason: early, pod: undefined, capture: undefined, bypassed: [] };
    const { podNamespace: namespace, podName: name, podUid: uid } = sandbox;
    const lookup = await deps.findPod({ namespace, name, uid }, signal);
    if (!lookup.found) {
      throw new CniError("tryAgainLater", `Cannot decide on pod ${namespace}/${name}: ${lookup.reason}`, {
        details:
          "A pod that is not known is never taken for one outside the mesh. The runtime tries again by itself; " +
          "if it goes on, see whether the istio-cni-node pod of this node reaches the API server.",
      });
    }
    const { pod } = lookup;
    const decision = decideSidecar(pod, options.settings, sandbox.annotations);
    if (decision.kind === "pass") return { reason: decision.reason, pod, capture: undefined, bypassed: [] };
    if (decision.kind === "refuse") {
      throw new CniError("invalidNetworkConfig", `Cannot start pod ${namespace}/${name}: ${decision.message}`, {
        details: "Correct the annotation and make the pod anew.",
      });
    }
    for (const hint of decision.hints) deps.log.warn(hint, { ns: namespace, name });
    const { capture, bypassed } = captureIn(sandbox, pod, decision.plan);
    return { reason: decision.reason, pod, capture, bypassed };
  }

  function captureIn(
    sandbox: Sandbox,
    pod: Pod,
    plan: SidecarPlan,
  ): { capture: SidecarCapture; bypassed: readonly string[] } {
    if (deps.netfilter.isForbidden(sandbox.netnsFd)) throw refuseOwnNetns(sandbox);
    const { dualStack, ...rest } = plan;
    const held = deps.netfilter.addresses(sandbox.netnsFd);
    const family = {
      dialect: deps.netfilter.dialectFor(pod, sandbox.netnsFd),
      strict: options.strictFamilies,
      dualStack,
    };
    const inside = decideFamilies(held, family);
    const families = inside.kind === "families" ? inside : decideFamilies(sandbox.ips, family);
    if (families.kind === "no-address") throw refuseWithoutAddress(sandbox);
    return { capture: { ...rest, families: { v4: families.v4, v6: families.v6 } }, bypassed: families.bypassed };
  }

  async function program(sandbox: Sandbox, capture: SidecarCapture, pod: SidecarPodHints, signal: AbortSignal) {
    const { netnsFd } = sandbox;
    try {
      if (podNetwork(capture).addresses.length > 0)
        await awaitLoopback(() => deps.netfilter.isLoopbackUp(netnsFd), deps.clock, signal);
      return await deps.netfilter.apply(netnsFd, capture, pod);
    } catch (cause) {
      const why = messageOf(cause);
      throw new CniError("tryAgainLater", `Cannot capture pod ${podOf(sandbox)}: ${why}`, {
        details:
          "The pod is not started outside the mesh. The runtime tries again by itself; the log of the istio-cni-node pod of this node has more.",
        cause,
      });
    }
  }

  return {
    async add(sandbox, signal) {
      const startedMs = deps.clock.nowMs();
      const { reason, pod, capture, bypassed } = await desired(sandbox, signal);
      const podUid = pod?.uid ?? sandbox.podUid ?? "";
      const labels = { ns: sandbox.podNamespace, name: sandbox.podName, containerId: sandbox.containerId };
      deps.countDecision(reason, (deps.clock.nowMs() - startedMs) / 1000);
      if (capture === undefined) {
        deps.log.debug("Pod stays outside the mesh", { ...labels, reason });
      } else {
        const decidedMs = deps.clock.nowMs();
        const former = records.get(sandbox.containerId);
        const formerly = former === undefined ? deps.memory.formerly(podUid, sandbox.containerId) : former.capture;
        const { dialect, changed, repaired } = await program(sandbox, capture, hintsOf(pod, formerly), signal);
        deps.observeProgram(capture.mode, dialect, (deps.clock.nowMs() - decidedMs) / 1000);
        const refusal = refuseGivenUp(sandbox, signal);
        if (refusal !== undefined) throw refusal;
        deps.namespaces.adopt(podUid, sandbox.containerId, sandbox.netnsFd);
        const tookMs = Math.round((deps.clock.nowMs() - startedMs) * 1000) / 1000;
        // The runtime waits for the answer, not for the log.
        deps.later(() => {
          deps.log.info("Captured pod", {
            ...labels,
            reason,
            mode: capture.mode,
            dialect,
            changed,
            ...(repaired.length > 0 && { repaired: repaired.join("; ") }),
            tookMs,
          });
          for (const family of bypassed) {
            deps.log.warn("A family of this pod passes by its proxy", {
              ...labels,
              family,
              hint: "set ISTIO_DUAL_STACK on the proxy, or STRICT_FAMILIES on the agent",
            });
          }
        });
      }
      if (records.size >= MAX_RECORDS) {
        const [oldest] = records.keys();
        if (oldest !== undefined) records.delete(oldest);
      }
      const record: SidecarRecord = {
        podUid,
        podName: sandbox.podName,
        podNamespace: sandbox.podNamespace,
        containerId: sandbox.containerId,
        reason,
        capture,
        bypassed,
        addedMs: deps.clock.nowMs() - startedMs,
      };
      records.set(sandbox.containerId, record);
      deps.memory.keep(record, sandbox.netnsFd);
    },
    async check(sandbox, signal) {
      const { pod, capture } = await desired(sandbox, signal);
      if (capture === undefined) return;
      const drift = await deps.netfilter.drift(sandbox.netnsFd, capture, hintsOf(pod, undefined));
      const refusal = refuseDrift(sandbox, drift);
      if (refusal !== undefined) throw refusal;
    },
    remove({ containerId }) {
      records.delete(containerId);
      deps.memory.release(containerId);
      deps.namespaces.release(containerId);
    },
    forget(podUid) {
      for (const [containerId, record] of records) if (record.podUid === podUid) records.delete(containerId);
    },
    records: () => [...records.values()],
  };
}

function hintsOf(pod: Pod | undefined, formerly: SidecarCapture | undefined): SidecarPodHints {
  return {
    ...(pod?.hostUsers !== undefined && { hostUsers: pod.hostUsers }),
    ...(formerly !== undefined && { formerly }),
  };
}

interface Desired {
  readonly reason: SidecarReason;
  readonly pod: Pod | undefined;
  readonly capture: SidecarCapture | undefined;
  readonly bypassed: readonly string[];
}

/** What the sandbox alone proves, before anybody is asked: the same three proofs the plugin has (plugin/CONTRACT.md). */
function decideEarly(sandbox: Sandbox, settings: SidecarSettings): SidecarReason | undefined {
  if (sandbox.podName.startsWith(OWN_POD_PREFIX) && sandbox.podNamespace === settings.agentNamespace)
    return "own-agent";
  if (settings.excludedNamespaces.includes(sandbox.podNamespace)) return "excluded-namespace";
  if (sandbox.annotations !== undefined && sandbox.annotations[STATUS_ANNOTATION] === undefined) return "not-injected";
  return undefined;
}
