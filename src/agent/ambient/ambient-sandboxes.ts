// Puts ambient pods into the mesh when their sandbox is made: decide by labels, program the namespace, have ztunnel take the
// pod, and only then let it start. What comes after the answer (the annotation) is enrolment.ts's.
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
import type { Namespace } from "../../core/kube/namespace.ts";
import type { Pod } from "../../core/kube/pod.ts";
import type { Logger } from "../../core/log.ts";
import type {
  AmbientDecision,
  AmbientOutReason,
  AmbientPlan,
  AmbientReason,
} from "../../core/policy/ambient-decision.ts";
import { addressesInUse, type FamilyDecision } from "../../core/policy/capture-families.ts";
import type { AmbientCapture } from "../../core/rules/ambient-capture.ts";
import { type Workload, workloadOf } from "./workload.ts";

/** What ztunnel made of a pod; agent/ztunnel/ztunnel-api.ts. */
export type EnrollOutcome =
  | { readonly result: "acknowledged" }
  | { readonly result: "refused"; readonly error: string }
  | { readonly result: "invalid"; readonly problem: string }
  | { readonly result: "no-connection" | "timed-out" | "superseded" | "aborted" | "agent-ends" };

/** What is told of the pod beside its capture. */
export interface AmbientPodHints {
  readonly hostUsers?: boolean;
}

/** A pod that is in since its ADD. The descriptor is open during the call. */
export interface AddedSandbox {
  readonly containerId: string;
  readonly netnsFd: number;
  readonly capture: AmbientCapture;
  readonly reason: AmbientReason;
}

export type FindPod = (
  pod: { readonly namespace: string; readonly name: string; readonly uid: string | undefined },
  signal: AbortSignal,
) => Promise<{ readonly found: true; readonly pod: Pod } | { readonly found: false; readonly reason: string }>;

export interface AmbientSandboxesDeps {
  /** By what the sandbox alone proves, before anybody is asked. */
  decideEarly(sandbox: Sandbox): AmbientOutReason | undefined;
  readonly findPod: FindPod;
  /** By labels of the pod and its namespace. */
  decide(pod: Pod, namespace: Namespace | undefined, annotations: Sandbox["annotations"]): AmbientDecision;
  /** What is known of a namespace by now. */
  knownNamespace(name: string): Namespace | undefined;
  /** Waits for it, until the signal aborts at the latest. */
  findNamespace(
    name: string,
    signal: AbortSignal,
  ): Promise<
    { readonly found: true; readonly namespace: Namespace } | { readonly found: false; readonly message: string }
  >;
  /** By the addresses in the pod's namespace. */
  decideFamilies(addresses: readonly IpAddress[]): FamilyDecision;
  readonly netfilter: {
    addresses(netnsFd: number): readonly IpAddress[];
    apply(
      netnsFd: number,
      capture: AmbientCapture,
      pod: AmbientPodHints,
    ): Promise<{ readonly dialect: string; readonly changed: boolean }>;
    drift(netnsFd: number, capture: AmbientCapture, pod: AmbientPodHints): Promise<readonly string[]>;
    /** Takes out what an ADD left that was never answered; false: there was nothing. Cheap where that is so. */
    clear(netnsFd: number): Promise<boolean>;
    isForbidden(netnsFd: number): boolean;
  };
  readonly probes: {
    put(podUid: string, ips: readonly IpAddress[]): Promise<void>;
    remove(podUid: string): Promise<void>;
  };
  readonly ztunnel: {
    /** Waits for a ztunnel and its word. On anything but "acknowledged" the pod is in no later snapshot. */
    enroll(workload: Workload, netnsFd: number, signal: AbortSignal): Promise<EnrollOutcome>;
    /** Takes the pod out, unless it has another namespace by now. Returns at once. */
    withdraw(podUid: string, netnsFd: number): void;
  };
  readonly namespaces: { adopt(podUid: string, containerId: string, netnsFd: number): void };
  /** From the first thing that is done to the pod, until the answer: nobody else works on it. */
  starting(podUid: string): Disposable;
  /** The pod is in: the annotation and all that is not waited for. */
  added(pod: Pod, sandbox: AddedSandbox): void;
  /** Once per decided ADD: seconds since its request, most of them for a pod or a namespace that nobody had shown yet. */
  countDecision(decision: "in" | "out", reason: AmbientReason, seconds: number): void;
  /** Seconds from the decision to the kernel's answer, and from there to ztunnel's. */
  observe(phase: "program" | "ztunnel", dialect: string, seconds: number): void;
  readonly log: Logger;
  nowMs(): number;
  /** Does what nobody waits for, once the answer is on its way. */
  later(action: () => void): void;
}

/** `sidecar`: the pod has one, so sidecar mode decides. */
export type AmbientVerdict = "in" | "out" | "sidecar";

export interface AmbientSandboxes {
  /** Resolves when the pod may start, unless sidecar mode has a say. Idempotent.
   * @throws {CniError} refused: code 11 when something is not known or not there yet, 8 for a namespace that is no pod's. */
  add(sandbox: Sandbox, signal: AbortSignal): Promise<AmbientVerdict>;
  /** Resolves when what the pod should have stands. @throws {CniError} */
  check(sandbox: Sandbox, signal: AbortSignal): Promise<AmbientVerdict>;
}

type Decided =
  | { readonly verdict: "in"; readonly pod: Pod; readonly decision: Extract<AmbientDecision, { kind: "in" }> }
  | { readonly verdict: "out" | "sidecar"; readonly reason: AmbientReason; readonly isEarly: boolean };

export function createAmbientSandboxes(deps: AmbientSandboxesDeps): AmbientSandboxes {
  /** Per pod, of those that ask ztunnel now: who asked last. */
  const newest = new Map<string, Sandbox>();

  async function decide(sandbox: Sandbox, signal: AbortSignal): Promise<Decided> {
    const early = deps.decideEarly(sandbox);
    if (early !== undefined) return { ...outside(early), isEarly: true };
    const { podNamespace: namespace, podName: name, podUid: uid } = sandbox;
    const lookup = await deps.findPod({ namespace, name, uid }, signal);
    if (!lookup.found) throw undecided(sandbox, lookup.reason);
    const { pod } = lookup;
    const decision = await decideByLabels(sandbox, pod, signal);
    if (decision.kind === "in") return { verdict: "in", pod, decision };
    return { ...outside(decision.reason), isEarly: false };
  }

  async function decideByLabels(sandbox: Sandbox, pod: Pod, signal: AbortSignal): Promise<AmbientDecision> {
    const first = deps.decide(pod, deps.knownNamespace(pod.namespace), sandbox.annotations);
    if (first.kind !== "unknown") return first;
    const lookup = await deps.findNamespace(pod.namespace, signal);
    if (lookup.found) return deps.decide(pod, lookup.namespace, sandbox.annotations);
    throw undecided(sandbox, lookup.message);
  }

  function captureOf(
    sandbox: Sandbox,
    plan: AmbientPlan,
  ): { capture: AmbientCapture; bypassed: readonly string[]; addresses: readonly IpAddress[] } {
    if (deps.netfilter.isForbidden(sandbox.netnsFd)) throw refuseOwnNetns(sandbox);
    const addresses = deps.netfilter.addresses(sandbox.netnsFd);
    const inside = deps.decideFamilies(addresses);
    const families = inside.kind === "families" ? inside : deps.decideFamilies(sandbox.ips);
    if (families.kind === "no-address") throw refuseWithoutAddress(sandbox);
    const { v4, v6, bypassed } = families;
    return { capture: { ...plan, families: { v4, v6 } }, bypassed, addresses };
  }

  async function program(sandbox: Sandbox, capture: AmbientCapture, pod: Pod) {
    try {
      return await deps.netfilter.apply(sandbox.netnsFd, capture, hintsOf(pod));
    } catch (cause) {
      throw new CniError("tryAgainLater", `Cannot capture pod ${podOf(sandbox)}: ${messageOf(cause)}`, {
        details: "The pod is not started outside the mesh. The runtime tries again by itself.",
        cause,
      });
    }
  }

  /** An agent that ended in the middle of an ADD leaves rules, of which it has told nobody; by the time of ours the pod may be
   * out, and would have no network with them. Nobody looks at such a pod again. */
  async function clear(sandbox: Sandbox): Promise<void> {
    const labels = { ns: sandbox.podNamespace, name: sandbox.podName, containerId: sandbox.containerId };
    try {
      if (deps.netfilter.isForbidden(sandbox.netnsFd)) return;
      if (await deps.netfilter.clear(sandbox.netnsFd))
        deps.log.info("Took out rules that an unfinished ADD had left: the pod is outside the ambient mesh", labels);
    } catch (error) {
      deps.log.warn("Cannot see whether an unfinished ADD has left rules", { ...labels, err: messageOf(error) });
    }
  }

  /** The probe set is the node's business: a pod whose probes may fail is reported and mended, not kept from starting. */
  async function listProbes(pod: Pod, addresses: readonly IpAddress[]): Promise<void> {
    try {
      await deps.probes.put(pod.uid, addressesInUse(addresses));
    } catch (error) {
      deps.log.warn("Cannot exempt the kubelet's probes of a pod yet; they may fail until that succeeds", {
        ns: pod.namespace,
        name: pod.name,
        podUid: pod.uid,
        err: messageOf(error),
      });
    }
  }

  /** Resolves when ztunnel has the pod, and somebody waits for that. @throws {CniError} refused; what `ztunnel.enroll` throws. */
  async function enroll(
    sandbox: Sandbox,
    pod: Pod,
    addresses: readonly IpAddress[],
    signal: AbortSignal,
  ): Promise<void> {
    newest.set(pod.uid, sandbox);
    // ztunnel is asked first: the node's probe set is written while it works.
    const [answer] = await Promise.allSettled([
      deps.ztunnel.enroll(workloadOf(pod), sandbox.netnsFd, signal),
      listProbes(pod, addresses),
    ]);
    const isNewest = newest.get(pod.uid) === sandbox;
    if (isNewest) newest.delete(pod.uid);
    const refusal: unknown = answer.status === "rejected" ? answer.reason : refusalOf(sandbox, answer.value, signal);
    if (refusal === undefined) return;
    // What stands since a newer ADD asked is that one's.
    if (isNewest) {
      // The runtime gives the address to another pod.
      void deps.probes.remove(pod.uid).catch(() => undefined);
      const isTaken = answer.status === "fulfilled" && answer.value.result === "acknowledged";
      if (isTaken) deps.ztunnel.withdraw(pod.uid, sandbox.netnsFd);
    }
    throw refusal;
  }

  return {
    async add(sandbox, signal) {
      const startedMs = deps.nowMs();
      const decided = await decide(sandbox, signal);
      const tookSeconds = (deps.nowMs() - startedMs) / 1000;
      const labels = { ns: sandbox.podNamespace, name: sandbox.podName, containerId: sandbox.containerId };
      if (decided.verdict !== "in") {
        deps.countDecision("out", decided.reason, tookSeconds);
        deps.log.debug("Pod stays outside the ambient mesh", { ...labels, reason: decided.reason });
        if (decided.verdict === "out" && !decided.isEarly) await clear(sandbox);
        return decided.verdict;
      }
      const { pod, decision } = decided;
      const starting = deps.starting(pod.uid);
      // The enrolment has its turn when it ends, and takes longer than all that is left to do before the answer.
      using _ended = { [Symbol.dispose]: () => deps.later(() => starting[Symbol.dispose]()) };
      deps.countDecision("in", decision.reason, tookSeconds);
      for (const hint of decision.hints) deps.log.warn(hint, { ns: pod.namespace, name: pod.name });
      const decidedMs = deps.nowMs();
      const { capture, bypassed, addresses } = captureOf(sandbox, decision.plan);
      const { dialect, changed } = await program(sandbox, capture, pod);
      const programmedMs = deps.nowMs();
      deps.observe("program", dialect, (programmedMs - decidedMs) / 1000);
      try {
        await enroll(sandbox, pod, addresses, signal);
      } finally {
        deps.observe("ztunnel", dialect, (deps.nowMs() - programmedMs) / 1000);
      }
      deps.namespaces.adopt(pod.uid, sandbox.containerId, sandbox.netnsFd);
      deps.added(pod, { containerId: sandbox.containerId, netnsFd: sandbox.netnsFd, capture, reason: decision.reason });
      const tookMs = Math.round((deps.nowMs() - startedMs) * 1000) / 1000;
      deps.later(() => {
        deps.log.info("Captured pod", {
          ...labels,
          reason: decision.reason,
          mode: "ambient",
          dialect,
          changed,
          tookMs,
        });
        const hint = "set AMBIENT_IPV6=true or STRICT_FAMILIES on the agent";
        for (const family of bypassed)
          deps.log.warn("A family of this pod passes by ztunnel", { ...labels, family, hint });
      });
      return "in";
    },

    async check(sandbox, signal) {
      const decided = await decide(sandbox, signal);
      if (decided.verdict !== "in") return decided.verdict;
      const { pod, decision } = decided;
      const { capture } = captureOf(sandbox, decision.plan);
      const drift = await deps.netfilter.drift(sandbox.netnsFd, capture, hintsOf(pod));
      const refusal = refuseDrift(sandbox, drift);
      if (refusal !== undefined) throw refusal;
      return "in";
    },
  };
}

/** What the kubelet is told; it tries again by itself each time. Undefined: the pod may start. */
function refusalOf(sandbox: Sandbox, outcome: EnrollOutcome, signal: AbortSignal): CniError | undefined {
  const pod = podOf(sandbox);
  switch (outcome.result) {
    case "acknowledged":
      return refuseGivenUp(sandbox, signal);
    case "refused":
      return new CniError("tryAgainLater", `Cannot start pod ${pod}: ztunnel does not take it: ${outcome.error}`, {
        details: "The log of this node's ztunnel pod has the cause.",
      });
    case "invalid":
      return new CniError(
        "invalidNetworkConfig",
        `Cannot start pod ${pod}: ztunnel cannot be told of it: ${outcome.problem}`,
      );
    case "no-connection":
      return new CniError("tryAgainLater", `Cannot start pod ${pod}: no ztunnel is connected on this node`, {
        details:
          "The pod is not started outside the mesh. See whether this node's ztunnel pod runs and mounts /var/run/ztunnel.",
      });
    case "timed-out":
      return new CniError("tryAgainLater", `Cannot start pod ${pod}: ztunnel did not answer in time`, {
        details: "The log of this node's ztunnel pod may have the cause.",
      });
    case "superseded":
      return new CniError("tryAgainLater", `Cannot start pod ${pod}: another sandbox of it was made meanwhile`);
    case "aborted":
    case "agent-ends":
      return new CniError("tryAgainLater", `Cannot start pod ${pod}: the request ended before ztunnel had answered`);
  }
}

function outside(reason: AmbientReason): { readonly verdict: "out" | "sidecar"; readonly reason: AmbientReason } {
  return { verdict: reason === "sidecar-present" ? "sidecar" : "out", reason };
}

/** Not seen is never not in the mesh. */
function undecided(sandbox: Sandbox, why: string): CniError {
  return new CniError("tryAgainLater", `Cannot decide on pod ${podOf(sandbox)}: ${why}`, {
    details:
      "A pod that may belong to the ambient mesh is not started outside it. The runtime tries again by itself; " +
      "if it goes on, see whether the istio-cni-node pod of this node reaches the API server.",
  });
}

function hintsOf({ hostUsers }: Pod): AmbientPodHints {
  return hostUsers === undefined ? {} : { hostUsers };
}
